// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/watch"
)

// applyObject applies one object.
func (a *applier) applyObject(ctx context.Context, o *object) (*decide.Applied, error) {
	profile, left := a.set.engine.profile, a.set.tracker.applied[o.id]
	next := &decide.Applied{GroupVersionKind: o.GroupVersionKind(), Treatment: profile.TreatmentOf(o.Unstructured), Digest: o.digest}
	live, known, err := a.live(ctx, o, left)
	if err == nil && !known && next.IfNotPresent {
		live, err = a.read(ctx, o)
		known = true
	}
	if err != nil {
		return nil, a.explain(o, err)
	}
	step := profile.DecideObject(decide.Candidate{Treatment: next.Treatment, Live: live, Known: known, AsLeft: a.asLeft(o, left)})
	switch step {
	case decide.Skip:
		next.Action, next.Left = decide.Skipped, live
		return next, nil
	case decide.Keep:
		kept := *left
		kept.Action = decide.Unchanged
		return &kept, nil
	case decide.Update, decide.Create:
	}
	repaired := a.repairing(ctx, o, left, live)
	if step == decide.Create {
		err = a.create(ctx, o, next)
	} else {
		err = a.update(ctx, o, live, next)
	}
	if err != nil {
		return nil, a.explain(o, err)
	}
	a.countRepair(repaired, next)
	return next, nil
}

// asLeft reports whether the object is in the source as it was, and in the cluster as
// it was left, or is not repaired for a while because somebody keeps changing it.
func (a *applier) asLeft(o *object, left *decide.Applied) bool {
	tracker := a.set.tracker
	return left != nil && left.Digest == o.digest && a.set.readAlike(left) &&
		(tracker.driftOf(o.id, left) == decide.NoDrift || tracker.repairsOf(o.id).Pause(a.set.engine.clock.Now()) > 0)
}

// readAlike reports whether an object was left as the owner's rules, as they are now, would
// read it.
func (s *Set) readAlike(left *decide.Applied) bool {
	return left.Left == nil || left.Left.Rules == s.rules.DigestFor(left.GroupVersionKind, left.Left)
}

// live is the object as it is before this apply, nil when it is not there. The
// informers know the objects that carry an owner's label; whether there is one
// without it is not known.
func (a *applier) live(ctx context.Context, o *object, left *decide.Applied) (live *decide.LiveObject, known bool, err error) {
	engine := a.set.engine
	seen, freshness := a.set.watch.Observe(o.GroupVersionKind(), o.id, leftOf(left))
	switch {
	case freshness == decide.Fresh:
		return seen, true, nil
	case freshness == decide.Stale && left != nil:
		return left.Left, true, nil
	case freshness == decide.Missing && left != nil && left.Labelled(engine.profile, a.set.owner):
		return nil, true, nil // it was labelled, so it is gone
	case freshness == decide.Missing:
		return nil, false, nil
	}
	live, err = a.read(ctx, o)
	return live, true, err
}

// read reads the object from the API server; nil when it is not there.
func (a *applier) read(ctx context.Context, o *object) (*decide.LiveObject, error) {
	u, err := a.client.get(ctx, o.endpoint)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return a.set.observe(u), nil
}

// create applies an object that is probably new. Somebody else may have made
// it, and asked that it be left alone, so nothing is taken from anyone before
// that is known; asking first would cost every new object a call.
func (a *applier) create(ctx context.Context, o *object, next *decide.Applied) error {
	profile := a.set.engine.profile
	got, err := a.client.apply(ctx, o.endpoint, o.payload, refuseConflicts)
	if apierrors.IsConflict(err) || refusesChange(err) {
		refusal := err
		live, err := a.read(ctx, o)
		switch {
		case err != nil:
			return errors.Join(refusal, err)
		case live == nil && !apierrors.IsConflict(refusal):
			return refusal // it is new, and is refused as it is
		case live != nil && profile.Excluded(live.Labels, live.Annotations):
			next.Action, next.Left = decide.Skipped, live
			return nil
		}
		return a.update(ctx, o, live, next)
	}
	if err != nil {
		return err
	}
	if !got.created && profile.Excluded(got.object.GetLabels(), got.object.GetAnnotations()) {
		return a.release(ctx, o, next)
	}
	return a.finish(ctx, o, got, next)
}

// release gives up all fields that were just applied to an object that asks to be left
// alone: an apply of nothing removes them.
func (a *applier) release(ctx context.Context, o *object, next *decide.Applied) error {
	bare := &unstructured.Unstructured{}
	bare.SetGroupVersionKind(o.GroupVersionKind())
	bare.SetNamespace(o.GetNamespace())
	bare.SetName(o.GetName())
	payload, err := bare.MarshalJSON()
	if err != nil {
		return err
	}
	got, err := a.client.apply(ctx, o.endpoint, payload, forceConflicts)
	if err != nil {
		return err
	}
	next.Action, next.Left = decide.Skipped, a.set.observe(got.object)
	return nil
}

