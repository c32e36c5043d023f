// SPDX-License-Identifier: Apache-2.0

// Package artifactgenerator reconciles source.extensions.fluxcd.io ArtifactGenerators: it puts
// artifacts together of the files of sources, and keeps an ExternalArtifact for each.
//
//	sources -> as in status.observedSourcesDigest, and all artifacts there? done
//	        -> files of each -> spec.artifacts, one by one: copies -> files -> same as before? kept
//	           -> archive -> ExternalArtifact
//	        -> ExternalArtifacts that are made no more are deleted -> status.inventory
//
// What an artifact is named by, and compared by, is the hash of its files: a commit that changes
// none of them writes nothing, and starts nothing. No file of a mirror is copied.
//
// ExternalArtifacts are applied as Flux's source-watcher applies them, so that they can change hands.
// One that somebody else makes is left to them.
package artifactgenerator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/generator"
)

const (
	// interval is the time between two looks when no source says anything: that of Flux.
	interval = time.Hour
	// retry is when what waits for a source, or for an ExternalArtifact of somebody else, is looked at again.
	retry = time.Minute
	// untilStored is how long a source may take to be stored again.
	untilStored = time.Second
	// timeout bounds a run.
	timeout = 10 * time.Minute
)

// Reconciler reconciles ArtifactGenerators.
type Reconciler struct {
	// Client reads sources from the cache, and Live reads ExternalArtifacts that are about to be written.
	Client client.Client
	Live   client.Reader
	Clock  clock.PassiveClock
	// Publisher keeps the artifacts, and Opener opens those of sources.
	Publisher source.Publisher
	Opener    *source.Opener
	// NoCrossNamespaceRefs refuses sources of other namespaces.
	NoCrossNamespaceRefs bool
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	if err := reconciler.Index(ctx, mgr, &generatorv1.ArtifactGenerator{}, bySource, indexSources); err != nil {
		return err
	}
	return reconciler.Setup(mgr, kind(), r, opts, watches(mgr.GetClient()))
}

// kind is what the machinery that all kinds share asks of an ArtifactGenerator.
func kind() reconciler.Kind[*generatorv1.ArtifactGenerator] {
	return reconciler.Kind[*generatorv1.ArtifactGenerator]{
		Name:      "artifactgenerator",
		New:       func() *generatorv1.ArtifactGenerator { return &generatorv1.ArtifactGenerator{} },
		Suspended: (*generatorv1.ArtifactGenerator).IsDisabled,
		Observed: func(obj *generatorv1.ArtifactGenerator) reconciler.StatusFields {
			return reconciler.StatusFields{HandledAt: &obj.Status.LastHandledReconcileAt}
		},
		Finalizer: func(*generatorv1.ArtifactGenerator) string { return generatorv1.Finalizer },
		Host:      func(_ context.Context, obj *generatorv1.ArtifactGenerator) string { return hostOf(obj) },
	}
}

// hostOf stands for the servers that a run may wait for: artifacts of sources that others store.
func hostOf(obj *generatorv1.ArtifactGenerator) string {
	if len(obj.Spec.Sources) == 0 {
		return ""
	}
	return indexKey(obj.Spec.Sources[0].Kind, sourceKey(obj, obj.Spec.Sources[0]))
}

// Reconcile implements [reconciler.Controller].
func (r *Reconciler) Reconcile(ctx context.Context, obj *generatorv1.ArtifactGenerator) (reconciler.Result, error) {
	if err := r.check(ctx, obj); err != nil {
		return reconciler.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	seen, err := r.observe(ctx, obj)
	if err != nil {
		return reconciler.Result{}, err
	}
	there, err := made(ctx, r.Client, obj)
	if err != nil {
		return reconciler.Result{}, err
	}
	if r.isCurrent(obj, seen, there) {
		return r.succeeded(obj), nil
	}
	run := &run{Reconciler: r, obj: obj, seen: seen, there: there}
	if err := run.generate(ctx); err != nil {
		return reconciler.Result{}, err
	}
	changed := changes(obj.Status.Inventory, run.inventory)
	obj.Status.Inventory, obj.Status.ObservedSourcesDigest = run.inventory, seen.digest()
	result := r.succeeded(obj)
	if len(changed) > 0 {
		result.Events = []reconciler.Event{{
			Type: corev1.EventTypeNormal, Reason: meta.ReadyCondition, Message: "external artifacts reconciled: " + strings.Join(changed, "\n"),
		}}
	}
	return result, nil
}

func (r *Reconciler) succeeded(obj *generatorv1.ArtifactGenerator) reconciler.Result {
	return reconciler.Result{
		Reason:  meta.SucceededReason,
		Message: fmt.Sprintf("reconciliation succeeded, generated %d artifact(s)", len(obj.Status.Inventory)),
		After:   reconciler.Spread(interval, r.Publisher.Jitter), ReadyEvent: reconciler.SkipReadyEvent,
	}
}

// changes are the artifacts of an inventory that are new, or another one than before.
func changes(before, now []generatorv1.ExternalArtifactReference) []string {
	was := map[string]string{}
	for _, ref := range before {
		was[ref.Name] = ref.Digest
	}
	var changed []string
	for _, ref := range now {
		if was[ref.Name] != ref.Digest {
			changed = append(changed, fmt.Sprintf("%s/%s (%s)", ref.Namespace, ref.Name, ref.Digest))
		}
	}
	return changed
}

// check refuses a spec that can mean nothing, or may not.
func (r *Reconciler) check(ctx context.Context, obj *generatorv1.ArtifactGenerator) error {
	if err := generator.Check(&obj.Spec); err != nil {
		return reconcile.TerminalError(reconciler.WithReason(generatorv1.ValidationFailedReason, err))
	}
	for _, ref := range obj.Spec.Sources {
		if r.NoCrossNamespaceRefs && ref.Namespace != "" && ref.Namespace != obj.Namespace {
			return reconcile.TerminalError(reconciler.WithReason(generatorv1.AccessDeniedReason,
				fmt.Errorf("cross-namespace reference to source %s/%s/%s is not allowed", ref.Kind, ref.Namespace, ref.Name)))
		}
	}
	return r.checkCycle(ctx, obj)
}

// buildFailed is an error of putting an artifact together. What is wrong with the spec is for a person to mend, and what
// is wrong with the files of sources stays so until they, or the spec, change.
func buildFailed(err error) error {
	failed := reconciler.WithReason(meta.BuildFailedReason, err)
	switch {
	case errors.Is(err, generator.ErrInvalid):
		return reconcile.TerminalError(failed)
	case errors.Is(err, generator.ErrContent):
		return reconciler.Waiting(failed, interval)
	}
	return failed
}

// Finalize implements [reconciler.Finalizer].
func (r *Reconciler) Finalize(ctx context.Context, obj *generatorv1.ArtifactGenerator) error {
	there, err := made(ctx, r.Live, obj) // the cache may not have yet what was made last
	if err != nil {
		return err
	}
	return r.remove(ctx, there, nil)
}

// Reason implements [reconciler.Controller].
func (*Reconciler) Reason(error) string { return meta.ReconciliationFailedReason }
