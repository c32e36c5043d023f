package handover

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// owned are the kinds of which an app has objects.
var owned = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Service"}, {Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Secret"},
	{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "DaemonSet"}, {Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
	{Group: "networking.istio.io", Version: "v1beta1", Kind: "VirtualService"}, {Group: "networking.istio.io", Version: "v1beta1", Kind: "DestinationRule"},
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

// template is the pod template of a workload, and its image.
func (f *fleet) template(name, kind string) (corev1.PodTemplateSpec, string) {
	f.Helper()
	var template corev1.PodTemplateSpec
	if kind == "DaemonSet" {
		d := &appsv1.DaemonSet{}
		f.get(name, d)
		template = d.Spec.Template
	} else {
		d := &appsv1.Deployment{}
		f.get(name, d)
		template = d.Spec.Template
	}
	if len(template.Spec.Containers) == 0 {
		return template, fmt.Sprintf("nothing: there is no %s", name)
	}
	return template, template.Spec.Containers[0].Image
}

// expected are parts of the warnings that both controllers have for what the apps
// go through.
var expected = []string{"not ready", "Halt ", "Rolling back", "Canary failed!", "waiting for", "Canary analysis failed"}

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
		if e.InvolvedObject.Kind == flaggerv1.CanaryKind && e.Type == corev1.EventTypeWarning && !known {
			f.Errorf("%s, %d times: %s", e.InvolvedObject.Name, e.Count, e.Message)
		}
	}
}
