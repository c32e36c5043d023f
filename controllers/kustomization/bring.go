package kustomization

import (
	"context"
	"errors"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// bring builds, applies and prunes. It returns a health when the apply cannot
// go on before definitions are established.
func (p *pass) bring(ctx context.Context) (waiting *apply.Health, err error) {
	if p.state.built != nil {
		p.state.started, p.state.since, p.state.verdict = p.now, p.now, "" // what comes now has its own time
	}
	p.state.built = nil
	result, made, err := p.build(ctx)
	if err != nil {
		return nil, err
	}
	outcome, err := p.apply(ctx, result)
	before, err := p.record(outcome, err)
	if errors.Is(err, apply.ErrTerminating) {
		return nil, reconciler.Pending(because(meta.ReconciliationFailedReason, err), blindLook)
	}
	if err != nil {
		return nil, retrying(p.k, because(meta.ReconciliationFailedReason, err))
	}
	if !outcome.Waiting.Healthy() {
		return p.gate(outcome.Waiting)
	}
	if err := p.prune(ctx, before, outcome.Entries()); err != nil {
		return nil, retrying(p.k, because(meta.PruneFailedReason, err))
	}
	p.state.built = made
	return nil, nil
}

func (p *pass) apply(ctx context.Context, result *build.Result) (*apply.Outcome, error) {
	req := apply.Request{
		Owner: keyOf(p.k), Identity: p.r.identity(p.k), Objects: result.Objects, Others: p.others(),
	}
	if p.k.Spec.Force {
		req.Recreate = apply.RecreateAll
	}
	if common := p.k.Spec.CommonMetadata; common != nil {
		req.Labels, req.Annotations = common.Labels, common.Annotations
	}
	ctx, cancel := context.WithTimeout(ctx, p.k.GetTimeout())
	defer cancel()
	return p.r.engine.Apply(ctx, req)
}

// record notes in the status and the events what an apply did, also when it
// stopped half way: the inventory never loses an object that may be there.
func (p *pass) record(outcome *apply.Outcome, failed error) ([]inventory.Entry, error) {
	before, malformed := entriesOf(p.k)
	if len(malformed) > 0 {
		p.events = append(p.events, reconciler.Event{
			Type: corev1.EventTypeWarning, Reason: meta.ProgressingReason, Message: forgotten(malformed),
		})
	}
	p.setInventory(inventory.Union(before, outcome.Entries()))
	for _, fight := range outcome.Fights {
		p.events = append(p.events, reconciler.Event{
			Type: corev1.EventTypeWarning, Reason: reasonDrift, Message: fight.String(), Metadata: p.about(),
		})
	}
	changed := apply.Log(outcome.Changes)
	if failed != nil && changed != "" {
		return before, fmt.Errorf("%w\n%s", failed, changed)
	}
	if changed != "" {
		p.tell(meta.ProgressingReason, changed)
	}
	return before, failed
}

// gate decides about definitions that are not established yet.
func (p *pass) gate(h apply.Health) (*apply.Health, error) {
	switch {
	case len(h.Failed) > 0:
		err := fmt.Errorf("failed early due to stalled resources: %s", list(h.Failed))
		return nil, retrying(p.k, because(meta.ReconciliationFailedReason, err))
	case !p.now.Before(p.state.since.Add(p.k.GetTimeout())):
		err := fmt.Errorf("timeout waiting for: %s", list(h.Pending))
		return nil, retrying(p.k, because(meta.ReconciliationFailedReason, err))
	}
	return &h, nil
}

// prune deletes what left the inventory, and settles the new one.
func (p *pass) prune(ctx context.Context, before, after []inventory.Entry) error {
	stale := inventory.Diff(before, after)
	if !p.k.Spec.Prune || len(stale) == 0 {
		p.setInventory(after)
		return nil
	}
	changes, left, err := p.r.engine.Prune(ctx, keyOf(p.k), p.r.identity(p.k), stale)
	p.setInventory(append(after, left...))
	if pruned := apply.Log(changes); pruned != "" {
		log.FromContext(ctx).Info("pruned", "objects", strings.Split(pruned, "\n"), "revision", p.artifact.Revision)
		p.tell(meta.ProgressingReason, pruned)
	}
	return err
}

// reasonDrift is that of events about objects that somebody keeps changing.
const reasonDrift = "DriftDetected"

// tell adds an event about the revision.
func (p *pass) tell(reason, message string) {
	p.events = append(p.events, reconciler.Event{
		Type: corev1.EventTypeNormal, Reason: reason, Message: message, Metadata: p.about(),
	})
}

// about is what all events of this reconcile have in their metadata.
func (p *pass) about() map[string]string {
	return revisionOf(p.artifact.Revision, p.artifact.Metadata[originRevision])
}

// revisionOf is the metadata by which notifications know a revision, and the commit
// that it was made of.
func revisionOf(revision, origin string) map[string]string {
	group, about := kustomizev1.GroupVersion.Group, map[string]string{}
	if revision != "" {
		about[group+"/revision"] = revision
	}
	if origin != "" {
		about[group+"/originRevision"] = origin
	}
	return about
}

// originRevision is the artifact's metadata that names the commit it was made of.
const originRevision = "org.opencontainers.image.revision"

// entriesOf reads the inventory in the status. An entry that nobody can read, because
// somebody wrote it by hand, stands for no object: it must not keep the others from
// being applied and deleted.
func entriesOf(k *kustomizev1.Kustomization) (entries []inventory.Entry, malformed []string) {
	if k.Status.Inventory == nil {
		return nil, nil
	}
	for _, ref := range k.Status.Inventory.Entries {
		id, err := inventory.Parse(ref.ID)
		if err != nil {
			malformed = append(malformed, ref.ID)
			continue
		}
		entries = append(entries, inventory.Entry{ID: id, Version: ref.Version})
	}
	return entries, malformed
}

// forgotten says which entries of an inventory were left out.
func forgotten(malformed []string) string {
	return fmt.Sprintf("left out of status.inventory what names no object: %q; what it was meant for stays in the cluster", malformed)
}

func (p *pass) setInventory(entries []inventory.Entry) {
	p.state.owned = entries
	refs := make([]kustomizev1.ResourceRef, 0, len(entries))
	for _, e := range entries {
		refs = append(refs, kustomizev1.ResourceRef{ID: e.String(), Version: e.Version})
	}
	p.k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: refs}
}

// list is how messages enumerate objects.
func list(objects []string) string { return "[" + strings.Join(objects, ", ") + "]" }
