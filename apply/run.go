// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/background"
)

// Limits that are not worth an option.
const (
	// parallel bounds the objects of one owner that are applied at once.
	parallel = 4
	// syncPatience is how long a first apply waits for informers to list, so
	// that it need not read every object by itself.
	syncPatience = 5 * time.Second
)

// Apply applies the request's objects stage by stage. On an error the outcome
// says what was done before it.
func (s *Set) Apply(ctx context.Context, req Request) (out *Result, err error) {
	out = &Result{}
	c, err := s.engine.clients.identity(req.Impersonation)
	if err != nil {
		return out, err
	}
	stages, err := sortIntoStages(s.engine.profile, s.owner, req)
	if err != nil {
		return out, err
	}
	if s.identity != req.Impersonation {
		s.identity, s.grants = req.Impersonation, map[Reference]grant{}
	}
	if s.rules.Digest() != req.Rules.Digest() {
		s.rules = req.Rules
		s.watch.Read(req.Rules)
	}
	s.references, _ = s.locateReferences(ctx, req.References)
	r := &applyRun{set: s, record: req.Record, applier: applier{set: s, client: c, recreate: req.Recreate}}
	s.tracker.beginApply()
	defer func() {
		out.Contentions = r.applier.contentions
		if s.tracker.endApply() && err == nil {
			s.tracker.wake() // an error is tried again anyway
		}
	}()
	return out, r.apply(ctx, stages, out)
}

// applyRun is one Apply.
type applyRun struct {
	set      *Set
	applier  applier
	watching []watch.Target
	// record is the request's, and recorded what it was told.
	record   func(context.Context, []inventory.Entry) error
	recorded []inventory.Entry
	// terminating are objects that have to be gone before they can be created again.
	terminating []*object
}

func (r *applyRun) apply(ctx context.Context, stages []stage, out *Result) error {
	if err := r.recordAll(ctx, stages); err != nil {
		return err
	}
	kept := map[inventory.ID]bool{}
	for _, stage := range stages {
		changes, err := r.applyStage(ctx, stage, out)
		out.Changes = append(out.Changes, changes...)
		if err != nil {
			r.awaitTermination(ctx)
			return err
		}
		for _, o := range stage.objects {
			kept[o.id] = true
		}
		if stage.gate {
			if out.Waiting = r.waitFor(ctx, stage); !out.Waiting.Healthy() {
				return nil
			}
		}
	}
	r.set.tracker.retain(kept)
	r.set.watch.Use(ctx, r.set.targets())
	return nil
}

// recordAll records the objects of stages, as far as their kinds are known by now.
func (r *applyRun) recordAll(ctx context.Context, stages []stage) error {
	if r.record == nil {
		return nil
	}
	var entries []inventory.Entry
	unknown := map[schema.GroupVersionKind]bool{} // each is asked for once
	for _, s := range stages {
		for _, o := range s.objects {
			gvk := o.GroupVersionKind()
			if unknown[gvk] {
				continue
			}
			err := o.locate(r.applier.client, r.set.engine.profile)
			unknown[gvk] = meta.IsNoMatchError(err)
			if err == nil {
				entries = append(entries, inventory.Entry{ID: o.id, Version: gvk.Version})
			}
		}
	}
	if len(inventory.Diff(entries, r.recorded)) == 0 {
		return nil
	}
	r.recorded = inventory.Union(r.recorded, entries)
	return r.record(ctx, r.recorded)
}

