// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/pkg/tar"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/bounded"
)

// maxUnpacked is how many bytes an artifact may unpack to, with the headers of its files.
const maxUnpacked = 1 << 30

var errUnpackedTooLarge = fmt.Errorf("it unpacks to more than %d GiB", maxUnpacked>>30)

// pull is `sluice pull artifact`.
type pull struct {
	access
	output string
}

// PullCommand is `sluice pull`.
func PullCommand(version string) *cobra.Command {
	p := &pull{access: access{version: version}}
	cmd := &cobra.Command{
		Use:   "artifact URL",
		Short: "Unpack an artifact of a registry into a directory",
		Long: `Unpack an artifact of a registry into a directory, which has to be there; files that
are there already stay, unless the artifact has them too. Symbolic links are left out.`,
		Example: `  sluice pull artifact oci://ghcr.io/acme/app:1.0.0 --output ./app`,
		Args:    oneURL,
		RunE:    func(cmd *cobra.Command, args []string) error { return p.run(cmd, args[0]) },
	}
	cmd.Flags().StringVarP(&p.output, "output", "o", "", "directory to unpack into")
	p.register(cmd)
	return Group("pull", "Get manifests out of a registry", cmd)
}

func (p *pull) run(cmd *cobra.Command, arg string) error {
	if p.output == "" {
		return errors.New("--output is missing: name the directory to unpack into")
	}
	if info, err := os.Stat(p.output); err != nil {
		return fmt.Errorf("--output: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("--output: %s is no directory", p.output)
	}
	ref, err := p.reference(arg)
	if err != nil {
		return err
	}
	return output.Await(cmd, "pulling "+ref.String(), func() error { return p.pull(cmd, ref) })
}

func (p *pull) pull(cmd *cobra.Command, ref name.Reference) error {
	ctx, cancel, options, err := p.start(cmd, ref.Context())
	if err != nil {
		return err
	}
	defer cancel()
	image, err := remote.Image(ref, options...)
	if err != nil {
		return failure(ctx, "pulling "+ref.String(), err)
	}
	content, err := first(ctx, image, ref)
	if err != nil {
		return err
	}
	if err := unpack(content, p.output); err != nil {
		return failure(ctx, "unpacking "+ref.String(), err)
	}
	return p.printOrigin(cmd, ref, image)
}

// unpack writes the files of a layer.
func unpack(content v1.Layer, into string) error {
	blob, err := content.Compressed()
	if err != nil {
		return err
	}
	defer blob.Close()
	packed := bufio.NewReader(blob)
	if magic, err := packed.Peek(2); err == nil && !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		is, err := content.MediaType()
		return errors.Join(fmt.Errorf("its first layer, of type %q, is no tarball in gzip's format", is), err)
	}
	unzipped, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	if err := tar.Untar(bounded.Reader(unzipped, maxUnpacked, errUnpackedTooLarge), into,
		tar.WithSkipGzip(), tar.WithMaxUntarSize(maxUnpacked), tar.WithSkipSymlinks()); err != nil {
		return err
	}
	// What stands behind the archive belongs to the digest, which is checked at the end.
	_, err = io.Copy(io.Discard, bounded.Reader(packed, maxUnpacked, errUnpackedTooLarge))
	return err
}

// printOrigin tells where the artifact comes from.
func (p *pull) printOrigin(cmd *cobra.Command, ref name.Reference, image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	for _, said := range []struct{ what, value string }{
		{"source", manifest.Annotations[sourceAnnotation]}, {"revision", manifest.Annotations[revisionAnnotation]},
		{"digest", ref.Context().Digest(digest.String()).String()}, {"artifact content extracted to", p.output},
	} {
		if said.value != "" {
			output.Note(cmd, "%s %s", said.what, output.Clean(said.value))
		}
	}
	return nil
}
