// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/tree"
)

// ErrDifferent is the error of `sluice diff artifact` for an artifact that has other content.
var ErrDifferent = errors.New("the remote artifact contents differs from the local one")

// diff is `sluice diff artifact`.
type diff struct {
	access
	content
}

// DiffCommand is `sluice diff artifact`.
func DiffCommand(version string) *cobra.Command {
	d := &diff{access: access{version: version}}
	cmd := &cobra.Command{
		Use:   "artifact URL",
		Short: "Say whether an artifact of a registry has what a directory has",
		Long: `Say whether an artifact of a registry has what a directory or a file would be pushed
as, and print which files differ: + is one that only the directory has, - one that only
the artifact has, and ~ one that both have, with other content. The exit code is 0 only
if nothing differs, permissions of files included.`,
		Example: `  sluice diff artifact oci://ghcr.io/acme/app:1.0.0 --path ./deploy`,
		Args:    oneURL,
		RunE:    func(cmd *cobra.Command, args []string) error { return d.run(cmd, args[0]) },
	}
	d.content.register(cmd, "")
	d.access.register(cmd)
	return cmd
}

func (d *diff) run(cmd *cobra.Command, arg string) error {
	ref, err := d.reference(arg)
	if err != nil {
		return err
	}
	packed, err := d.pack(cmd)
	if err != nil {
		return err
	}
	ctx, cancel, options, err := d.start(cmd, ref.Context())
	if err != nil {
		return err
	}
	defer cancel()
	image, err := remote.Image(ref, options...)
	if err != nil {
		return failure(ctx, "reading "+ref.String(), err)
	}
	content, err := first(ctx, image, ref)
	if err != nil {
		return err
	}
	digest, err := content.Digest()
	if err != nil {
		return failure(ctx, "reading the manifest of "+ref.String(), err)
	}
	if sum := sha256.Sum256(packed); digest.Hex == hex.EncodeToString(sum[:]) {
		output.Note(cmd, "no changes detected")
		return nil
	}
	lines, err := compare(packed, content)
	if err != nil {
		output.Note(cmd, "which files differ cannot be said: %v", err)
		return ErrDifferent
	}
	if len(lines) == 0 {
		output.Note(cmd, "the files have the same content, and other permissions or another packing")
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), output.Clean(line)); err != nil {
			return err
		}
	}
	return ErrDifferent
}

// maxDifferences is how many files are named that differ.
const maxDifferences = 1000

// compare names the files that differ, each with a sign for how.
func compare(packed []byte, content v1.Layer) ([]string, error) {
	here, err := tree.FromTar(bytes.NewReader(packed), tree.Limits{})
	if err != nil {
		return nil, err
	}
	blob, err := content.Compressed()
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	there, err := tree.FromTar(blob, tree.Limits{Links: tree.DropLinks})
	if err != nil {
		return nil, err
	}
	paths, all, err := tree.Changed(here, there, maxDifferences)
	if err != nil {
		return nil, err
	}
	lines := make([]string, 0, len(paths)+1)
	for _, path := range paths {
		local, err := here.Hash(path)
		if err != nil {
			return nil, err
		}
		remote, err := there.Hash(path)
		switch {
		case err != nil:
			return nil, err
		case remote == "":
			lines = append(lines, "+ "+path)
		case local == "":
			lines = append(lines, "- "+path)
		default:
			lines = append(lines, "~ "+path)
		}
	}
	if !all {
		lines = append(lines, "... and more")
	}
	return lines, nil
}
