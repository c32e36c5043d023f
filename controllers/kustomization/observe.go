// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
)

// run is one reconcile of one Kustomization: what was seen, and what is told in the
// end.
type run struct {
	k        *kustomizev1.Kustomization
	artifact *meta.Artifact
	state    *state
	seen     decide.Observation
	rules    *watch.Rules
	// opened is the artifact's tree, once it is needed.
	opened tree.Tree
	// malformed are entries of the status' inventory that name no object.
	malformed []string
	// recorded are the objects that the inventory was made to have before the apply.
	recorded []inventory.Entry
	// attempted says that nothing stood before the apply.
	attempted bool
	events    []reconciler.Event
}

// observe reads all that decides whether there is anything to do. It makes no API call
// that the cache does not answer.
func (r *Reconciler) observe(ctx context.Context, k *kustomizev1.Kustomization) (*run, error) {
	run := &run{k: k, state: r.states.get(keyOf(k))}
	if err := refuse(k); err != nil {
		return run, terminal(err)
	}
	if err := refuseDecryption(k); err != nil {
		return run, terminal(err)
	}
	var err error
	if run.rules, err = run.state.rulesOf(k); err != nil {
		return run, terminal(err)
	}
	if run.artifact, err = r.artifact(ctx, k); err != nil {
		return run, err
	}
	if err := r.ensureCluster(ctx, run.state, k); err != nil {
		return run, err
	}
	if err := r.reach(ctx, run.state, k); err != nil {
		return run, err
	}
	requested, _ := meta.ReconcileAnnotationValue(k.GetAnnotations())
	run.seen.Attempt = decide.Attempt{
		Revision: run.artifact.Revision, Digest: run.artifact.Digest, Generation: k.Generation, Requested: requested,
	}
	run.seen.Spec = decisionSpec(k)
	run.seen.NextRun = reconciler.Spread(k.GetRequeueAfter(), r.Jitter)
	run.observeStatus()
	run.seen.Drift = run.state.objects.Drift()
	if err := r.observeInputs(ctx, run); err != nil {
		return run, err
	}
	run.seen.Dependencies, err = r.dependencies().read(ctx, run)
	if err == nil && len(run.seen.Dependencies) > 0 {
		run.seen.Cycle = r.dependencies().cycle(ctx, keyOf(k))
	}
	return run, err
}

// decisionSpec is the part of the spec that decides how k is reconciled.
func decisionSpec(k *kustomizev1.Kustomization) decide.Spec {
	spec := decide.Spec{
		Interval: k.Spec.Interval.Duration, Timeout: k.GetTimeout(),
		Prune: k.Spec.Prune, ReadsVariables: readsInputs(k),
	}
	switch {
	case k.Spec.Wait:
		spec.HealthCheck = decide.CheckApplied
	case len(k.Spec.HealthChecks) > 0:
		spec.HealthCheck = decide.CheckReferences
	}
	return spec
}

// observeStatus reads what the last reconcile has left in the status.
func (run *run) observeStatus() {
	k := run.k
	run.seen.Inventory, run.malformed = entriesOf(k)
	run.seen.Ready = apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition)
	run.seen.AppliedRevision = k.Status.LastAppliedRevision
	if latest := k.Status.History.Latest(); latest != nil {
		run.seen.AppliedObjects = latest.Digest
	}
	healthy := apimeta.FindStatusCondition(k.Status.Conditions, meta.HealthyCondition)
	if healthy == nil || healthy.ObservedGeneration != k.Generation {
		return
	}
	run.seen.Healthy = healthy.Status == metav1.ConditionTrue
	if healthy.Status == metav1.ConditionUnknown && k.Status.LastAttemptedRevision == run.artifact.Revision {
		run.seen.HealthAwaitedSince = healthy.LastTransitionTime.Time
	}
}

// observeInputs compares what the last build read with what is there now.
func (r *Reconciler) observeInputs(ctx context.Context, run *run) error {
	built := run.state.previous.Built
	if built == nil || built.Generation != run.k.Generation {
		return nil
	}
	if built.Artifact == "" || built.Artifact != run.artifact.Digest { // an artifact of the same digest has the same files
		if err := r.open(ctx, run); err != nil {
			return err
		}
		_, same, err := run.state.reads.AnsweredBy(run.opened)
		if err != nil {
			return retrySoon(run.k, reconciler.WithReason(meta.ArtifactFailedReason, fmt.Errorf("reading %s: %w", run.artifact.Revision, err)))
		}
		run.seen.FilesChanged = !same
	}
	run.seen.Moves = run.state.moves
	run.seen.VariablesChanged = readsInputs(run.k) && changedInputs(ctx, r.live, run.k.Namespace, run.state.inputs)
	return nil
}

// open opens the artifact, once.
func (r *Reconciler) open(ctx context.Context, run *run) error {
	if run.opened != nil {
		return nil
	}
	opened, err := r.Opener.Open(ctx, run.k.Namespace, run.artifact)
	if err != nil {
		return reconciler.WithReason(meta.ArtifactFailedReason, fmt.Errorf("opening artifact %s: %w", run.artifact.Revision, err))
	}
	run.opened = opened
	return nil
}

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

// describeMalformed says which entries of an inventory were left out.
func describeMalformed(malformed []string) string {
	return fmt.Sprintf("left out of status.inventory what names no object: %q; what it was meant for stays in the cluster", malformed)
}
