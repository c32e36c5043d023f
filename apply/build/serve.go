// SPDX-License-Identifier: Apache-2.0

package build

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

	"github.com/sluice-cd/sluice/apply/remoteref"
	"github.com/sluice-cd/sluice/internal/tree"
)

// ServeVariable is set in the environment of a process that is to call [Serve].
const ServeVariable = "SLUICE_BUILD_PROCESS"

// Serve builds what in asks for until it ends. It is for a process of its own: it
// changes the limits of the process, and what kustomize connects through.
func Serve(in io.Reader, out io.Writer) error {
	http.DefaultTransport = noNetwork{}
	requests, results := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var o buildRequest
		if err := requests.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		debug.SetMemoryLimit(o.Memory)
		if err := limitMemory(o.Memory); err != nil {
			return err
		}
		files := &remoteTree{in: requests, out: results}
		if o.Spec.Decrypts {
			o.Spec.Decrypt = files.decrypt
		}
		if o.Spec.Fetches {
			o.Spec.FetchFile, o.Spec.FetchRepository = files.fetchFile, files.fetchRepository
		}
		j := newJob(nil, files, o.Spec, o.Bounds, unboundedMemory{}) //nolint:staticcheck // who waits for it kills the process
		if err := results.Encode(treeRequest{Outcome: buildResultOf(j.run())}); err != nil {
			return err
		}
		j = nil
		debug.FreeOSMemory()
	}
}

// noNetwork is a transport that opens no connection.
type noNetwork struct{}

func (noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%w: %s", ErrRemote, r.URL.Redacted())
}

func buildResultOf(r *Result, err error) *buildResult {
	o := &buildResult{}
	if err != nil {
		o.Err = err.Error()
		for i, sentinel := range sentinels {
			if errors.Is(err, sentinel) {
				o.Sentinel = i + 1
			}
		}
		return o
	}
	o.Reads, o.Digest, o.Warnings = r.Reads, r.Digest, r.Warnings
	for _, obj := range r.Objects {
		data, err := obj.MarshalJSON()
		if err != nil {
			return &buildResult{Err: err.Error()}
		}
		o.Objects = append(o.Objects, data)
	}
	return o
}

// remoteTree is the tree of the process that requested the build.
type remoteTree struct {
	in  *gob.Decoder
	out *gob.Encoder
	// number is that of a tree that was fetched; zero is the source.
	number int
}

func (a *remoteTree) request(q treeRequest) (treeResponse, error) {
	var got treeResponse
	if err := a.out.Encode(q); err != nil {
		return got, err
	}
	if err := a.in.Decode(&got); err != nil {
		return got, err
	}
	switch {
	case got.NoFile:
		return got, noFile(got.Err)
	case got.Err != "":
		return got, errors.New(got.Err)
	}
	return got, nil
}

// noFile is an ErrNoFile that another process tells.
type noFile string

func (e noFile) Error() string      { return string(e) }
func (noFile) Is(target error) bool { return target == ErrNoFile }

// fetchFile has the other process fetch a file.
func (a *remoteTree) fetchFile(address string) ([]byte, error) {
	got, err := a.request(treeRequest{FetchFile: address})
	return got.Data, err
}

// fetchRepository has the other process fetch a repository.
func (a *remoteTree) fetchRepository(of remoteref.Repository) (tree.Tree, error) {
	got, err := a.request(treeRequest{FetchRepository: &of})
	if err != nil {
		return nil, err
	}
	return &remoteTree{in: a.in, out: a.out, number: got.Tree}, nil
}

// decrypt has the other process decrypt, which has the keys.
func (a *remoteTree) decrypt(data []byte, name string) ([]byte, error) {
	got, err := a.request(treeRequest{Decrypt: data, As: name})
	return got.Data, err
}

// Hash implements tree.Tree.
func (a *remoteTree) Hash(name string) (string, error) {
	got, err := a.request(treeRequest{Tree: a.number, Stat: name})
	return got.Entry.Hash, err
}

// Stat implements tree.Tree; what is absent is the zero entry.
func (a *remoteTree) Stat(name string) (tree.Entry, error) {
	got, err := a.request(treeRequest{Tree: a.number, Stat: name})
	return got.Entry, err
}

// ReadDir implements tree.Tree.
func (a *remoteTree) ReadDir(name string) ([]tree.Entry, error) {
	got, err := a.request(treeRequest{Tree: a.number, ReadDir: name})
	return got.Entries, err
}

// ReadFile implements tree.Tree.
func (a *remoteTree) ReadFile(name string) ([]byte, error) {
	got, err := a.request(treeRequest{Tree: a.number, ReadFile: name})
	return got.Data, err
}
