package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/name"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// kinds are those of Flux that a Receiver may name without an apiVersion.
var kinds = map[string]schema.GroupVersion{
	"Bucket":                {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"ExternalArtifact":      {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"GitRepository":         {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"HelmChart":             {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"HelmRepository":        {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"OCIRepository":         {Group: "source.toolkit.fluxcd.io", Version: "v1"},
	"ImageRepository":       {Group: "image.toolkit.fluxcd.io", Version: "v1"},
	"ImagePolicy":           {Group: "image.toolkit.fluxcd.io", Version: "v1"},
	"ImageUpdateAutomation": {Group: "image.toolkit.fluxcd.io", Version: "v1"},
	"Kustomization":         {Group: "kustomize.toolkit.fluxcd.io", Version: "v1"},
	"HelmRelease":           {Group: "helm.toolkit.fluxcd.io", Version: "v2"},
	"Receiver":              {Group: "notification.toolkit.fluxcd.io", Version: "v1"},
}

func kindOf(resource notificationv1.ReceiverResource) (schema.GroupVersionKind, error) {
	if resource.APIVersion == "" {
		version, ok := kinds[resource.Kind]
		if !ok {
			return schema.GroupVersionKind{}, fmt.Errorf("apiVersion must be specified for kind '%s'", resource.Kind)
		}
		return version.WithKind(resource.Kind), nil
	}
	version, err := schema.ParseGroupVersion(resource.APIVersion)
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("apiVersion %q is not group/version", resource.APIVersion)
	}
	return version.WithKind(resource.Kind), nil
}

// errCrossNamespace means that the flags forbid what a Receiver asks for.
var errCrossNamespace = errors.New("cross-namespace references have been blocked")

// targets finds the objects that one entry of spec.resources means.
func (h *Hooks) targets(ctx context.Context, receiver *notificationv1.Receiver, resource notificationv1.ReceiverResource, images []string) ([]metav1.PartialObjectMetadata, error) {
	kind, err := kindOf(resource)
	if err != nil {
		return nil, err
	}
	namespace := resource.Namespace
	if namespace == "" {
		namespace = receiver.Namespace
	}
	if namespace != receiver.Namespace && h.NoCrossNamespaceRefs {
		return nil, fmt.Errorf("can't access '%s/%s/%s', %w", resource.Kind, namespace, resource.Name, errCrossNamespace)
	}
	if resource.Name != "*" {
		one := metav1.PartialObjectMetadata{}
		one.SetGroupVersionKind(kind)
		if err := h.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: resource.Name}, &one); err != nil {
			return nil, fmt.Errorf("reading %s '%s/%s': %w", resource.Kind, namespace, resource.Name, err)
		}
		return []metav1.PartialObjectMetadata{one}, nil
	}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(kind)
	if err := h.Reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels(resource.MatchLabels)); err != nil {
		return nil, fmt.Errorf("listing %s in '%s': %w", resource.Kind, namespace, err)
	}
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(kind)
	}
	if kind.GroupKind() == (schema.GroupKind{Group: imagev1.GroupVersion.Group, Kind: imagev1.ImageRepositoryKind}) {
		return h.ofImages(ctx, list.Items, client.InNamespace(namespace), images)
	}
	return list.Items, nil
}

// ofImages keeps the ImageRepositories of the images that were pushed. When none
// is theirs, the registry may go by another name here than it calls itself, and
// all are kept.
func (h *Hooks) ofImages(ctx context.Context, items []metav1.PartialObjectMetadata, in client.InNamespace, images []string) ([]metav1.PartialObjectMetadata, error) {
	if len(images) == 0 || len(items) < 2 {
		return items, nil
	}
	var list imagev1.ImageRepositoryList
	if err := h.Reader.List(ctx, &list, in); err != nil {
		return nil, fmt.Errorf("listing the images of %s in '%s': %w", imagev1.ImageRepositoryKind, string(in), err)
	}
	pushed := map[string]bool{}
	for _, image := range images {
		pushed[canonical(image)] = true
	}
	theirs := map[string]bool{}
	for i := range list.Items {
		theirs[list.Items[i].Name] = pushed[canonical(list.Items[i].Spec.Image)]
	}
	kept := slices.DeleteFunc(slices.Clone(items), func(o metav1.PartialObjectMetadata) bool { return !theirs[o.Name] })
	if len(kept) == 0 {
		return items, nil
	}
	return kept, nil
}

func canonical(image string) string {
	repository, err := name.NewRepository(image)
	if err != nil {
		return image
	}
	return repository.String()
}

// request asks the object's controller for a reconcile now.
func (h *Hooks) request(ctx context.Context, object *metav1.PartialObjectMetadata) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, h.Clock.Now().Format(requestedAtFormat))
	if err := h.Writer.Patch(ctx, object, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return fmt.Errorf("annotating %s '%s/%s': %w", object.Kind, object.Namespace, object.Name, err)
	}
	return nil
}

// requestedAtFormat has more digits than two webhooks could share.
const requestedAtFormat = "2006-01-02T15:04:05.999999999Z07:00"
