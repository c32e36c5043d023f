// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/remoteref"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/tree"
)

// A build in a process of its own can be killed at any moment, has a memory limit that
// the kernel enforces, and cannot crash this process. It has no environment, no network,
// and no files but those of the tree, which it requests from this process.
//
//	controller                build process
//	buildRequest ----------->
//	             <----------- treeRequest: what is at this path?
//	treeResponse ----------->   ... for each path that kustomize reads
//	             <----------- treeRequest with the buildResult

const (
	// processCost is the memory that a process needs before it builds anything.
	processCost = 96 << 20
	// processesPerNamespace is how many build at once for one namespace. All together
	// are bounded by the memory that each needs.
	processesPerNamespace = 2
	// maxIdle is how long a process waits for the next build.
	maxIdle = time.Minute
	// maxStderr is how much of standard error is kept, in bytes.
	maxStderr = 8 << 10
)

// buildRequest is what to build.
type buildRequest struct {
	Spec   Spec
	Bounds Bounds
	// Memory is how much the process may use more than it uses, in bytes.
	Memory int64
}

// treeRequest asks what is at a path of the tree, or ends the build with its result.
type treeRequest struct {
	Stat, ReadDir, ReadFile string
	// Tree is which of the trees that were fetched; zero is the source.
	Tree int
	// Decrypt is a file to decrypt instead, and As what it is called.
	Decrypt []byte
	As      string
	// FetchFile or FetchRepository is what to fetch instead.
	FetchFile       string
	FetchRepository *remoteref.Repository
	Outcome         *buildResult
}

// treeResponse is what is at the path.
type treeResponse struct {
	Entry   tree.Entry
	Entries []tree.Entry
	Data    []byte
	Err     string
	// Tree is the number of the tree that was fetched, and NoFile says that a server has none.
	Tree   int
	NoFile bool
}

// buildResult is a Result, or an error with the sentinel that it wraps.
type buildResult struct {
	Objects  [][]byte
	Reads    Reads
	Digest   string
	Warnings []Warning
	Err      string
	Sentinel int // index into sentinels, counted from one
}

// sentinels are the failures that trying again cannot help against; of those that an
// error is, the last one counts.
var sentinels = []error{errRefused, ErrPathNotFound, ErrTooLarge, ErrRemote, ErrEncrypted, ErrStaysEncrypted, ErrVariable, tree.ErrLeaves}

// processes are the slots of the namespaces, and one idle process for the next build.
type processes struct {
	mu    sync.Mutex
	slots *background.Slots[string] // of namespaces, made when they are needed first
	idle  *process
}

// namespaceSlots are how many processes namespaces may have.
func (p *processes) namespaceSlots() *background.Slots[string] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots == nil {
		p.slots = background.NewSlots[string](0, processesPerNamespace)
	}
	return p.slots
}

type process struct {
	cmd    *exec.Cmd
	in     *gob.Encoder
	out    *gob.Decoder
	stderr *stderrLog
	kill   func()
	// ended is closed when the process has ended, and stderr is complete.
	ended chan struct{}
	used  int // how often it has waited for the next build
}

// build runs a job in a process.
func (p *processes) build(ctx context.Context, command []string, j *job, memory int64) (*Result, error) {
	proc, err := p.acquire(ctx, command)
	if err != nil {
		return nil, fmt.Errorf("starting a process to build in: %w", err)
	}
	stop := context.AfterFunc(ctx, proc.kill)
	result, err := proc.build(j, memory)
	if ended := stop(); !ended || err != nil && result == nil && !proc.alive(err) {
		proc.kill()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		<-proc.ended
		return nil, proc.explain(j, err, memory)
	}
	p.release(proc)
	if err != nil {
		if err = j.spec.Substitution.Mask().Error(err); j.overlay.moves {
			err = movingError{err}
		}
		return nil, err
	}
	result.Moves = j.overlay.moves
	return result, nil
}

func (p *processes) acquire(ctx context.Context, command []string) (*process, error) {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	if idle != nil {
		return idle, nil
	}
	return start(ctx, command)
}

// release keeps a process that has done its work for the next.
func (p *processes) release(proc *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		proc.kill()
		return
	}
	proc.stderr.reset()
	proc.used++
	used := proc.used
	p.idle = proc
	time.AfterFunc(maxIdle, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.idle == proc && proc.used == used {
			p.idle = nil
			proc.kill()
		}
	})
}

func start(ctx context.Context, command []string) (*process, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the build
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)   // the command is the operator's
	cmd.Env = []string{ServeVariable + "=1", "PATH=", "TMPDIR=/nonexistent"}
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	stderr := &stderrLog{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	p := &process{cmd: cmd, in: gob.NewEncoder(in), out: gob.NewDecoder(out), stderr: stderr, ended: make(chan struct{})}
	p.kill = sync.OnceFunc(func() {
		cancel()
		_ = in.Close()
		go func() {
			defer close(p.ended)
			_ = cmd.Wait() // it was killed
		}()
	})
	return p, nil
}

// errFailed marks an error that a process told, after which it goes on.
type errFailed struct {
	text     string
	sentinel error
}

