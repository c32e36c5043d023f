// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// kinds are those that a Receiver may name, and their groups. All are namespaced,
// and none has a secret in it. A Receiver that could name any kind would let its
// author annotate Secrets and Nodes, and read their metadata through filters.
var kinds = map[string]schema.GroupVersion{
	"Bucket":                {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"ExternalArtifact":      {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"GitRepository":         {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"HelmChart":             {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"HelmRepository":        {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"OCIRepository":         {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"ArtifactGenerator":     {Group: "source.extensions.fluxcd.io", Version: "v1beta1"},
	"ImageRepository":       {Group: "image.toolkit.fluxcd.io", Version: "v1"},
	"ImagePolicy":           {Group: "image.toolkit.fluxcd.io", Version: "v1"},
	"ImageUpdateAutomation": {Group: "image.toolkit.fluxcd.io", Version: "v1"},
	"Kustomization":         {Group: "kustomize.toolkit.fluxcd.io", Version: "v1"},
	"HelmRelease":           {Group: "helm.toolkit.fluxcd.io", Version: "v2"},
	sluicev1.PipelineKind:   sluicev1.GroupVersion,
}

// KindOf returns the kind that an entry of spec.resources names. The error says that it
// cannot be notified.
func KindOf(resource notificationv1.ReceiverResource) (schema.GroupVersionKind, error) {
	known, ok := kinds[resource.Kind]
	if !ok {
		return schema.GroupVersionKind{}, fmt.Errorf("kind '%s' cannot be notified, only %s can",
			resource.Kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	if resource.APIVersion == "" {
		return known.WithKind(resource.Kind), nil
	}
	version, err := schema.ParseGroupVersion(resource.APIVersion)
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("apiVersion %q is not group/version", resource.APIVersion)
	}
	if version.Group != known.Group {
		return schema.GroupVersionKind{}, fmt.Errorf("apiVersion %q: kind '%s' can be notified in group %s only",
			resource.APIVersion, resource.Kind, known.Group)
	}
	return version.WithKind(resource.Kind), nil
}

// errCrossNamespace means that the flags forbid what a Receiver asks for.
var errCrossNamespace = errors.New("cross-namespace references have been blocked")

// targets finds the objects that the i-th of spec.resources means.
func (h *Hooks) targets(ctx context.Context, d delivery, i int) ([]metav1.PartialObjectMetadata, error) {
	resource := d.receiver.Spec.Resources[i]
	kind, err := KindOf(resource)
	if err != nil {
		return nil, err
	}
	key := client.ObjectKey{Namespace: resource.Namespace, Name: resource.Name}
	if key.Namespace == "" {
		key.Namespace = d.receiver.Namespace
	}
	if key.Namespace != d.receiver.Namespace && h.NoCrossNamespaceRefs {
		return nil, fmt.Errorf("can't access '%s/%s', %w", resource.Kind, key, errCrossNamespace)
	}
	if resource.Name == "*" {
		return h.listSelected(ctx, kind, key.Namespace, d, resource.MatchLabels)
	}
	var one metav1.PartialObjectMetadata
	one.SetGroupVersionKind(kind)
	one.Namespace, one.Name = key.Namespace, key.Name
	if d.filters.needsObject(i) {
		if err := h.Reader.Get(ctx, key, &one); err != nil {
			return nil, fmt.Errorf("reading %s '%s': %w", resource.Kind, key, err)
		}
	}
	return []metav1.PartialObjectMetadata{one}, nil
}

// listSelected lists the objects with the labels.
func (h *Hooks) listSelected(
	ctx context.Context, kind schema.GroupVersionKind, namespace string, d delivery, labels client.MatchingLabels,
) ([]metav1.PartialObjectMetadata, error) {
	if labels == nil {
		return nil, errors.New("matchLabels must be set when the name is '*'")
	}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(kind)
	if err := h.Reader.List(ctx, &list, client.InNamespace(namespace), labels); err != nil {
		return nil, fmt.Errorf("listing %s in '%s': %w", kind.Kind, namespace, err)
	}
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(kind)
	}
	switch kind.GroupKind() {
	case imagev1.GroupVersion.WithKind(imagev1.ImageRepositoryKind).GroupKind():
		return h.filterByImages(ctx, list.Items, client.InNamespace(namespace), d.payload)
	case sourcev1.GroupVersion.WithKind(sourcev1.OCIRepositoryKind).GroupKind():
		return h.filterByArtifacts(ctx, list.Items, client.InNamespace(namespace), d.payload)
	case sluicev1.GroupVersion.WithKind(sluicev1.PipelineKind).GroupKind():
		return h.filterByEvent(ctx, list.Items, h.pipelinesIn(namespace), d.payload.git)
	case imagev1.GroupVersion.WithKind(imagev1.ImageUpdateAutomationKind).GroupKind():
		return h.filterByEvent(ctx, list.Items, h.automationsIn(namespace), d.payload.git)
	}
	return list.Items, nil
}
