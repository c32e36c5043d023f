// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	canaryctrl "github.com/sluice-cd/sluice/controllers/canary"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/alert"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/test/harness"
)

// testEnv is a namespace with a controller of canaries.
type testEnv struct {
	*testing.T
	c         client.Client
	p         *harness.Playground
	namespace string
}

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	p := harness.Installed(t)
	return &testEnv{T: t, c: p.Client, p: p, namespace: p.NewNamespace(t, "release-", nil)}
}

func (w *testEnv) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// serve starts the controller, once the CRDs of the test are there.
func (w *testEnv) serve() {
	w.Helper()
	messages, err := outbox.Open(w.TempDir(), clock.RealClock{}, logr.Discard())
	w.must(err)
	w.p.Serve(w.T, func(mgr ctrl.Manager, opts reconciler.Options) error {
		r := &canaryctrl.Reconciler{MinInterval: time.Millisecond, Registry: prometheus.NewRegistry(), Alerts: alert.Options{Outbox: messages}}
		return r.SetupWithManager(mgr, opts)
	}, w.namespace)
}

func (w *testEnv) create(objects ...client.Object) {
	w.Helper()
	for _, o := range objects {
		o.SetNamespace(w.namespace)
		w.must(w.c.Create(w.Context(), o))
	}
}

func (w *testEnv) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: w.namespace, Name: name}
}

func (w *testEnv) get(name string, o client.Object) {
	w.Helper()
	w.must(w.c.Get(w.Context(), w.key(name), o))
}

func (w *testEnv) edit(name string, o client.Object, change func()) {
	w.Helper()
	for {
		w.get(name, o)
		change()
		if err := w.c.Update(w.Context(), o); !apierrors.IsConflict(err) {
			w.must(err)
			return
		}
	}
}

func (w *testEnv) phase(want flaggerv1.CanaryPhase) *flaggerv1.Canary {
	w.Helper()
	c := &flaggerv1.Canary{}
	harness.MustEventually(w, string(want), func(context.Context) (bool, string) {
		w.get("app", c)
		return c.Status.Phase == want, fmt.Sprintf("%s %v", c.Status.Phase, c.Status.Conditions)
	})
	return c
}

// released waits until a push has gone from here to the end.
func (w *testEnv) released(push func(), want flaggerv1.CanaryPhase) *flaggerv1.Canary {
	w.Helper()
	c := &flaggerv1.Canary{}
	w.get("app", c)
	before := c.Status.LastAppliedSpec
	push()
	harness.MustEventually(w, "the release to be taken up", func(context.Context) (bool, string) {
		w.get("app", c)
		return c.Status.LastAppliedSpec != before, string(c.Status.Phase)
	})
	return w.phase(want)
}

func app(kind string) *flaggerv1.Canary {
	return &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: flaggerv1.CanarySpec{
		TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: kind, Name: "app"},
		Service:   flaggerv1.CanaryService{Port: 80},
		Analysis:  &flaggerv1.CanaryAnalysis{Interval: "1s", Threshold: 2, Iterations: 2},
	}}
}

func pods(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "app"}},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: ptr.To(int64(0)), Containers: []corev1.Container{{Name: "app", Image: image}}}}
}

var selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app"}}

func TestADaemonSetIsReleased(t *testing.T) {
	w := newTestEnv(t)
	w.serve()
	w.create(&appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec:       appsv1.DaemonSetSpec{Selector: selector, Template: pods("app:1")},
	}, app("DaemonSet"))
	w.phase(flaggerv1.CanaryPhaseInitialized)
	d := &appsv1.DaemonSet{}
	harness.MustEventually(w, "the target to be stopped", func(context.Context) (bool, string) {
		w.get("app", d)
		return d.Status.CurrentNumberScheduled == 0, fmt.Sprintf("%+v", d.Status)
	})
	w.released(func() { w.edit("app", d, func() { d.Spec.Template.Spec.Containers[0].Image = "app:2" }) }, flaggerv1.CanaryPhaseSucceeded)
	w.get("app-primary", d)
	if d.Spec.Template.Spec.Containers[0].Image != "app:2" || d.Spec.Template.Spec.NodeSelector != nil || d.Status.NumberAvailable == 0 {
		t.Errorf("primary %+v %+v", d.Spec.Template.Spec, d.Status)
	}
}