func (e errFailed) Error() string        { return e.text }
func (e errFailed) Is(target error) bool { return e.sentinel != nil && errors.Is(e.sentinel, target) }

func (*process) alive(err error) bool { return errors.As(err, new(errFailed)) }

// build does one job.
func (p *process) build(j *job, memory int64) (*Result, error) {
	spec := j.spec
	spec.Decrypts, spec.Fetches = spec.Decrypt != nil, spec.FetchFile != nil
	if err := p.in.Encode(buildRequest{Spec: spec, Bounds: j.overlay.bounds, Memory: memory}); err != nil {
		return nil, err
	}
	for {
		var q treeRequest
		if err := p.out.Decode(&q); err != nil {
			return nil, err
		}
		if q.Outcome != nil {
			return q.Outcome.result()
		}
		if err := p.in.Encode(respond(j, q)); err != nil {
			return nil, err
		}
	}
}

// explain says why a process ended with a job.
func (p *process) explain(j *job, err error, memory int64) error {
	stderr := p.stderr.String()
	reason := crashOf(stderr)
	if reason == "" || containsAny(stderr, outOfMemoryTexts) { // "" is killed, as the kernel does
		return tooLarge(memory>>20, "MiB of memory",
			"look for replacements, variables, definitions and copying patches that add to themselves, or "+split)
	}
	if strings.Contains(stderr, "stack overflow") || strings.Contains(stderr, "stack exceeds") {
		return tooLarge(1, "gigabyte of stack", "something refers to itself")
	}
	return fmt.Errorf("the process that builds has ended: %w: %s", err, j.quote(reason))
}

// crashOf is the line that says why a process crashed or ended itself. It was written
// for the job at hand, the last of the process. Nothing else is: a warning may be about
// an earlier job, with the secrets of somebody else.
func crashOf(stderr string) string {
	for line := range strings.Lines(stderr) {
		if slices.ContainsFunc(endTexts, func(text string) bool { return strings.HasPrefix(line, text) }) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// endTexts begin the line that says why a process ended: those of the Go runtime, of its C
// library, and of the program when [Serve] returns an error.
var endTexts = []string{"fatal error: ", "panic: ", "SIGABRT", "runtime/cgo: ", "sluice: "}

// crashTexts begin the reason of a crash on standard error; outOfMemoryTexts say that it
// could not get memory, of which a new thread needs some.
var (
	crashTexts       = []string{"fatal error", "panic: ", "SIGABRT", "pthread_create failed"}
	outOfMemoryTexts = []string{"out of memory", "allocate", "pthread_create failed", "failed to create new OS thread"}
)

func containsAny(text string, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

func respond(j *job, q treeRequest) treeResponse {
	var a treeResponse
	var err error
	t := j.overlay.own.tree
	if q.Tree > 0 && q.Tree <= len(j.served) {
		t = j.served[q.Tree-1]
	}
	switch {
	case q.Decrypt != nil && j.spec.Decrypt != nil:
		a.Data, err = j.spec.Decrypt(q.Decrypt, q.As)
	case q.FetchFile != "" && j.spec.FetchFile != nil:
		a.Data, err = j.spec.FetchFile(q.FetchFile)
		a.NoFile = errors.Is(err, ErrNoFile)
	case q.FetchRepository != nil && j.spec.FetchRepository != nil:
		var files tree.Tree
		if files, err = j.spec.FetchRepository(*q.FetchRepository); err == nil {
			j.served = append(j.served, files)
			a.Tree = len(j.served)
		}
	case q.Stat != "":
		if a.Entry, err = t.Stat(q.Stat); tree.LeadsNowhere(err) {
			a.Entry, err = tree.Entry{}, nil
		}
	case q.ReadDir != "":
		a.Entries, err = t.ReadDir(q.ReadDir)
	case q.ReadFile != "":
		a.Data, err = t.ReadFile(q.ReadFile)
	}
	if err != nil {
		a.Err = err.Error()
	}
	return a
}

func (o *buildResult) result() (*Result, error) {
	if o.Err != "" {
		failed := errFailed{text: o.Err}
		if o.Sentinel > 0 && o.Sentinel <= len(sentinels) {
			failed.sentinel = sentinels[o.Sentinel-1]
		}
		return nil, failed
	}
	r := &Result{Reads: o.Reads, Digest: o.Digest, Warnings: o.Warnings, Objects: make([]*unstructured.Unstructured, 0, len(o.Objects))}
	for _, data := range o.Objects {
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(data); err != nil {
			return nil, errFailed{text: err.Error()}
		}
		r.Objects = append(r.Objects, obj)
	}
	return r, nil
}

// stderrLog keeps the end of what is written, and from a crash on its beginning, where the
// reason is.
type stderrLog struct {
	mu   sync.Mutex
	kept []byte
}

var _ io.Writer = (*stderrLog)(nil)

func (t *stderrLog) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, data...)
	if extra := len(t.kept) - maxStderr; extra > 0 && !containsAny(string(t.kept), crashTexts) {
		t.kept = t.kept[extra:] // warnings
	}
	t.kept = t.kept[:min(len(t.kept), 2*maxStderr)]
	return len(data), nil
}

// reset forgets what was written.
func (t *stderrLog) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = nil
}

func (t *stderrLog) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
