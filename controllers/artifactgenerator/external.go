// SPDX-License-Identifier: Apache-2.0

package artifactgenerator

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/generator"
)

// manager applies ExternalArtifacts, and is who manages them by their label: it is Flux's, so that they can change hands
// without a conflict.
const manager = "source-watcher"

const managedBy = "app.kubernetes.io/managed-by"

// external is the ExternalArtifact of an artifact, without its status.
func (r *run) external(output generator.Output) *sourcev1.ExternalArtifact {
	ea := &sourcev1.ExternalArtifact{
		TypeMeta: metav1.TypeMeta{APIVersion: sourcev1.GroupVersion.String(), Kind: sourcev1.ExternalArtifactKind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.obj.Namespace, Name: output.Name, Labels: map[string]string{},
		},
		Spec: sourcev1.ExternalArtifactSpec{SourceRef: &meta.NamespacedObjectKindReference{
			APIVersion: generatorv1.GroupVersion.String(), Kind: generatorv1.ArtifactGeneratorKind,
			Namespace: r.obj.Namespace, Name: r.obj.Name,
		}},
	}
	if common := r.obj.Spec.CommonMetadata; common != nil {
		maps.Copy(ea.Labels, common.Labels)
		ea.Annotations = maps.Clone(common.Annotations)
	}
	maps.Copy(ea.Labels, output.Labels)
	ea.Labels[managedBy], ea.Labels[generatorv1.ArtifactGeneratorLabel] = manager, string(r.obj.UID)
	return ea
}

// isApplied reports whether the spec has been applied as it is.
func (r *run) isApplied() bool {
	ready := apimeta.FindStatusCondition(r.obj.Status.Conditions, meta.ReadyCondition)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == r.obj.Generation
}

// says reports whether an ExternalArtifact says already what it should.
func says(there, wanted *sourcev1.ExternalArtifact, artifact *meta.Artifact) bool {
	return contains(there.Labels, wanted.Labels) && contains(there.Annotations, wanted.Annotations) &&
		equality.Semantic.DeepEqual(there.Spec, wanted.Spec) && equality.Semantic.DeepEqual(there.Status.Artifact, artifact) &&
		apimeta.IsStatusConditionTrue(there.Status.Conditions, meta.ReadyCondition)
}

func contains(all, some map[string]string) bool {
	for key, value := range some {
		if found, ok := all[key]; !ok || found != value {
			return false
		}
	}
	return true
}

// made are the ExternalArtifacts that a generator has made, by name: those with its label, since a run may have been killed
// before it wrote the inventory, and those of the inventory, of which somebody may have taken the label.
func made(
	ctx context.Context, reader client.Reader, obj *generatorv1.ArtifactGenerator,
) (map[string]*sourcev1.ExternalArtifact, error) {
	var list sourcev1.ExternalArtifactList
	if err := reader.List(ctx, &list, client.InNamespace(obj.Namespace)); err != nil {
		return nil, fmt.Errorf("listing ExternalArtifacts: %w", err)
	}
	found := map[string]*sourcev1.ExternalArtifact{}
	for i := range list.Items {
		if ea := &list.Items[i]; isMadeBy(ea, obj) && ea.DeletionTimestamp == nil {
			found[ea.Name] = ea
		}
	}
	return found, nil
}

// isMadeBy reports whether an ExternalArtifact is one of a generator: also of one that was created anew with the same name.
func isMadeBy(ea *sourcev1.ExternalArtifact, obj *generatorv1.ArtifactGenerator) bool {
	if maker, ok := makerOf(ea); ok {
		return maker == client.ObjectKeyFromObject(obj)
	}
	return ea.Spec.SourceRef == nil && ea.Labels[generatorv1.ArtifactGeneratorLabel] == string(obj.UID)
}

// write stores an artifact and applies its ExternalArtifact, as the API server has it now: the cache may lag behind the run
// before.
func (r *run) write(
	ctx context.Context, output generator.Output, wanted *sourcev1.ExternalArtifact, view *source.View, memory *budget.Grant,
) (*meta.Artifact, error) {
	live := &sourcev1.ExternalArtifact{}
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(wanted), live)
	switch {
	case apierrors.IsNotFound(err):
		live = nil
	case err != nil:
		return nil, fmt.Errorf("reading ExternalArtifact '%s/%s': %w", wanted.Namespace, wanted.Name, err)
	default:
		if err := r.checkAdoption(ctx, live); err != nil {
			return nil, err
		}
	}
	artifact, err := r.artifact(ctx, output, live, view, memory)
	if err != nil {
		return nil, err
	}
	if live != nil && r.isApplied() && says(live, wanted, artifact) {
		return artifact, nil
	}
	return artifact, r.apply(ctx, live, wanted, artifact)
}