// applyStage applies the objects of one stage in parallel.
func (r *applyRun) applyStage(ctx context.Context, w stage, out *Result) ([]Change, error) {
	if err := w.resolve(r.applier.client, r.set.engine.profile); err != nil {
		return nil, err
	}
	if err := r.recordAll(ctx, []stage{w}); err != nil {
		return nil, err
	}
	r.watchStage(ctx, w)
	results := make([]*decide.Applied, len(w.objects))
	errs := make([]error, len(w.objects))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, o := range w.objects {
		group.Go(func() error {
			results[i], errs[i] = r.applier.safely(ctx, o)
			return nil
		})
	}
	_ = group.Wait() // every object is tried; errs tells
	var changes []Change
	for i, o := range w.objects {
		if errors.Is(errs[i], ErrTerminating) {
			r.terminating = append(r.terminating, o)
		}
		if results[i] == nil {
			continue
		}
		out.remark(o.id, r.set.tracker.applied[o.id], results[i])
		r.set.tracker.record(o.id, results[i])
		changes = append(changes, Change{
			Entry:  inventory.Entry{ID: o.id, Version: o.GroupVersionKind().Version},
			Action: results[i].Action, Repaired: r.applier.repaired[o.id],
		})
	}
	if ChangeLines(changes) != "" {
		return changes, errors.Join(errs...)
	}
	return changes, r.set.engine.refused(ctx, r.set.identity, errs)
}

// watchStage makes sure that the stage's kinds are watched, and waits a little for
// the first list of those that were not.
func (r *applyRun) watchStage(ctx context.Context, stage stage) {
	known := len(r.watching)
	for _, o := range stage.objects {
		r.addTarget(watch.Target{GroupVersionKind: o.GroupVersionKind()})
	}
	if known == 0 {
		for _, target := range referenceTargets(r.set.references, r.set.rules) {
			r.addTarget(target)
		}
	}
	if len(r.watching) == known {
		return
	}
	// What the last run used stays in use until this one has seen all stages.
	r.set.watch.Use(ctx, append(r.set.targets(), r.watching...))
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	r.set.watch.WaitSynced(ctx)
}

func (r *applyRun) addTarget(target watch.Target) {
	for _, known := range r.watching {
		if known == target {
			return
		}
	}
	r.watching = append(r.watching, target)
}

// waitFor reports whether the stage's objects are established, so that later stages
// can rely on them.
func (r *applyRun) waitFor(ctx context.Context, stage stage) decide.Health {
	var all []subject
	for _, o := range stage.objects {
		if done := r.set.tracker.applied[o.id]; done != nil && done.Action != decide.Skipped {
			all = append(all, subject{gvk: o.GroupVersionKind(), id: o.id})
		}
	}
	return r.set.checkHealth(ctx, all)
}

// awaitTermination has the owner woken when deleted objects are gone. One may be gone
// before anybody waits for it, and then nobody would be told.
func (r *applyRun) awaitTermination(ctx context.Context) {
	awaited := make([]decide.Awaited, 0, len(r.terminating))
	for _, o := range r.terminating {
		awaited = append(awaited,
			decide.Awaited{GroupVersionKind: o.GroupVersionKind(), ID: o.id, Gone: true, ResourceVersion: r.set.tracker.applied[o.id].Version()})
	}
	if r.set.watch.Await(awaited) || len(awaited) == 0 {
		return
	}
	for _, o := range r.terminating {
		if _, err := r.applier.client.get(ctx, o.endpoint); !apierrors.IsNotFound(err) {
			return
		}
	}
	r.set.tracker.wake()
}

// applier applies single objects, several at once.
type applier struct {
	set      *Set
	client   *client
	recreate Recreate

	mu          sync.Mutex
	contentions []decide.Contention
	repaired    map[inventory.ID]*decide.Contention
}

// safely is applyObject, outside of whose goroutine nobody would catch a panic: an
// object that nobody thought of must not end the process, again after each restart.
func (a *applier) safely(ctx context.Context, o *object) (done *decide.Applied, err error) {
	panicked := background.Try(ctx, func() error {
		done, err = a.applyObject(ctx, o)
		return nil
	})
	if panicked != nil {
		return nil, fmt.Errorf("%s apply failed: %w", o.id.Subject(), panicked)
	}
	return done, err
}

// report keeps a contention that people should be told of.
func (a *applier) report(c decide.Contention) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.contentions = append(a.contentions, c)
}
