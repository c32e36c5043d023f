// SPDX-License-Identifier: Apache-2.0

// Package program builds the programs that a playground runs, once for each
// version on each machine.
//
// Everything comes from the Go module proxy, at versions and checksums that
// are part of this tree and embedded in the launcher: kube from a main package
// here, kwok and Prometheus straight from their modules, each under a go.mod
// of its own so that their dependencies do not have to agree.
//
// A built program lies in the user's cache, under a name that holds a digest
// of all it was built from. A second checkout, or the next month, finds it
// there. It appears by a rename, under a lock: nobody ever runs half of one,
// and two checkouts do not build the same thing twice.
package program

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
)

// Program says what to build and how.
type Program struct {
	Name    string
	Version string   // for people; the digest is what counts
	Package string   // what go build is given
	Module  string   // go.mod and go.sum to build under, without the ending; see the launcher's embedded files
	Sources []string // folders of the main package, for what is not in another module
	Tags    string
	LDFlags string
	Env     []string
	Takes   string // how long it takes on two cores, for whoever waits
}

const kubernetes = "v1.37.2"

// stamp tells a Kubernetes program its version. Clients parse what the API
// server says and refuse the "v0.0.0-master" of an unstamped build.
const stamp = "-s -w" +
	" -X k8s.io/component-base/version.gitVersion=" + kubernetes +
	" -X k8s.io/component-base/version.gitMajor=1" +
	" -X k8s.io/component-base/version.gitMinor=37" +
	" -X k8s.io/component-base/version.gitTreeState=clean"

// Kube is etcd, the control plane and kubectl in one.
var Kube = Program{
	Name: "kube", Version: kubernetes, Package: "./kube", Module: "go", Sources: []string{"kube"},
	LDFlags: stamp, Takes: "about 8 minutes",
}

// Node is kubelet and kube-proxy in one.
var Node = Program{
	Name: "node", Version: kubernetes, Package: "./node", Module: "go", Sources: []string{"node"},
	LDFlags: stamp, Takes: "about a minute",
}

// Pause is what sandboxes of a real node's pods run.
var Pause = Program{
	Name: "pause", Version: "1", Package: "./pause", Module: "go", Sources: []string{"pause"},
	LDFlags: "-s -w", Env: []string{"CGO_ENABLED=0"}, Takes: "a second",
}

// Kwok simulates nodes.
var Kwok = Program{
	Name: "kwok", Version: "v0.8.0", Package: "sigs.k8s.io/kwok/cmd/kwok", Module: "programs/kwok",
	LDFlags: "-s -w", Takes: "about a minute",
}

// Prometheus is the server, without the service discovery of each cloud:
// targets come from files.
var Prometheus = Program{
	Name: "prometheus", Version: "v0.315.0", Package: "github.com/prometheus/prometheus/cmd/prometheus",
	Module: "programs/prometheus", Tags: "remove_all_sd", LDFlags: "-s -w", Takes: "about 2 minutes",
}

// key is the name of the program's place in the cache.
func (p Program) key(source fs.FS) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %s/%s\n", p.Package, p.Tags, p.LDFlags, p.Env, runtime.GOOS, runtime.GOARCH)
	files, err := p.files(source)
	if err != nil {
		return "", err
	}
	for _, name := range files {
		data, err := fs.ReadFile(source, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
	}
	return fmt.Sprintf("%s-%s-%s", p.Name, p.Version, hex.EncodeToString(h.Sum(nil))[:12]), nil
}

// files lists what the program is built from: go.mod and go.sum first.
func (p Program) files(source fs.FS) ([]string, error) {
	files := []string{p.Module + ".mod", p.Module + ".sum"}
	for _, dir := range p.Sources {
		more, err := fs.Glob(source, path.Join(dir, "*.go"))
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, nil
}

// Progress is told what a build does.
type Progress interface {
	io.Writer
	// Update replaces the line that the last Update wrote, where it can.
	Update(line string)
}
