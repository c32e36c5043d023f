// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Builds that take long go on without a worker, so that ten slow Kustomizations do
// not hold up everybody's.
const (
	// buildPatience is how long a worker waits for a build; nearly all are done by then.
	buildPatience = 2 * time.Second
	// buildsPerNamespace is how many builds of one namespace run at once.
	buildsPerNamespace = 4
	// buildKept is how long a late build waits for the run that asks for it again.
	buildKept = 10 * time.Minute
)

// driftDetectedReason is that of events about objects that somebody keeps changing.
const driftDetectedReason = "DriftDetected"

// apiServerWarningReason is that of events about what the API server accepted with a warning.
const apiServerWarningReason = "APIServerWarning"

// perform does what was decided, and adds to the observation what came of it.
func (r *Reconciler) perform(ctx context.Context, run *run, decision decide.Decision) {
	switch decision.Action {
	case decide.EndPauses:
		run.state.objects.EndPauses()
		run.seen.Drift = run.state.objects.Drift()
	case decide.ReadVariables:
		r.readVariables(ctx, run)
	case decide.Apply:
		run.attempted = true
		r.apply(ctx, run)
	case decide.Prune:
		r.prune(ctx, run, decision)
	case decide.CheckHealth:
		run.attempted = true
		run.seen.Health = new(run.health(ctx))
	case decide.Report:
	}
}

// readVariables reads what variables are by now.
func (r *Reconciler) readVariables(ctx context.Context, run *run) {
	got, err := r.readBuildParameters(ctx, run.k)
	if err != nil {
		run.seen.Failure = variablesFailure(err)
		return
	}
	run.state.inputs = got.inputs
	run.seen.Variables = new(got.digest())
}

// apply builds the objects and applies them.
func (r *Reconciler) apply(ctx context.Context, run *run) {
	result, built, failure := r.build(ctx, run)
	if run.seen.Failure = failure; result == nil {
		return
	}
	request := apply.Request{
		Impersonation: r.identity(run.k), Objects: result.Objects, References: references(run.k), Rules: run.rules,
		Record: run.recordGrowth,
	}
	if run.k.Spec.Force {
		request.Recreate = apply.RecreateAll
	}
	if common := run.k.Spec.CommonMetadata; common != nil {
		request.Labels, request.Annotations = common.Labels, common.Annotations
	}
	ctx, cancel := context.WithTimeout(ctx, run.k.GetTimeout())
	defer cancel()
	outcome, err := run.state.objects.Apply(ctx, request)
	if len(run.malformed) > 0 && !run.state.previous.Applied {
		run.advise(meta.ProgressingReason, describeMalformed(run.malformed))
	}
	entries := outcome.Entries()
	if err != nil || !outcome.Waiting.Healthy() { // what is left is tried again, or its answer was lost
		entries = inventory.Union(entries, run.recorded)
	}
	run.seen.Applied = &decide.ApplyResult{Entries: entries, Waiting: outcome.Waiting, Built: built}
	run.seen.Drift = run.state.objects.Drift()
	for _, contention := range outcome.Contentions {
		run.advise(driftDetectedReason, profile.Describe(contention))
	}
	if text := outcome.Warnings(run.state.mask.Text); text != "" {
		run.advise(apiServerWarningReason, text)
	}
	changed := apply.ChangeLines(outcome.Changes)
	switch {
	case err != nil && changed != "":
		run.seen.Failure = applyFailure(fmt.Errorf("%w%s\n%s", err, run.filesOf(err), changed))
	case err != nil:
		run.seen.Failure = applyFailure(fmt.Errorf("%w%s", err, run.filesOf(err)))
	case changed != "":
		run.inform(meta.ProgressingReason, changed)
	}
	run.seen.HasEvents = len(run.events) > 0
}

// recordGrowth writes the inventory before anything is created that is not in it: whatever ends the
// process meanwhile, and whatever the next revision has, what was created is deleted when it has to be.
func (run *run) recordGrowth(ctx context.Context, all []inventory.Entry) error {
	run.recorded = all
	known, _ := entriesOf(run.k)
	if len(inventory.Diff(all, known)) == 0 {
		return nil
	}
	setInventory(run.k, inventory.Union(known, all))
	if err := reconciler.Checkpoint(ctx); err != nil {
		return fmt.Errorf("writing status.inventory before the apply: %w", err)
	}
	return nil
}

// maxNamedObjects is of how many objects an error names the files.
const maxNamedObjects = 3

