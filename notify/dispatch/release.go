// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// Labels by which an applied object names its Kustomization.
const (
	labelName      = "kustomize.toolkit.fluxcd.io/name"
	labelNamespace = "kustomize.toolkit.fluxcd.io/namespace"
)

// settling is how long the status of a Kustomization may take to say what it applied: its
// canary begins as soon as the object is there.
const settling = 30 * time.Second

// lacksCommit reports whether an event is a step of a release that does not say of which
// commit. A warning about a canary that works is no step.
func lacksCommit(e message.Event) bool {
	return e.InvolvedObject.Kind == "Canary" && !message.NamesCommit(e) && !message.IsAdvice(e)
}

// withCommit adds the commit of a release to a message about a Canary, so that its steps
// show on the commit that it is a release of: that which the Kustomization of its target
// attempted last. It reports false if that cannot be found, since no Kustomization applied
// the target, or its source does not say of which commit it is.
func (d *Dispatcher) withCommit(ctx context.Context, e message.Event, added time.Time) (message.Event, bool, error) {
	if e.Metadata[eventv1.MetaCommitKey] != "" {
		return e, true, nil // the Alert says it
	}
	k, applied, err := d.kustomizationOf(ctx, e)
	if k == nil || err != nil {
		return e, false, ignoreMissing(err)
	}
	settled := d.opts.Clock.Since(added) >= settling
	if !applied && settled {
		return e, false, nil
	}
	revision := cmp.Or(k.Status.LastAttemptedRevision, k.Status.LastAppliedRevision)
	artifact, err := d.artifactOf(ctx, k)
	if err != nil {
		return e, false, ignoreMissing(err)
	}
	ahead := artifact != nil && artifact.Revision != revision // it has yet to attempt that
	if (ahead || !applied) && !settled {
		return e, false, temporary(fmt.Errorf("waiting for Kustomization %s to say what it applied", client.ObjectKeyFromObject(k)))
	}
	commit, ok := commitOf(k, revision, artifact)
	if !ok {
		return e, false, nil
	}
	if e.Metadata = maps.Clone(e.Metadata); e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[eventv1.MetaCommitKey] = commit
	return e, true, nil
}

// ignoreMissing drops errors about what is not there, or may not be read; others are
// temporary.
func ignoreMissing(err error) error {
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apimeta.IsNoMatchError(err) {
		return nil
	}
	return &outbox.Temporary{Err: err}
}

// kustomizationOf is the Kustomization that the target of the Canary of an event names as
// its own, nil if it names none, and whether that Kustomization says so, too: anybody who may
// edit a workload may write labels.
func (d *Dispatcher) kustomizationOf(ctx context.Context, e message.Event) (k *kustomizev1.Kustomization, applied bool, err error) {
	var c flaggerv1.Canary
	if err := d.opts.Live.Get(ctx, client.ObjectKey{Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name}, &c); err != nil {
		return nil, false, err
	}
	version, err := schema.ParseGroupVersion(cmp.Or(c.Spec.TargetRef.APIVersion, "apps/v1"))
	if err != nil {
		return nil, false, nil // a canary that cannot work has no commit, either
	}
	var target metav1.PartialObjectMetadata
	target.SetGroupVersionKind(version.WithKind(cmp.Or(c.Spec.TargetRef.Kind, "Deployment")))
	if err := d.opts.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: c.Spec.TargetRef.Name}, &target); err != nil {
		return nil, false, err
	}
	if target.Labels[labelName] == "" {
		return nil, false, nil // nobody applied it
	}
	k = &kustomizev1.Kustomization{}
	if err := d.opts.Live.Get(ctx, client.ObjectKey{Namespace: target.Labels[labelNamespace], Name: target.Labels[labelName]}, k); err != nil {
		return nil, false, err
	}
	return k, inInventory(k, &target), nil
}

// inInventory reports whether an object of this cluster is in the inventory of a Kustomization.
func inInventory(k *kustomizev1.Kustomization, object *metav1.PartialObjectMetadata) bool {
	if k.Spec.KubeConfig != nil || k.Status.Inventory == nil {
		return false
	}
	gvk := object.GroupVersionKind()
	id := inventory.ID{Namespace: object.Namespace, Name: object.Name, Group: gvk.Group, Kind: gvk.Kind}.String()
	return slices.ContainsFunc(k.Status.Inventory.Entries, func(ref kustomizev1.ResourceRef) bool { return ref.ID == id })
}

// artifactOf is what the source of a Kustomization has, nil if it has nothing yet.
func (d *Dispatcher) artifactOf(ctx context.Context, k *kustomizev1.Kustomization) (*meta.Artifact, error) {
	var source interface {
		client.Object
		GetArtifact() *meta.Artifact
	}
	switch k.Spec.SourceRef.Kind {
	case sourcev1.GitRepositoryKind:
		source = &sourcev1.GitRepository{}
	case sourcev1.OCIRepositoryKind:
		source = &sourcev1.OCIRepository{}
	case sourcev1.BucketKind:
		source = &sourcev1.Bucket{}
	case sourcev1.ExternalArtifactKind:
		source = &sourcev1.ExternalArtifact{}
	default:
		return nil, nil // a Kustomization that cannot work has no commit, either
	}
	key := client.ObjectKey{Namespace: cmp.Or(k.Spec.SourceRef.Namespace, k.Namespace), Name: k.Spec.SourceRef.Name}
	if err := d.opts.Live.Get(ctx, key, source); err != nil {
		return nil, err
	}
	return source.GetArtifact(), nil
}

// Metadata of an artifact, and of an entry of a history, that names the commit it was made of.
const (
	artifactOrigin = "org.opencontainers.image.revision"
	historyOrigin  = "originRevision"
)

// commitOf is the commit of a revision that a Kustomization attempted. The revision of a
// source that is no repository of Git is a digest, which is as long as a commit may be:
// then only what the artifact says of its origin counts.
func commitOf(k *kustomizev1.Kustomization, revision string, artifact *meta.Artifact) (string, bool) {
	if k.Spec.SourceRef.Kind == sourcev1.GitRepositoryKind {
		return message.CommitOf(revision)
	}
	if artifact != nil && artifact.Revision == revision {
		return message.CommitOf(artifact.Metadata[artifactOrigin])
	}
	for _, attempt := range k.Status.History { // the latest comes first
		if attempt.Metadata["revision"] == revision {
			return message.CommitOf(attempt.Metadata[historyOrigin])
		}
	}
	return "", false
}
