// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	knativeServices  = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "ServiceList"}
	knativeRevisions = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Revision"}
)

// ServeKnative does what Knative would until the test ends: it makes a ready
// Revision of each template, and takes every split of the traffic at its word.
func (p *Playground) ServeKnative(tb testing.TB, namespace string) {
	tb.Helper()
	services := &unstructured.UnstructuredList{}
	services.SetGroupVersionKind(knativeServices)
	changes, err := p.Client.Watch(tb.Context(), services, client.InNamespace(namespace))
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for change := range changes.ResultChan() {
			service, ok := change.Object.(*unstructured.Unstructured)
			if ok && service.GetDeletionTimestamp() == nil {
				if err := reviseKnative(context.Background(), p.Client, service); client.IgnoreNotFound(err) != nil {
					tb.Errorf("the stand-in of Knative: %v", err)
				}
			}
		}
	}()
	tb.Cleanup(func() { changes.Stop(); <-done })
}

// reviseKnative names the Revision of a template by the generation that brought it,
// which the status remembers.
func reviseKnative(ctx context.Context, c client.Client, service *unstructured.Unstructured) error {
	template, _, _ := unstructured.NestedMap(service.Object, "spec", "template")
	var typed corev1.PodTemplateSpec // the same with and without empty fields
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, &typed); err != nil {
		return err
	}
	text, err := json.Marshal(typed)
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
		"latestReadyRevisionName": latest, "annotations": map[string]any{"template": string(text)}, "traffic": trafficOf(service, latest),
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
	return c.Status().Patch(ctx, revision, client.RawPatch("application/merge-patch+json",
		[]byte(`{"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True"}]}}`)))
}

// trafficOf is how Knative says in a status what is asked of it: with the name of
// the latest Revision, to which all goes if nothing is asked.
func trafficOf(service *unstructured.Unstructured, latest string) []any {
	asked, _, _ := unstructured.NestedSlice(service.Object, "spec", "traffic")
	if len(asked) == 0 {
		asked = []any{map[string]any{"latestRevision": true, "percent": int64(100)}}
	}
	for _, entry := range asked {
		to, _ := entry.(map[string]any)
		if to["latestRevision"] == true {
			to["revisionName"] = latest
		} else {
			to["latestRevision"] = false
		}
	}
	return asked
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
