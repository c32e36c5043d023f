package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/watch"
)

// one brings one object into the cluster.
func (p *pass) one(ctx context.Context, o *object) (*applied, error) {
	was := p.mem.applied[o.id]
	next := &applied{gvk: o.GroupVersionKind(), digest: o.digest}
	_, ttl, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "ttlSecondsAfterFinished")
	next.expires = ttl && o.GetKind() == "Job"
	next.present = wants(o.GetLabels(), o.GetAnnotations(), keySSA, "IfNotPresent")
	next.merges = wants(o.GetLabels(), o.GetAnnotations(), keySSA, "Merge")
	next.declined = excluded(o.GetLabels(), o.GetAnnotations())

	live, known, err := p.live(ctx, o, was)
	if err == nil && !known && next.present {
		live, err = p.read(ctx, o)
		known = true
	}
	switch {
	case err != nil:
		return nil, p.explain(o, err)
	case next.declined,
		live != nil && excluded(live.Labels, live.Annotations),
		live != nil && next.present:
		next.action, next.seen = Skipped, live
		return next, nil
	case p.stands(o, was):
		kept := *was
		kept.action = Unchanged
		return &kept, nil
	}
	repair := p.repair(ctx, o, was, live)
	if known {
		err = p.send(ctx, o, live, next)
	} else {
		err = p.introduce(ctx, o, next)
	}
	if err != nil {
		return nil, p.explain(o, err)
	}
	p.repaired(repair, next)
	return next, nil
}

// stands reports whether the object is as it was left, or is left as somebody else
// keeps making it, for a while.
func (p *pass) stands(o *object, was *applied) bool {
	if was == nil || was.digest != o.digest {
		return false
	}
	seen, sight := p.engine.watches.Look(was.gvk, o.id, was.version())
	return was.drift(p.req.Owner, seen, sight) == Steady || p.mem.paused(o.id, p.engine.Clock.Now())
}

// live is the object as it is before this apply, nil when it is not there. The
// informers know the objects that carry an owner's label; whether there is one
// without it is not known.
func (p *pass) live(ctx context.Context, o *object, was *applied) (live *watch.Observed, known bool, err error) {
	seen, sight := p.engine.watches.Look(o.GroupVersionKind(), o.id, was.version())
	switch {
	case sight == watch.Seen:
		return seen, true, nil
	case sight == watch.Behind && was != nil:
		return was.seen, true, nil
	case was != nil && was.ours(p.req.Owner) && sight == watch.Missing:
		return nil, true, nil // it was labelled, so it is gone
	case sight == watch.Missing:
		return nil, false, nil
	}
	live, err = p.read(ctx, o)
	return live, true, err
}

// read reads the object from the API server; nil when it is not there.
func (p *pass) read(ctx context.Context, o *object) (*watch.Observed, error) {
	u, err := p.client.get(ctx, o.at)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return watch.Observe(u), nil
}

// introduce applies an object that is probably new. Somebody else may have made
// it, and asked that it be left alone, so nothing is taken from anyone before
// that is known; asking first would cost every new object a call.
func (p *pass) introduce(ctx context.Context, o *object, next *applied) error {
	got, created, err := p.client.apply(ctx, o.at, o.payload, yielding)
	if apierrors.IsConflict(err) || refusesChange(err) {
		refusal := err
		live, err := p.read(ctx, o)
		switch {
		case err != nil:
			return errors.Join(refusal, err)
		case live == nil && !apierrors.IsConflict(refusal):
			return refusal // it is new, and not to be had
		case live != nil && excluded(live.Labels, live.Annotations):
			next.action, next.seen = Skipped, live
			return nil
		}
		return p.send(ctx, o, live, next)
	}
	if err != nil {
		return err
	}
	if !created && excluded(got.GetLabels(), got.GetAnnotations()) {
		return p.withdraw(ctx, o, next)
	}
	return p.settle(ctx, o, got, next, actionOf(created))
}

// withdraw gives up everything that was just applied.
func (p *pass) withdraw(ctx context.Context, o *object, next *applied) error {
	bare := &unstructured.Unstructured{}
	bare.SetGroupVersionKind(o.GroupVersionKind())
	bare.SetNamespace(o.GetNamespace())
	bare.SetName(o.GetName())
	payload, err := bare.MarshalJSON()
	if err != nil {
		return err
	}
	got, _, err := p.client.apply(ctx, o.at, payload, forcing)
	if err != nil {
		return err
	}
	next.action, next.seen = Skipped, watch.Observe(got)
	return nil
}

// send applies the object whoever owns its fields, and recreates it if it must
// and may.
func (p *pass) send(ctx context.Context, o *object, live *watch.Observed, next *applied) error {
	got, created, err := p.client.apply(ctx, o.at, o.payload, forcing)
	if live != nil && refusesChange(err) {
		return p.renew(ctx, o, next, err)
	}
	if err != nil {
		return err
	}
	if err := p.settle(ctx, o, got, next, actionOf(created)); err != nil {
		return err
	}
	if live != nil && live.ResourceVersion == next.seen.ResourceVersion {
		next.action = Unchanged
	}
	return nil
}

// settle clears other people's claims on what was applied, and notes the rest.
func (p *pass) settle(ctx context.Context, o *object, got *unstructured.Unstructured, next *applied, did Action) error {
	got, err := p.takeOver(ctx, o, got)
	if err != nil {
		return err
	}
	next.seen, next.action = watch.Observe(got), did
	return nil
}

func actionOf(created bool) Action {
	if created {
		return Created
	}
	return Configured
}

// leftovers are annotations and labels of those who managed the object before.
var (
	leftoverAnnotations = []string{
		"kubectl.kubernetes.io/last-applied-configuration",
		group + "/checksum", "fluxcd.io/sync-checksum",
	}
	leftoverLabels = []string{"fluxcd.io/sync-gc-mark"}
)

// takeOver looks at what the API server answered for traces of former managers,
// and clears them. Objects that have none, nearly all, cost no call.
func (p *pass) takeOver(ctx context.Context, o *object, got *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if wants(o.GetLabels(), o.GetAnnotations(), keySSA, "Merge") ||
		wants(got.GetLabels(), got.GetAnnotations(), keySSA, "Merge") {
		return got, nil
	}
	for range judgements {
		operations := append(
			ssa.PatchRemoveAnnotations(got, leftoverAnnotations),
			ssa.PatchRemoveLabels(got, leftoverLabels)...)
		fields, err := replaceRivals(got)
		if err != nil {
			return nil, fmt.Errorf("reading managed fields: %w", err)
		}
		if operations = append(operations, fields...); len(operations) == 0 {
			return got, nil
		}
		_, conflict := p.client.patch(ctx, o.at, got.GetResourceVersion(), operations)
		if conflict != nil && !apierrors.IsConflict(conflict) {
			return nil, fmt.Errorf("taking over managed fields: %w", conflict)
		}
		// Also after a conflict, for a status that was written meanwhile: the answer
		// is the object as it is now.
		got, _, err = p.client.apply(ctx, o.at, o.payload, forcing)
		if err != nil || conflict == nil {
			return got, err
		}
	}
	return nil, errors.New("taking over managed fields: the object is written faster than it can be looked at")
}

// replaceRivals makes the fields of rivals ours. Entries that only ask for something are
// not shown to it, and stay as they are.
func replaceRivals(got *unstructured.Unstructured) ([]ssa.JSONPatch, error) {
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
	patches, err := ssa.PatchReplaceFieldsManagers(shown, watch.Rivals(), watch.Manager)
	for i := range patches {
		patches[i].Value = append(patches[i].Value, requests...)
	}
	return patches, err
}
