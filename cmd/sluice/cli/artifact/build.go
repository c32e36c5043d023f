// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// build is `sluice build artifact`.
type build struct {
	content
	to string
}

// BuildCommand is `sluice build artifact`.
func BuildCommand() *cobra.Command {
	b := &build{}
	cmd := &cobra.Command{
		Use:   "artifact",
		Short: "Write a directory or a file to a tarball, as an artifact has it",
		Long: `Write a directory or a file to a tarball, as an artifact has it: byte by byte what
sluice push artifact puts into a registry, and flux build artifact writes. Times and
owners are left out of it, so that the same files make the same tarball. Symbolic links
are left out, unless --resolve-symlinks takes what they lead to.

The file of --output is left out as well if it is below --path, and replaced when all is
written: whoever reads it meanwhile reads the one before.`,
		Example: `  sluice build artifact --path ./deploy --output ./deploy.tgz
  tar -ztvf ./deploy.tgz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd) },
	}
	b.register(cmd, "p")
	cmd.Flags().StringVarP(&b.to, "output", "o", "artifact.tgz", "file to write")
	return cmd
}

func (b *build) run(cmd *cobra.Command) error {
	if b.to == "" {
		return errors.New("--output is missing: name the file to write")
	}
	if err := b.leaveOut(b.to); err != nil {
		return err
	}
	packed, err := b.pack(cmd)
	if err != nil {
		return err
	}
	if err := replace(b.to, packed); err != nil {
		return fmt.Errorf("writing --output: %w", err)
	}
	output.Note(cmd, "artifact created at %s", b.to)
	return nil
}

// replace writes a file that is there as a whole, or not at all.
func replace(path string, data []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".sluice-artifact-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(data)
	if err = errors.Join(err, file.Chmod(0o640), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
