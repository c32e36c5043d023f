// SPDX-License-Identifier: Apache-2.0

package build

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

	"github.com/sluice-cd/sluice/internal/tree"
)

// ServeVariable is set in the environment of a process that is to call [Serve].
const ServeVariable = "SLUICE_BUILD_PROCESS"

// Serve builds what in asks for until it ends. It is for a process of its own: it
// changes the limits of the process, and what kustomize connects through.
func Serve(in io.Reader, out io.Writer) error {
	http.DefaultTransport = nowhere{}
	orders, outcomes := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		debug.SetMemoryLimit(o.Memory)
		if err := limitMemory(o.Memory); err != nil {
			return err
		}
		j := newJob(nil, &asked{orders, outcomes}, o.Spec, o.Bounds, unbounded{}) //nolint:staticcheck // who waits for it kills the process
		if err := outcomes.Encode(question{Outcome: outcomeOf(j.run())}); err != nil {
			return err
		}
		j = nil
		debug.FreeOSMemory()
	}
}

// nowhere opens no connection.
type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%w: %s", ErrRemote, r.URL.Redacted())
}

func outcomeOf(r *Result, err error) *outcome {
	o := &outcome{}
	if err != nil {
		o.Err = err.Error()
		for i, sentinel := range sentinels {
			if errors.Is(err, sentinel) {
				o.Is = i + 1
			}
		}
		return o
	}
	o.Reads, o.Digest = r.Reads, r.Digest
	for _, obj := range r.Objects {
		data, err := obj.MarshalJSON()
		if err != nil {
			return &outcome{Err: err.Error()}
		}
		o.Objects = append(o.Objects, data)
	}
	return o
}

// asked is the tree of whoever ordered the build.
type asked struct {
	in  *gob.Decoder
	out *gob.Encoder
}

func (a *asked) ask(q question) (answer, error) {
	var got answer
	if err := a.out.Encode(q); err != nil {
		return got, err
	}
	if err := a.in.Decode(&got); err != nil {
		return got, err
	}
	if got.Err != "" {
		return got, errors.New(got.Err)
	}
	return got, nil
}

// Hash implements tree.Tree.
func (a *asked) Hash(name string) (string, error) {
	got, err := a.ask(question{Stat: name})
	return got.Entry.Hash, err
}

// Stat implements tree.Tree; what is absent is the zero entry.
func (a *asked) Stat(name string) (tree.Entry, error) {
	got, err := a.ask(question{Stat: name})
	return got.Entry, err
}

// ReadDir implements tree.Tree.
func (a *asked) ReadDir(name string) ([]tree.Entry, error) {
	got, err := a.ask(question{ReadDir: name})
	return got.Entries, err
}

// ReadFile implements tree.Tree.
func (a *asked) ReadFile(name string) ([]byte, error) {
	got, err := a.ask(question{ReadFile: name})
	return got.Data, err
}
