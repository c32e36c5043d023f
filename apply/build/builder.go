// SPDX-License-Identifier: Apache-2.0

package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/apply/remoteref"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
)

// Failures of a build that may be another time.
var (
	// ErrTimeout says that a build took longer than it may.
	ErrTimeout = errors.New("the build took too long")
	// ErrUnfinished says that a build which took too long has not ended yet.
	ErrUnfinished = errors.New("the last build, which took too long, has not ended yet")
)

const (
	defaultTimeout = 2 * time.Minute
	// inspectionCost is the memory for what is looked at before the cost is known.
	inspectionCost = 1 << 20
)

// Builder builds within bounds of time and memory, which namespaces share.
//
//	measure --> memory for it --> plain: in this process
//	                          '-> has its own schema, or fields whose cost cannot be
//	                              measured: in a process of its own
//
// Kustomize cannot be interrupted. What runs in this process is abandoned when its
// time is over, or when its caller does not want it any more, such as when there is
// another commit. It may read nothing more, so it ends soon, and until it has, its owner
// builds nothing else: after one whose time was over a build fails, and after another it
// waits. The fields are set before the first Build.
type Builder struct {
	// Memory is what builds share; nil is no limit.
	Memory *budget.Budget
	// Bounds of one build.
	Bounds Bounds
	// Timeout of one build; default two minutes.
	Timeout time.Duration
	// Command starts a process that calls [Serve]. Without it, everything is built
	// in this process.
	Command []string

	mu        sync.Mutex
	abandoned map[types.NamespacedName]abandonedBuild // of each owner that has a build which has not ended, and its memory
	processes processes
}

// Build builds the objects of spec from t for a Kustomization.
func (b *Builder) Build(ctx context.Context, owner types.NamespacedName, t tree.Tree, spec Spec) (*Result, error) {
	timeout := cmp.Or(b.Timeout, defaultTimeout)
	if err := b.awaitLast(ctx, owner, timeout); err != nil {
		return nil, err
	}
	waiting := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(timeout, func() { cancel(fmt.Errorf("%w: more than %s; %s", ErrTimeout, timeout, split)) })
	// What keeps a build waiting is others' work, and no part of its time.
	wait := func(f func(context.Context) error) error {
		late.Stop()
		defer late.Reset(timeout)
		return f(waiting)
	}
	var (
		result *Result
		err    error
		done   = make(chan struct{})
	)
	go func() {
		defer cancel(nil)
		defer late.Stop()
		defer b.ended(owner, done)
		start := func(looking *budget.Grant) *job {
			return newJob(ctx, t, fetchingWithout(looking, spec), b.Bounds, looking)
		}
		defer start(nil).recovered(&err)
		result, err = b.build(ctx, owner.Namespace, start, wait)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		if err := context.Cause(ctx); b.abandon(owner, abandonedBuild{done, errors.Is(err, ErrTimeout)}) {
			return nil, err
		}
	}
	return result, err
}

func (b *Builder) build(ctx context.Context, namespace string, start func(*budget.Grant) *job, wait waiter) (*Result, error) {
	j, err := b.prepared(namespace, start, wait)
	if err != nil {
		return nil, forMemory(ctx, err)
	}
	isolated := j.isolated && len(b.Command) > 0
	cost := j.cost
	if isolated {
		cost = min(2*cost+processCost, max(cost, b.Memory.NamespaceLimit()))
	}
	if isolated { // before there is memory for it, which others could use meanwhile
		slots := b.processes.namespaceSlots()
		if err := wait(func(ctx context.Context) error { return slots.Acquire(ctx, namespace) }); err != nil {
			return nil, err
		}
		defer slots.Release(namespace)
	}
	grant, err := b.acquire(namespace, cost, wait)
	if err != nil {
		return nil, forMemory(ctx, err)
	}
	defer grant.Release()
	if isolated {
		return b.processes.build(ctx, b.Command, j, cost)
	}
	return j.finish()
}

// prepared is a job that looked at everything it would read, and holds no memory. How much
// it takes to look is only known on the way.
func (b *Builder) prepared(namespace string, start func(*budget.Grant) *job, wait waiter) (*job, error) {
	looking, err := b.acquire(namespace, inspectionCost, wait)
	if err != nil {
		return nil, err
	}
	defer looking.Release() // or the build would wait for it
	for {
		j := start(looking)
		if err := j.prepare(); !errors.Is(err, budget.ErrExhausted) {
			return j, err
		}
		if err := wait(func(ctx context.Context) error { return looking.Wait(ctx, inspectionCost) }); err != nil {
			return nil, err
		}
	}
}

// fetchingWithout is a spec whose fetches hold no memory of the build's: they wait for some of the share of
// the same namespace themselves, and would wait for the build.
func fetchingWithout(looking *budget.Grant, spec Spec) Spec {
	fetchFile, fetchRepository := spec.FetchFile, spec.FetchRepository
	if fetchFile == nil {
		return spec
	}
	spec.FetchFile = func(address string) (data []byte, err error) {
		err = looking.Without(func() error {
			data, err = fetchFile(address)
			return err
		})
		return data, err
	}
	spec.FetchRepository = func(of remoteref.Repository) (files tree.Tree, err error) {
		err = looking.Without(func() error {
			files, err = fetchRepository(of)
			return err
		})
		return files, err
	}
	return spec
}

// waiter calls what waits for others.
type waiter func(func(context.Context) error) error

func (b *Builder) acquire(namespace string, bytes int64, wait waiter) (grant *budget.Grant, err error) {
	err = wait(func(ctx context.Context) error {
		grant, err = b.Memory.Acquire(ctx, namespace, bytes)
		return err
	})
	return grant, err
}

// forMemory says what helps against a lack of memory, or of time to wait for it.
func forMemory(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, budget.ErrTooLarge):
		return fmt.Errorf("%w: %w; %s, or raise the memory limit", ErrTooLarge, err, split)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// abandonedBuild is a build that nobody waits for any more.
type abandonedBuild struct {
	done chan struct{} // closed when it has ended
	late bool          // its time was over
}

// awaitLast waits for the end of a build that the owner did not want any more. It is
// [ErrUnfinished] if that does not end, or was too long already.
func (b *Builder) awaitLast(ctx context.Context, owner types.NamespacedName, timeout time.Duration) error {
	b.mu.Lock()
	last, ok := b.abandoned[owner]
	b.mu.Unlock()
	switch {
	case !ok:
		return nil
	case last.late:
		return ErrUnfinished
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-last.done:
		return nil
	case <-late.C:
		return ErrUnfinished
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// abandon notes that nobody waits for a build any more, unless it has ended.
func (b *Builder) abandon(owner types.NamespacedName, build abandonedBuild) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-build.done:
		return false
	default:
	}
	if b.abandoned == nil {
		b.abandoned = map[types.NamespacedName]abandonedBuild{}
	}
	b.abandoned[owner] = build
	return true
}

func (b *Builder) ended(owner types.NamespacedName, done chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.abandoned, owner)
	close(done)
}