// checkAdoption refuses to take over what somebody else makes.
func (r *run) checkAdoption(ctx context.Context, ea *sourcev1.ExternalArtifact) error {
	if isMadeBy(ea, r.obj) {
		return nil
	}
	name := client.ObjectKeyFromObject(ea)
	conflict := func(by string) error {
		return reconciler.Waiting(reconciler.WithReason(meta.ReconciliationFailedReason, fmt.Errorf(
			"ExternalArtifact '%s' is made by %s: give the artifact another name, or delete that one", name, by)), retry)
	}
	maker, ok := makerOf(ea)
	switch {
	case ok:
		var other generatorv1.ArtifactGenerator
		err := r.Live.Get(ctx, maker, &other) // it may be one of another shard
		if apierrors.IsNotFound(err) {
			return nil // who made it is gone
		}
		if err != nil {
			return fmt.Errorf("reading ArtifactGenerator '%s': %w", maker, err)
		}
		return conflict(fmt.Sprintf("ArtifactGenerator '%s'", maker))
	case ea.Spec.SourceRef != nil:
		return conflict(fmt.Sprintf("%s '%s'", ea.Spec.SourceRef.Kind, ea.Spec.SourceRef.Name))
	case ea.Status.Artifact != nil:
		return conflict("somebody else")
	}
	return nil
}

// apply writes an ExternalArtifact, of which there is the one that live is, or nil.
func (r *run) apply(ctx context.Context, live, wanted *sourcev1.ExternalArtifact, artifact *meta.Artifact) error {
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wanted)
	if err != nil {
		return err
	}
	delete(u, "status")
	applied := &unstructured.Unstructured{Object: u}
	unstructured.RemoveNestedField(u, "metadata", "creationTimestamp")
	config := client.ApplyConfigurationFromUnstructured(applied)
	if err := r.Client.Apply(ctx, config, client.FieldOwner(manager), client.ForceOwnership); err != nil {
		return fmt.Errorf("failed to apply ExternalArtifact: %w", err)
	}
	status := &sourcev1.ExternalArtifact{TypeMeta: wanted.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Namespace: wanted.Namespace, Name: wanted.Name, Generation: applied.GetGeneration(),
	}}
	if live != nil {
		if ready := apimeta.FindStatusCondition(live.Status.Conditions, meta.ReadyCondition); ready != nil {
			status.Status.Conditions = []metav1.Condition{*ready}
		}
	}
	reconciler.SetCondition(status, r.Clock.Now(), metav1.Condition{
		Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason, Message: "Artifact is ready",
	})
	status.Status.Artifact = artifact
	if u, err = runtime.DefaultUnstructuredConverter.ToUnstructured(status); err != nil {
		return err
	}
	delete(u, "spec")
	u["metadata"] = map[string]any{"namespace": wanted.Namespace, "name": wanted.Name}
	config = client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: u})
	if err := r.Client.Status().Apply(ctx, config, client.FieldOwner(manager), client.ForceOwnership); err != nil {
		return fmt.Errorf("failed to apply the status of ExternalArtifact: %w", err)
	}
	return nil
}

// remove deletes the ExternalArtifacts that are not in an inventory, and their files.
func (r *Reconciler) remove(
	ctx context.Context, there map[string]*sourcev1.ExternalArtifact, kept []generatorv1.ExternalArtifactReference,
) error {
	gone := maps.Clone(there)
	for _, ref := range kept {
		delete(gone, ref.Name)
	}
	var errs []error
	for name, ea := range gone {
		uid := ea.UID
		err := r.Client.Delete(ctx, ea, client.Preconditions{UID: &uid})
		if apierrors.IsNotFound(err) {
			live := &sourcev1.ExternalArtifact{}
			if err = r.Live.Get(ctx, client.ObjectKeyFromObject(ea), live); err == nil {
				continue // another one of that name, whose files these are
			}
		}
		switch {
		case apierrors.IsConflict(err): // as it is said of another one of that name
			continue
		case client.IgnoreNotFound(err) != nil:
			errs = append(errs, fmt.Errorf("deleting ExternalArtifact '%s/%s': %w", ea.Namespace, name, err))
			continue
		}
		errs = append(errs, r.Publisher.Store.Remove(source.Key{
			Kind: sourcev1.ExternalArtifactKind, Namespace: ea.Namespace, Name: name,
		}))
	}
	return errors.Join(errs...)
}