func TestAWorkerWithAnAutoscalerIsReleased(t *testing.T) {
	w := newTestEnv(t)
	w.serve()
	c := app("Deployment")
	c.Spec.Service.Port = 0
	c.Spec.AutoscalerRef = &flaggerv1.AutoscalerReference{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Name: "app"}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{
			APIVersion: "apps/v1",
			Kind:       "Deployment",
			Name:       "app",
		}, MinReplicas: ptr.To(int32(2)), MaxReplicas: 4,
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{
				Type:               autoscalingv2.UtilizationMetricType,
				AverageUtilization: ptr.To(int32(80)),
			}}}}}}
	w.create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec:       appsv1.DeploymentSpec{Replicas: ptr.To(int32(2)), Selector: selector, Template: pods("app:1")},
	}, hpa, c)
	w.phase(flaggerv1.CanaryPhaseInitialized)
	copied := &autoscalingv2.HorizontalPodAutoscaler{}
	w.get("app-primary", copied)
	version := copied.ResourceVersion
	d := &appsv1.Deployment{}
	w.released(func() { w.edit("app", d, func() { d.Spec.Template.Spec.Containers[0].Image = "app:2" }) }, flaggerv1.CanaryPhaseSucceeded)
	w.get("app-primary", d)
	if d.Spec.Template.Spec.Containers[0].Image != "app:2" || *d.Spec.Replicas != 2 {
		t.Errorf("primary %+v", d.Spec)
	}
	w.get("app-primary", copied)
	if copied.Spec.ScaleTargetRef.Name != "app-primary" || copied.Generation > 1 {
		t.Errorf("copy %s -> %s: %+v", version, copied.ResourceVersion, copied.Spec)
	}
	services := &corev1.ServiceList{}
	w.must(w.c.List(t.Context(), services, client.InNamespace(w.namespace)))
	if len(services.Items) > 0 {
		t.Errorf("a worker got Services: %v", services.Items)
	}
	w.edit("app", hpa, func() { hpa.Spec.MaxReplicas = 9 })
	harness.MustEventually(w, "the copy to follow", func(context.Context) (bool, string) {
		w.get("app-primary", copied)
		return copied.Spec.MaxReplicas == 9, fmt.Sprint(copied.Spec.MaxReplicas)
	})
}

func TestAServiceIsReleased(t *testing.T) {
	w := newTestEnv(t)
	w.serve()
	c := app("Service")
	c.Spec.TargetRef.APIVersion, c.Spec.Provider = "v1", "gatewayapi:v1"
	c.Spec.Service.GatewayRefs = []gatewayv1.ParentReference{{Name: "public"}}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, Selector: map[string]string{
			"version": "1",
		}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}}}
	w.create(svc, c)
	w.phase(flaggerv1.CanaryPhaseInitialized)
	w.released(func() { w.edit("app", svc, func() { svc.Spec.Selector["version"] = "2" }) }, flaggerv1.CanaryPhaseSucceeded)
	for name, want := range map[string]string{"app": "2", "app-primary": "2", "app-canary": "2"} {
		w.get(name, svc)
		if svc.Spec.Selector["version"] != want {
			t.Errorf("%s selects %v", name, svc.Spec.Selector)
		}
	}
}

