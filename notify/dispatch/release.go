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
// commit.
func lacksCommit(e message.Event) bool {
	return e.InvolvedObject.Kind == "Canary" && !message.NamesCommit(e)
}

// withCommit adds the commit of a release to a message about a Canary, so that its steps
// show on the commit that it is a release of: that which the Kustomization of its target
// attempted last. It reports false if that cannot be found, since no Kustomization of Git
// applied the target.
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
	if ahead, err := d.sourceIsAhead(ctx, k, revision); err != nil {
		return e, false, ignoreMissing(err)
	} else if (ahead || !applied) && !settled {
		return e, false, temporary(fmt.Errorf("waiting for Kustomization %s to say what it applied", client.ObjectKeyFromObject(k)))
	}
	commit, ok := message.CommitOf(cmp.Or(k.Status.LastAppliedOriginRevision, revision))
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

// sourceIsAhead reports whether a Kustomization has yet to attempt what its GitRepository has.
func (d *Dispatcher) sourceIsAhead(ctx context.Context, k *kustomizev1.Kustomization, revision string) (bool, error) {
	if k.Spec.SourceRef.Kind != sourcev1.GitRepositoryKind {
		return false, nil
	}
	var source sourcev1.GitRepository
	key := client.ObjectKey{Namespace: cmp.Or(k.Spec.SourceRef.Namespace, k.Namespace), Name: k.Spec.SourceRef.Name}
	if err := d.opts.Live.Get(ctx, key, &source); err != nil {
		return false, err
	}
	return source.Status.Artifact != nil && source.Status.Artifact.Revision != revision, nil
}
