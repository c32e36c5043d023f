// SPDX-License-Identifier: Apache-2.0

package realnode

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// PauseImage is the image of pod sandboxes. It exists in no registry: it is
// made here and handed to containerd.
const PauseImage = "playground.sluice.dev/pause:1"

// Ready is nil when containerd answers and has the pause image, which it is
// given here.
func (n *Node) Ready(ctx context.Context) error {
	images, err := n.ctr(ctx, "images", "list", "--quiet")
	if err != nil {
		return err
	}
	if strings.Contains(images, PauseImage) {
		return nil
	}
	_, err = n.ctr(ctx, "images", "import", n.pauseArchive())
	return err
}

func (n *Node) ctr(ctx context.Context, args ...string) (string, error) {
	return run(ctx, "ctr", append([]string{"--address", n.Socket(), "--namespace", "k8s.io", "--timeout", "5s"}, args...)...)
}

func (n *Node) pauseArchive() string { return filepath.Join(n.Dir, "config", "pause.tar") }

// WritePause packs a static program as the pause image.
func (n *Node) WritePause(program string) error {
	image, err := pauseImage(program)
	if err != nil {
		return fmt.Errorf("making the pause image: %w", err)
	}
	tag, err := name.NewTag(PauseImage)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(n.pauseArchive(), tag, image)
}

func pauseImage(program string) (v1.Image, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	if err := w.WriteHeader(&tar.Header{Name: "pause", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"}
	return mutate.ConfigFile(image, config)
}