// filesOf says which files the objects come from that an apply failed for.
func (run *run) filesOf(err error) string {
	text := ""
	failed := apply.Failed(err)
	for _, id := range failed[:min(len(failed), maxNamedObjects)] {
		if files := run.state.reads.FilesOf(run.opened, id.Kind, id.Name); len(files) > 0 {
			text += fmt.Sprintf("\n%s is in %s", id.Subject(), strings.Join(slices.Compact(files), ", "))
		}
	}
	if run.k.Spec.PostBuild != nil && strings.Contains(err.Error(), apply.InQuotes) {
		text += "\na variable takes its quotes with it: write ${q}${name}${q}, with q: '\"' in spec.postBuild.substitute"
	}
	return text
}

// build builds the objects from the artifact. There is neither a result nor a failure
// while the build goes on in the background.
func (r *Reconciler) build(ctx context.Context, run *run) (*build.Result, decide.Built, *decide.Failure) {
	if err := r.open(ctx, run); err != nil {
		return nil, decide.Built{}, &decide.Failure{Err: err, Retry: decide.RetrySoon}
	}
	got, err := r.readBuildParameters(ctx, run.k)
	if err != nil {
		return nil, decide.Built{}, variablesFailure(err)
	}
	run.state.mask = got.substitution.Mask()
	owner, opened, k, spec := keyOf(run.k), run.opened, run.k.DeepCopy(), build.SpecOf(run.k, got.substitution)
	built := decide.Built{Generation: run.k.Generation, Variables: got.digest(), Artifact: run.artifact.Digest}
	request := background.Request[types.NamespacedName]{
		Key: owner, Namespace: owner.Namespace, Now: r.clock.Now(),
		Input: fmt.Sprintf("%s %s %d %s", run.artifact.Revision, run.artifact.Digest, run.k.Generation, built.Variables),
	}
	result, err := r.buildInBackground(ctx, run.k, request, func(ctx context.Context) (*build.Result, error) {
		if r.Remote != nil {
			r.Remote.Session(owner.Namespace).Fetch(ctx, &spec)
		}
		return r.Decryption.decrypting(ctx, k, got.keys, func(decrypt build.Decrypt) (*build.Result, error) {
			spec.Decrypt = decrypt
			return r.Builder.Build(ctx, owner, opened, spec)
		})
	})
	switch {
	case errors.Is(err, background.ErrPending):
		run.seen.Building = true
		return nil, decide.Built{}, nil
	case err != nil:
		return nil, decide.Built{}, buildFailure(run.k, err)
	}
	run.state.reads, run.state.inputs, run.state.moves = result.Reads, got.inputs, result.Moves
	run.state.mask = got.substitution.Mask().And(result.Decrypted)
	built.Objects = result.Digest
	run.noteBuild(result.Warnings)
	return result, built, nil
}

// buildInBackground frees the worker if a build takes long. A Kustomization for another
// cluster runs in the background as a whole, so its build is part of that; how many of those
// run at once is bounded by namespace.
func (r *Reconciler) buildInBackground(
	ctx context.Context, k *kustomizev1.Kustomization, request background.Request[types.NamespacedName],
	work func(context.Context) (*build.Result, error),
) (*build.Result, error) {
	if k.Spec.KubeConfig != nil {
		if err := r.remoteBuilds.Acquire(ctx, k.Namespace); err != nil {
			return nil, err
		}
		defer r.remoteBuilds.Release(k.Namespace)
		return work(ctx)
	}
	return r.builds.Run(ctx, request, work)
}

// prune deletes what left the inventory.
func (r *Reconciler) prune(ctx context.Context, run *run, decision decide.Decision) {
	ctx, cancel := context.WithTimeout(ctx, run.k.GetTimeout())
	defer cancel()
	changes, kept, err := run.state.objects.Prune(ctx, r.identity(run.k), decision.Stale)
	run.seen.Pruned, run.seen.Kept = true, kept
	if pruned := apply.ChangeLines(changes); pruned != "" {
		log.FromContext(ctx).Info("pruned", "objects", strings.Split(pruned, "\n"), "revision", run.artifact.Revision)
		run.inform(meta.ProgressingReason, pruned)
		run.seen.HasEvents = true
	}
	if skipped := apply.NotPruned(changes); skipped != "" {
		log.FromContext(ctx).Info("not pruned", "objects", strings.Split(skipped, "\n"), "revision", run.artifact.Revision)
		run.inform(meta.ProgressingReason, skipped)
	}
	if err != nil {
		run.seen.Failure = &decide.Failure{Reason: meta.PruneFailedReason, Err: err, Retry: decide.RetrySoon}
	}
}

// health is that of the objects that the spec names.
func (run *run) health(ctx context.Context) decide.Health {
	ctx, cancel := context.WithTimeout(ctx, run.k.GetTimeout())
	defer cancel()
	switch run.seen.HealthCheck {
	case decide.CheckApplied:
		return run.state.objects.Health(ctx)
	case decide.CheckReferences:
		return run.state.objects.HealthOf(ctx, references(run.k))
	case decide.CheckNone:
		run.state.objects.StopWaiting()
	}
	return decide.Health{}
}