func TestAStatefulSetIsReleasedByItsController(t *testing.T) {
	w := newTestEnv(t)
	w.serve()
	c := app("StatefulSet")
	c.Spec.ProgressDeadlineSeconds = ptr.To(int32(5))
	c.Spec.Analysis.Iterations, c.Spec.Analysis.StepWeight, c.Spec.Analysis.MaxWeight = 0, 30, 60
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To(int32(3)), Selector: selector, Template: pods("app:1"), ServiceName: "app"}}
	w.create(set, c)
	w.phase(flaggerv1.CanaryPhaseInitialized)
	w.released(func() { w.edit("app", set, func() { set.Spec.Template.Spec.Containers[0].Image = "app:2" }) }, flaggerv1.CanaryPhaseSucceeded)
	if diff := cmp.Diff([]string{"app:2", "app:2", "app:2"}, w.images()); diff != "" {
		t.Error(diff)
	}
	failed := w.released(func() {
		w.edit("app", set, func() {
			set.Spec.Template.Spec.Containers[0].Image, set.Spec.Template.Spec.NodeSelector = "app:3", map[string]string{"no": "node"}
		})
	}, flaggerv1.CanaryPhaseFailed)
	if why := fmt.Sprint(failed.Status.History); !strings.Contains(why, "Unschedulable") {
		t.Errorf("the history does not say why: %s", why)
	}
	harness.MustEventually(w, "the pods to be taken back", func(context.Context) (bool, string) {
		got := w.images()
		return cmp.Equal(got, []string{"app:2", "app:2", "app:2"}), fmt.Sprint(got)
	})
	w.released(func() {
		w.edit("app", set, func() {
			set.Spec.Template.Spec.Containers[0].Image, set.Spec.Template.Spec.NodeSelector = "app:4", nil
		})
	}, flaggerv1.CanaryPhaseSucceeded)
}

func (w *testEnv) images() (images []string) {
	w.Helper()
	found := &corev1.PodList{}
	w.must(w.c.List(w.Context(), found, client.InNamespace(w.namespace), client.MatchingLabels{"app": "app"}))
	for _, pod := range found.Items {
		images = append(images, pod.Spec.Containers[0].Image)
	}
	return images
}

func TestAKnativeServiceIsReleased(t *testing.T) {
	w := newTestEnv(t)
	root, err := harness.Root()
	w.must(err)
	w.must(w.p.ApplyFile(t.Context(), filepath.Join(root, "canary", "router", "testdata", "crds", "knative.yaml")))
	w.must(w.p.Install(t.Context())) // waits for them
	w.serve()
	svc := knativeObject("Service", "app")
	w.create(svc)
	w.revision("app-1", "app:1")
	c := app("Service")
	c.Spec.TargetRef.APIVersion, c.Spec.Provider, c.Spec.Service.Port = "serving.knative.dev/v1", "knative", 0
	c.Spec.Analysis.Iterations, c.Spec.Analysis.StepWeight, c.Spec.Analysis.MaxWeight = 0, 30, 60
	w.create(c)
	w.phase(flaggerv1.CanaryPhaseInitialized)
	w.released(func() { w.revision("app-2", "app:2") }, flaggerv1.CanaryPhaseSucceeded)
	w.get("app", svc)
	traffic, _, _ := unstructured.NestedSlice(svc.Object, "spec", "traffic")
	want := []any{map[string]any{"latestRevision": true, "percent": int64(0)}, map[string]any{"revisionName": "app-2", "percent": int64(100)}}
	if diff := cmp.Diff(want, traffic); diff != "" || svc.GetAnnotations()["flagger.app/primary-revision"] != "app-2" {
		t.Errorf("%s %v", diff, svc.GetAnnotations())
	}
}

func knativeObject(kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("serving.knative.dev/v1")
	u.SetKind(kind)
	u.SetName(name)
	return u
}

// revision does what Knative does when its Service has another template.
func (w *testEnv) revision(name, image string) {
	w.Helper()
	rev := knativeObject("Revision", name)
	rev.SetLabels(map[string]string{"serving.knative.dev/service": "app"})
	rev.Object["spec"] = map[string]any{"containers": []any{map[string]any{"image": image}}}
	w.create(rev)
	rev.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}
	w.must(w.c.Status().Update(w.Context(), rev))
	svc := knativeObject("Service", "app")
	w.get("app", svc)
	svc.Object["status"] = map[string]any{"latestCreatedRevisionName": name, "latestReadyRevisionName": name}
	w.must(w.c.Status().Update(w.Context(), svc))
}
