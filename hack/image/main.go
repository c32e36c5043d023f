// SPDX-License-Identifier: Apache-2.0

// Command image builds Sluice's container image: static binaries for each
// platform, root certificates, and nothing else.
//
//	go run ./hack/image -version v1.2.3 -out bin/image
//	go run ./hack/image -version v1.2.3 -push registry.example.com/sluice:v1.2.3
//
// It writes an OCI layout, pushes the same bytes where -push says, and prints the
// digest of the index. What goes in decides every byte: binaries are built without
// paths, times are the commit's, and the order of everything is fixed. What goes in is
// the commit, the version of Go, and the web page in ui/dist, which the binaries embed:
// `make ui` builds it by Node.js from what ui/app/package-lock.json pins. Version of Go and
// hash of the page go to standard error, so that who gets another digest sees why.
//
// What no commit has is not pushed, since nobody could build it again: -allow-dirty is for
// tests and for trying a change.
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
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
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
	// allowDirty pushes what no commit has, too.
	allowDirty bool
}

func main() {
	var o options
	flag.StringVar(&o.version, "version", "dev", "what `sluice version` prints")
	flag.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64", "os/arch, separated by commas")
	flag.StringVar(&o.out, "out", "", "folder to write an OCI layout to")
	flag.StringVar(&o.push, "push", "", "reference to push to; credentials are those of `docker login`")
	flag.BoolVar(&o.allowDirty, "allow-dirty", false, "push although the checkout has changes that are not committed")
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
	source, err := commit(ctx, ".")
	if err != nil {
		return v1.Hash{}, err
	}
	if err := source.pushable(o); err != nil {
		return v1.Hash{}, err
	}
	source.version = o.version
	page, err := hashOfPage(os.DirFS("ui/dist"))
	if err != nil {
		return v1.Hash{}, err
	}
	fmt.Fprintf(os.Stderr, "from: commit %s, %s, web page %s\n", source.revision, runtime.Version(), page)
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

// commit is what the image says about where it comes from: the checkout in a folder.
func commit(ctx context.Context, dir string) (source, error) {
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "log", "-1", "--format=%H %ct").Output()
	if err != nil {
		return source{}, fmt.Errorf("reading the commit: %w", err)
	}
	hash, seconds, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("reading the time of the commit: %w", err)
	}
	changes, err := exec.CommandContext(ctx, "git", "-C", dir, "status", "--porcelain").Output()
	if err != nil {
		return source{}, fmt.Errorf("looking for what is not committed: %w", err)
	}
	s := source{revision: hash, created: time.Unix(at, 0).UTC(), dirty: len(changes) > 0}
	if s.dirty {
		s.revision += "-dirty"
	}
	return s, nil
}

// pushable is an error if an image is to be pushed that nobody could build again.
func (s source) pushable(o options) error {
	if !s.dirty || o.push == "" || o.allowDirty {
		return nil
	}
	return errors.New("the checkout has changes that are not committed, so that nobody could build this image again: " +
		"commit them, or push it all the same with -allow-dirty")
}

// hashOfPage is that of the names and contents of the files of the web page. Without one, binaries would be built
// that say so instead of serving it.
func hashOfPage(dist fs.FS) (string, error) {
	if _, err := fs.Stat(dist, "index.html"); err != nil {
		return "", errors.New("there is no web page in ui/dist, which the binary embeds: run make ui, or make image, which does both")
	}
	all := sha256.New()
	err := fs.WalkDir(dist, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(dist, file)
		fmt.Fprintf(all, "%s %x\n", file, sha256.Sum256(content))
		return err
	})
	return fmt.Sprintf("sha256:%x", all.Sum(nil)), err
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
