// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/sluice-cd/sluice/test/gateway"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// images makes the image of a release and pushes it.
type images interface {
	push(ctx context.Context, repository string, r Release) error
}

// labelled images are for simulated nodes: nobody runs them, and their labels
// say how their pods would behave.
type labelled struct {
	playground *harness.Playground
}

func (l labelled) push(ctx context.Context, repository string, r Release) error {
	_, err := l.playground.PushImage(ctx, repository, r.Tag, r.Traits.Labels())
	return err
}

// podinfo is what runs on real nodes.
const podinfo = "github.com/stefanprodan/podinfo"

// podinfoVersion is a release with its Go 1 module path.
const podinfoVersion = "v1.8.1-0.20250910200901-e86405a8674e"

// built images contain podinfo, built from source.
type built struct {
	playground *harness.Playground
	binary     []byte
}

func (b *built) push(ctx context.Context, repository string, r Release) error {
	if err := b.build(ctx); err != nil {
		return err
	}
	layer, err := b.layer()
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{
		Entrypoint: []string{"/podinfo", "--level=error"}, WorkingDir: "/", User: "65532:65532",
		Labels: map[string]string{"org.opencontainers.image.version": r.Tag},
	}
	switch {
	case r.Traits.ErrorRate > 1./gateway.SeldomEvery:
		config.Config.Entrypoint = append(config.Config.Entrypoint, "--random-error=true")
	case r.Traits.ErrorRate > 0:
		config.Config.Entrypoint = append(config.Config.Entrypoint, "--unhealthy=true")
	}
	if delay := r.Traits.Latency.Milliseconds(); delay > traffic.Healthy.Latency.Milliseconds() {
		config.Config.Entrypoint = append(config.Config.Entrypoint, "--random-delay=true", "--random-delay-unit=ms",
			fmt.Sprintf("--random-delay-min=%d", delay), fmt.Sprintf("--random-delay-max=%d", delay+delay/10+1))
	}
	if r.Crashes {
		config.Config.Entrypoint = append(config.Config.Entrypoint, "--no-such-flag")
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	_, err = b.playground.Push(ctx, repository, r.Tag, img)
	return err
}

// build reads podinfo from the cache, and compiles it when it is not there.
func (b *built) build(ctx context.Context) error {
	if b.binary != nil {
		return nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	file := filepath.Join(cache, "sluice", "podinfo-"+podinfoVersion+"-"+runtime.GOARCH)
	if b.binary, err = os.ReadFile(file); err == nil {
		return nil
	}
	if err := compile(ctx, file); err != nil {
		return err
	}
	b.binary, err = os.ReadFile(file)
	return err
}

// compile builds podinfo in a module of its own, so that its dependencies are
// not ours, and renames it into place. Go 1.24 and later, which the module asks
// for by being new, ignore podinfo's seeding of its errors by the second: they
// are spread evenly.
func compile(ctx context.Context, file string) error {
	module, err := os.MkdirTemp("", "podinfo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(module) }()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	partial := fmt.Sprintf("%s.%d", file, os.Getpid())
	for _, args := range [][]string{
		{"mod", "init", "podinfo.example.com"},
		{"get", podinfo + "/cmd/podinfo@" + podinfoVersion},
		{"build", "-trimpath", "-ldflags", "-s -w", "-o", partial, podinfo + "/cmd/podinfo"},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = module
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOOS=linux")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building podinfo: go %v: %w: %s", args, err, out)
		}
	}
	return os.Rename(partial, file)
}

// layer holds the binary alone: it is static.
func (b *built) layer() (v1.Layer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, header := range []tar.Header{
		{Name: "data/", Typeflag: tar.TypeDir, Mode: 0o777},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o777},
		{Name: "podinfo", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(b.binary))},
	} {
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(b.binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
}
