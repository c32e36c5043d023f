// SPDX-License-Identifier: Apache-2.0

package handover

import (
	"encoding/json"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// owned are the kinds of which an app has objects.
var owned = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Service"}, {Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Secret"},
	{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
	{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}, {Group: "serving.knative.dev", Version: "v1", Kind: "Revision"},
	{Group: "networking.istio.io", Version: "v1beta1", Kind: "VirtualService"},
	{Group: "networking.istio.io", Version: "v1beta1", Kind: "DestinationRule"},
}

func newList(kind schema.GroupVersionKind) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	list.SetKind(kind.Kind + "List")
	return list
}

// describe is an object without what changes by itself.
func describe(o *unstructured.Unstructured) string {
	parts := map[string]any{"uid": o.GetUID(), "labels": o.GetLabels(), "annotations": o.GetAnnotations(), "owners": o.GetOwnerReferences()}
	for _, field := range []string{"spec", "data"} {
		parts[field] = o.Object[field]
	}
	text, err := json.MarshalIndent(parts, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// primary is the image that the primary of an app runs, or where it leads.
func (f *fleet) primary(a app) string {
	f.Helper()
	var pods corev1.PodSpec
	switch name := a.name + "-primary"; a.kind {
	case "Service":
		s := &corev1.Service{}
		f.get(name, s)
		return s.Spec.ExternalName
	case "DaemonSet":
		d := &appsv1.DaemonSet{}
		f.get(name, d)
		pods = d.Spec.Template.Spec
	case "Knative":
		service, revision := newKnative(), newKnative()
		revision.SetKind("Revision")
		f.get(a.name, service)
		f.get(service.GetAnnotations()["flagger.app/primary-revision"], revision)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(dict(revision.Object, "spec"), &pods); err != nil {
			f.Error(err)
		}
	default:
		d := &appsv1.Deployment{}
		f.get(name, d)
		pods = d.Spec.Template.Spec
	}
	if len(pods.Containers) == 0 {
		return "nothing"
	}
	return pods.Containers[0].Image
}

// newKnative is a Service of Knative, to be read.
func newKnative() *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("serving.knative.dev/v1")
	o.SetKind("Service")
	return o
}

func dict(object map[string]any, field string) map[string]any {
	found, _ := object[field].(map[string]any)
	return found
}

// expected are parts of the warnings that both controllers have for what the apps
// go through.
var expected = []string{"not ready", "Halt ", "Rolling back", "Canary failed!", "waiting for", "Canary analysis failed"}

// Flagger writes a workload back as it read it: where the controller of that workload wrote its status in between,
// Flagger says so, and tries again.
const scaling, raced = "scaling ", " failed: Operation cannot be fulfilled on "

// noComplaints fails for warnings that say something else: an object that is refused,
// a conflict, something that is missing.
func (f *fleet) noComplaints() {
	f.Helper()
	var events corev1.EventList
	if err := the.Client.List(f.Context(), &events, client.InNamespace(f.ns)); err != nil {
		f.Fatal(err)
	}
	for _, e := range events.Items {
		known := slices.ContainsFunc(expected, func(part string) bool { return strings.Contains(e.Message, part) })
		known = known || strings.HasPrefix(e.Message, scaling) && strings.Contains(e.Message, raced)
		if e.InvolvedObject.Kind == flaggerv1.CanaryKind && e.Type == corev1.EventTypeWarning && !known {
			f.Errorf("%s, %d times: %s", e.InvolvedObject.Name, e.Count, e.Message)
		}
	}
}