// update applies the object whoever owns its fields, and recreates it if it must
// and may.
func (a *applier) update(ctx context.Context, o *object, live *decide.LiveObject, next *decide.Applied) error {
	if live != nil {
		if err := a.leaveIgnored(ctx, o); err != nil {
			return err
		}
	}
	got, err := a.client.apply(ctx, o.endpoint, o.payload, forceConflicts)
	if live != nil && refusesChange(err) {
		got, err = a.applyOverFormer(ctx, o, err)
	}
	if live != nil && refusesChange(err) {
		return a.recreateObject(ctx, o, next, err)
	}
	if err != nil {
		return err
	}
	if err := a.finish(ctx, o, got, next); err != nil {
		return err
	}
	if live != nil && live.ResourceVersion == next.Left.ResourceVersion {
		next.Action = decide.Unchanged
	}
	return nil
}

// leaveIgnored makes an object leave the fields that the owner's rules ignore as they are in
// the cluster. Their values are not watched, and cost a call.
func (a *applier) leaveIgnored(ctx context.Context, o *object) error {
	ignored := a.set.rules.Ignored(o.GroupVersionKind(), o)
	if len(ignored) == 0 {
		return nil
	}
	live, err := a.client.get(ctx, o.endpoint)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the fields to ignore: %w", err)
	}
	adopted := o.DeepCopy()
	watch.Adopt(ignored, adopted, live, a.set.engine.profile.FieldManager)
	o.payload, err = json.Marshal(adopted.Object)
	return err
}

// applyOverFormer applies an object that was refused once more, without what former
// managers have added to the live one. An apply leaves that in its place until it was
// taken over, and both together may be invalid: two ports without names, a volume of
// two types. Where there is nothing to take over, the refusal stands.
func (a *applier) applyOverFormer(ctx context.Context, o *object, refusal error) (applyResponse, error) {
	live, err := a.client.get(ctx, o.endpoint)
	if err != nil || a.set.engine.profile.Excluded(live.GetLabels(), live.GetAnnotations()) {
		return applyResponse{}, refusal
	}
	taken, err := a.takeOver(ctx, o, live)
	if taken == live {
		return applyResponse{}, refusal
	}
	return applyResponse{object: taken}, err
}

// finish clears other managers' claims on what was applied, and notes how the object
// is left.
func (a *applier) finish(ctx context.Context, o *object, got applyResponse, next *decide.Applied) error {
	left, err := a.takeOver(ctx, o, got.object)
	if err != nil {
		return err
	}
	next.Left, next.Warnings = a.set.observe(left), warningsOf(o, got)
	if next.Action = decide.Configured; got.created {
		next.Action = decide.Created
	}
	return nil
}

// Annotations and labels of those who managed an object before: kubectl, and the first
// Flux.
var (
	formerAnnotations = []string{
		"kubectl.kubernetes.io/last-applied-configuration",
		"kustomize.toolkit.fluxcd.io/checksum", "fluxcd.io/sync-checksum",
	}
	formerLabels = []string{"fluxcd.io/sync-gc-mark"}
)

// takeOver looks at what the API server answered for traces of former managers,
// and clears them. Objects that have none, nearly all, cost no call.
func (a *applier) takeOver(ctx context.Context, o *object, got *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	profile := a.set.engine.profile
	if profile.Merges(o.GetLabels(), o.GetAnnotations()) || profile.Merges(got.GetLabels(), got.GetAnnotations()) {
		return got, nil
	}
	for range maxConflicts {
		operations := append(
			ssa.PatchRemoveAnnotations(got, formerAnnotations),
			ssa.PatchRemoveLabels(got, formerLabels)...)
		fields, err := replaceFormerManagers(got, profile)
		if err != nil {
			return nil, fmt.Errorf("reading managed fields: %w", err)
		}
		if operations = append(operations, fields...); len(operations) == 0 {
			return got, nil
		}
		_, conflict := a.client.patch(ctx, o.endpoint, got.GetResourceVersion(), operations)
		if conflict != nil && !apierrors.IsConflict(conflict) {
			return nil, fmt.Errorf("taking over managed fields: %w", conflict)
		}
		// Also after a conflict, for a status that was written meanwhile: the answer
		// is the object as it is now.
		again, err := a.client.apply(ctx, o.endpoint, o.payload, forceConflicts)
		if got = again.object; err != nil || conflict == nil {
			return got, err
		}
	}
	return nil, errors.New("taking over managed fields: the object is written faster than it can be looked at")
}

// replaceFormerManagers makes the fields of former managers ours. Entries that only ask
// for something, as for a restart, stay as they are.
func replaceFormerManagers(got *unstructured.Unstructured, profile *decide.Profile) ([]ssa.JSONPatch, error) {
	var others, requests []metav1.ManagedFieldsEntry
	for _, entry := range got.GetManagedFields() {
		if watch.Requests(entry) {
			requests = append(requests, entry)
		} else {
			others = append(others, entry)
		}
	}
	shown := got
	if len(requests) > 0 {
		shown = &unstructured.Unstructured{Object: map[string]any{}}
		shown.SetManagedFields(others)
	}
	patches, err := ssa.PatchReplaceFieldsManagers(shown, watch.FormerManagers(profile), profile.FieldManager)
	for i := range patches {
		patches[i].Value = append(patches[i].Value, requests...)
	}
	return patches, err
}
