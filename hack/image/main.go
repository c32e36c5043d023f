// SPDX-License-Identifier: Apache-2.0

// Command image builds Sluice's container image: static binaries for each
// platform, root certificates, and nothing else.
//
//	go run ./hack/image -version v1.2.3 -out bin/image
//	go run ./hack/image -version v1.2.3 -push registry.example.com/sluice:v1.2.3
//
// It writes an OCI layout, pushes the same bytes where -push says, and prints the
// digest of the index. Two builds of one commit have one digest, whoever makes them
// and wherever: binaries are built without paths, times are the commit's, and the
// order of everything is fixed.
//
// It is a program on go-containerregistry, which Sluice has anyway, and not a
// Dockerfile or ko: both begin with a base image, which has to be pulled from a
// registry, trusted, and followed as it changes; a Dockerfile also needs a daemon, and
// one build of it has not the digest of the next. All that a base image would add for
// a static binary is the root certificates, and those come from a Go module that
// go.sum pins.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// options are the flags.
type options struct {
	version   string
	platforms string
	out       string
	push      string
}

func main() {
	var o options
	flag.StringVar(&o.version, "version", "dev", "what `sluice version` prints")
	flag.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64", "os/arch, separated by commas")
	flag.StringVar(&o.out, "out", "", "folder to write an OCI layout to")
	flag.StringVar(&o.push, "push", "", "reference to push to; credentials are those of `docker login`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	digest, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

func run(ctx context.Context, o options) (v1.Hash, error) {
	source, err := commit(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	source.version = o.version
	var builds []build
	for platform := range strings.SplitSeq(o.platforms, ",") {
		b, err := compile(ctx, platform, o.version)
		if err != nil {
			return v1.Hash{}, err
		}
		builds = append(builds, b)
	}
	index, err := assemble(source, builds)
	if err != nil {
		return v1.Hash{}, err
	}
	if o.out != "" {
		if err := write(index, o.out); err != nil {
			return v1.Hash{}, err
		}
	}
	if o.push != "" {
		if err := push(ctx, index, o.push); err != nil {
			return v1.Hash{}, err
		}
	}
	return index.Digest()
}

// commit is what the image says about where it comes from.
func commit(ctx context.Context) (source, error) {
	out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%H %ct").Output()
	if err != nil {
		return source{}, fmt.Errorf("reading the commit: %w", err)
	}
	hash, seconds, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("reading the time of the commit: %w", err)
	}
	return source{revision: hash, created: time.Unix(at, 0).UTC()}, nil
}

// compile builds the binary for a platform.
func compile(ctx context.Context, platform, version string) (build, error) {
	goos, arch, ok := strings.Cut(platform, "/")
	if !ok {
		return build{}, fmt.Errorf("platform %q is not os/arch", platform)
	}
	dir, err := os.MkdirTemp("", "sluice-image-")
	if err != nil {
		return build{}, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "sluice")
	fmt.Fprintf(os.Stderr, "%s: compiling\n", platform)
	// A version control stamp would differ between a clone and an archive of one commit.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+version, "-o", file, "./cmd/sluice")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return build{}, fmt.Errorf("compiling for %s: %w", platform, err)
	}
	binary, err := os.ReadFile(file)
	return build{platform: v1.Platform{OS: goos, Architecture: arch}, binary: binary}, err
}

// write replaces the folder with an OCI layout of the index.
func write(index v1.ImageIndex, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("writing the layout: %w", err)
	}
	return path.AppendIndex(index)
}

func push(ctx context.Context, index v1.ImageIndex, to string) error {
	ref, err := name.ParseReference(to) // plain HTTP for loopback alone
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "pushing %s\n", ref)
	return remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
}
