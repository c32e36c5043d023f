package rbac

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

var (
	knativeServices  = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "ServiceList"}
	knativeRevisions = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Revision"}
)

const knativeService = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: APP}
spec: {template: {metadata: {labels: {app: APP}}, spec: {containers: [{image: app}]}}}
`

// serveKnative does what Knative would until the test ends: it makes a ready
// Revision of each template, and takes every split of the traffic at its word.
func serveKnative(t *testing.T, p *harness.Playground, namespace string) {
	t.Helper()
	services := &unstructured.UnstructuredList{}
	services.SetGroupVersionKind(knativeServices)
	changes, err := p.Client.Watch(t.Context(), services, client.InNamespace(namespace))
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for change := range changes.ResultChan() {
			service, ok := change.Object.(*unstructured.Unstructured)
			if ok && service.GetDeletionTimestamp() == nil {
				if err := reviseKnative(context.Background(), p.Client, service); client.IgnoreNotFound(err) != nil {
					t.Errorf("the stand-in of Knative: %v", err)
				}
			}
		}
	}()
	t.Cleanup(func() { changes.Stop(); <-done })
}

// reviseKnative names the Revision of a template by the generation that brought it,
// which the status remembers.
func reviseKnative(ctx context.Context, c client.Client, service *unstructured.Unstructured) error {
	template, _, _ := unstructured.NestedMap(service.Object, "spec", "template")
	text, err := json.Marshal(template)
	if err != nil {
		return err
	}
	latest, _, _ := unstructured.NestedString(service.Object, "status", "latestCreatedRevisionName")
	made, _, _ := unstructured.NestedString(service.Object, "status", "annotations", "template")
	if made != string(text) {
		latest = fmt.Sprintf("%s-%05d", service.GetName(), service.GetGeneration())
		if err := c.Create(ctx, revisionOf(service, latest, template)); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	ready := []any{map[string]any{"type": "RoutesReady", "status": "True"}, map[string]any{"type": "Ready", "status": "True"}}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"observedGeneration": service.GetGeneration(), "conditions": ready, "latestCreatedRevisionName": latest,
		"latestReadyRevisionName": latest, "annotations": map[string]any{"template": string(text)},
	}})
	if err != nil {
		return err
	}
	if err := c.Status().Patch(ctx, service, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return err
	}
	revision := &unstructured.Unstructured{}
	revision.SetGroupVersionKind(knativeRevisions)
	revision.SetNamespace(service.GetNamespace())
	revision.SetName(latest)
	return c.Status().Patch(ctx, revision, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)))
}

func revisionOf(service *unstructured.Unstructured, name string, template map[string]any) *unstructured.Unstructured {
	revision := &unstructured.Unstructured{Object: map[string]any{"spec": template["spec"]}}
	revision.SetGroupVersionKind(knativeRevisions)
	revision.SetNamespace(service.GetNamespace())
	revision.SetName(name)
	labels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
	if labels == nil {
		labels = map[string]string{}
	}
	labels["serving.knative.dev/service"] = service.GetName()
	revision.SetLabels(labels)
	annotations, _, _ := unstructured.NestedStringMap(template, "metadata", "annotations")
	revision.SetAnnotations(annotations)
	revision.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(service, service.GroupVersionKind())})
	return revision
}
