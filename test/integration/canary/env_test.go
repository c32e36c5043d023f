// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
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
	"github.com/sluice-cd/sluice/test/make"
)

// testEnv is a namespace with an application, its canary, and a controller
// that serves it with measurements that the test makes up.
type testEnv struct {
	t         *testing.T
	c         client.Client
	namespace string
	metrics   *metricsServer
	provider  string // of canaries that name none
	wire      *wire
	stop      func()
	start     func()
}

type eventLog struct {
	mu   sync.Mutex
	said []string
}

func (l *eventLog) Event(_ client.Object, e reconciler.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, e.Message)
}

func (l *eventLog) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, said := range l.said {
		if strings.Contains(said, text) {
			return true
		}
	}
	return false
}

// newTestEnv starts a controller for a namespace of its own.
func newTestEnv(t *testing.T, log *eventLog) *testEnv {
	t.Helper()
	pg := harness.Installed(t)
	w := &testEnv{t: t, c: pg.Client, wire: newWire(), metrics: newMetricsServer(t)}
	w.namespace = pg.NewNamespace(t, "canary-", nil)
	wired := *pg
	wired.REST = rest.CopyConfig(pg.REST)
	wired.REST.Wrap(w.wire.wrap)
	w.start = func() {
		messages, err := outbox.Open(t.TempDir(), clock.RealClock{}, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		w.stop = wired.Serve(t, func(mgr ctrl.Manager, opts reconciler.Options) error {
			opts.Recorder = log
			r := &canaryctrl.Reconciler{
				Provider:      w.provider,
				MetricsServer: w.metrics.URL,
				MinInterval:   time.Millisecond,
				Registry:      prometheus.NewRegistry(),
				Alerts:        alert.Options{Outbox: messages},
			}
			return r.SetupWithManager(mgr, opts)
		}, w.namespace)
	}
	w.start()
	return w
}

func (w *testEnv) create(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if o.GetNamespace() == "" {
			o.SetNamespace(w.namespace)
		}
		if err := w.c.Create(context.Background(), o); err != nil {
			w.t.Fatal(err)
		}
	}
}

// app is the Deployment as Git has it, without replicas.
func app(image string) *appsv1.Deployment {
	return make.Deployment("", "podinfo", image, func(d *appsv1.Deployment) {
		d.TypeMeta = metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}
		d.Generation, d.Spec.Replicas = 0, nil
		d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "podinfo"}}}}
	})
}

// apply is what a Kustomization does with the manifest.
func (w *testEnv) apply(image string) {
	w.t.Helper()
	d := app(image)
	d.Namespace = w.namespace
	//nolint:staticcheck // applying a typed object as Flux does, by patch
	if err := w.c.Patch(context.Background(), d, client.Apply, client.ForceOwnership, client.FieldOwner("kustomize-controller")); err != nil {
		w.t.Fatal(err)
	}
}

// podinfo makes the application, its configuration and its canary, and waits
// until the canary has taken over.
func (w *testEnv) podinfo(edit func(*flaggerv1.Canary)) *flaggerv1.Canary {
	w.t.Helper()
	c := w.unstarted(edit)
	w.until("initialized", func() bool { return w.canary().Status.Phase == flaggerv1.CanaryPhaseInitialized })
	w.until("scaled down", func() bool { return w.replicas("podinfo") == 0 })
	return c
}

// unstarted is a canary that was just created.
func (w *testEnv) unstarted(edit func(*flaggerv1.Canary)) *flaggerv1.Canary {
	w.t.Helper()
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "podinfo"}, BinaryData: map[string][]byte{"blob": {0xff}}})
	w.apply("podinfo:1")
	c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "podinfo"}}
	c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"}
	c.Spec.Provider = "gatewayapi:v1"
	c.Spec.Service.Port = 9898
	c.Spec.Service.GatewayRefs = []gatewayv1.ParentReference{{Name: "gateway"}}
	c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "1s", Threshold: 2, StepWeight: 30, MaxWeight: 60,
		Sampling: &flaggerv1.CanarySampling{Disabled: true},
		Metrics: []flaggerv1.CanaryMetric{{Name: "request-success-rate", Interval: "1m",
			ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: ptr.To(99.0)}}}}
	if edit != nil {
		edit(c)
	}
	w.create(c)
	return c
}

// until waits for a condition.
func (w *testEnv) until(what string, ok func() bool) {
	w.t.Helper()
	_, err := harness.Eventually(context.Background(), what, harness.Patience, func(context.Context) (bool, string) {
		status, err := json.Marshal(w.canary().Status)
		return ok(), fmt.Sprintf("%s %v", status, err)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// quietFor waits until the controller has sent no request for the window. That
// nothing happens can only be seen by looking for a while.
func (w *testEnv) quietFor(window time.Duration) {
	w.t.Helper()
	last, since := w.wire.requests.Load(), time.Now()
	w.until("quiet", func() bool {
		if now := w.wire.requests.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) >= window
	})
}

func (w *testEnv) get(name string, object client.Object) bool {
	w.t.Helper()
	err := w.c.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: name}, object)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return err == nil
}

func (w *testEnv) canary() *flaggerv1.Canary {
	c := &flaggerv1.Canary{}
	w.get("podinfo", c)
	return c
}

func (w *testEnv) deployment(name string) *appsv1.Deployment {
	d := &appsv1.Deployment{}
	w.get(name, d)
	return d
}

func (w *testEnv) replicas(name string) int32 {
	return ptr.Deref(w.deployment(name).Spec.Replicas, -1)
}

func (w *testEnv) image(name string) string {
	d := w.deployment(name)
	if len(d.Spec.Template.Spec.Containers) == 0 {
		return ""
	}
	return d.Spec.Template.Spec.Containers[0].Image
}

// weight is the canary's in the HTTPRoute.
func (w *testEnv) weight() int32 {
	route := &gatewayv1.HTTPRoute{}
	if !w.get("podinfo", route) {
		return -1
	}
	return ptr.Deref(route.Spec.Rules[0].BackendRefs[1].Weight, -1)
}

func (w *testEnv) phase(phase flaggerv1.CanaryPhase) {
	w.t.Helper()
	w.until(string(phase), func() bool { return w.canary().Status.Phase == phase })
}
