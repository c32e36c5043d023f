// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/tar"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/manifest"
)

// The media types of an artifact of Flux, of its configuration and of its one layer.
const (
	configType  types.MediaType = "application/vnd.cncf.flux.config.v1+json"
	contentType types.MediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// The annotations that say where an artifact comes from.
// Source: https://github.com/opencontainers/image-spec/blob/main/annotations.md
const (
	createdAnnotation  = "org.opencontainers.image.created"
	sourceAnnotation   = "org.opencontainers.image.source"
	revisionAnnotation = "org.opencontainers.image.revision"
)

// stdinFile is what standard input is called in an artifact. The same input then makes the
// same artifact, which a name made up each time would not.
const stdinFile = "manifests.yaml"

// ignored are the files that are left out unless --ignore-paths says otherwise: of version
// control, and pictures and archives.
func ignored() []string {
	return append(strings.Split(sourceignore.ExcludeVCS, ","), strings.Split(sourceignore.ExcludeExt, ",")...)
}

// content is what an artifact is made of, as the flags say.
type content struct {
	path    string
	ignore  []string
	more    []string // patterns beside those of ignore
	resolve bool
	// leftOut is the absolute path of a file that is left out, whatever the patterns say.
	leftOut string
}

func (c *content) register(cmd *cobra.Command, shorthand string) {
	set := cmd.Flags()
	set.StringVarP(&c.path, "path", shorthand, "", "directory or file with the manifests; - is standard input")
	set.StringSliceVar(&c.ignore, "ignore-paths", ignored(), "files to leave out, in the format of .gitignore")
	set.StringSliceVar(&c.more, "add-ignore-paths", nil, "files to leave out beside those of --ignore-paths")
	set.BoolVar(&c.resolve, "resolve-symlinks", false, "take what symbolic links lead to; they are left out otherwise")
}

// pack makes the tarball.
func (c *content) pack(cmd *cobra.Command) ([]byte, error) {
	dir, clean, err := c.open(cmd)
	if err != nil {
		return nil, err
	}
	defer clean()
	domain := strings.Split(filepath.Clean(dir), string(filepath.Separator))
	patterns := strings.Join(slices.Concat(c.ignore, c.more), "\n")
	matcher := sourceignore.NewMatcher(sourceignore.ReadPatterns(strings.NewReader(patterns), domain))
	var packed bytes.Buffer
	_, err = tar.Tar(dir, &packed, tar.WithFilter(func(path string, info os.FileInfo) bool {
		return path == c.leftOut || matcher.Match(strings.Split(path, string(filepath.Separator)), info.IsDir())
	}))
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", c.path, err)
	}
	return packed.Bytes(), nil
}

// leaveOut leaves out a file, which need not be there.
func (c *content) leaveOut(path string) (err error) {
	c.leftOut, err = filepath.Abs(path)
	return err
}

// open returns the absolute path of a directory with what is to be packed.
func (c *content) open(cmd *cobra.Command) (dir string, clean func(), err error) {
	if c.path != "-" {
		if err := checkPath(c.path); err != nil {
			return "", nil, err
		}
	}
	abs, err := filepath.Abs(c.path)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(abs)
	if c.path != "-" && err != nil {
		return "", nil, fmt.Errorf("--path: %w", err)
	}
	if c.path != "-" && info.IsDir() && !c.resolve {
		return abs, func() {}, nil
	}
	staged, err := os.MkdirTemp("", "sluice-artifact-")
	if err != nil {
		return "", nil, err
	}
	clean = func() { _ = os.RemoveAll(staged) }
	if err := c.stage(cmd, abs, staged); err != nil {
		clean()
		return "", nil, err
	}
	return staged, clean, nil
}

// stage copies what is not a directory as it is into one.
func (c *content) stage(cmd *cobra.Command, from, to string) error {
	if c.path == "-" {
		text, err := manifest.ReadFile(cmd, "-")
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		return os.WriteFile(filepath.Join(to, stdinFile), text, 0o600)
	}
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("--path: %w", err)
	}
	r := &resolver{bytes: maxResolved, files: maxResolvedFiles, above: map[string]bool{}, leftOut: c.leftOut}
	if info.IsDir() {
		err = r.dir(from, to)
	} else {
		err = r.file(from, filepath.Join(to, filepath.Base(from)), info)
	}
	if err != nil {
		return fmt.Errorf("copying %s: %w", c.path, err)
	}
	return nil
}

// image makes the artifact. Created is when; annotations win over it.
func image(packed []byte, annotations map[string]string) (v1.Image, error) {
	created, err := time.Parse(time.RFC3339, annotations[createdAnnotation])
	if err != nil {
		return nil, fmt.Errorf("--annotations %s: %w", createdAnnotation, err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed)), nil
	}, tarball.WithMediaType(contentType))
	if err != nil {
		return nil, err
	}
	img, err := mutate.CreatedAt(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), configType),
		v1.Time{Time: created})
	if err != nil {
		return nil, err
	}
	annotated, ok := mutate.Annotations(img, annotations).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("annotating an image makes a %T", annotated)
	}
	return mutate.Append(annotated, mutate.Addendum{Layer: layer})
}
