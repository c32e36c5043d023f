// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// TestWhatTheRouterRoutesTheCheckerMeasures closes the loop on real parts: the
// router writes weights, the simulator reads them and sends requests, Prometheus
// scrapes what came of them, and the builtin checks see the canary alone.
func TestWhatTheRouterRoutesTheCheckerMeasures(t *testing.T) {
	p := playground(t)
	ctx := t.Context()
	c := stage(t, p)
	r, err := router.New(c.Spec.Provider, router.Deps{Client: p.Client})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Reconcile(ctx, c); err != nil {
		t.Fatal(err)
	}
	users(t, p)
	checks := metric.NewChecker(p.Client, p.Prometheus, clock.RealClock{})
	check := func(name string) (float64, error) {
		return checks.Check(ctx, c, flaggerv1.CanaryMetric{Name: name, Interval: "5s"})
	}
	if value, err := check(flaggerv1.RequestSuccessRate); err == nil {
		t.Errorf("nobody is on the canary, and %v%% of their requests succeed", value)
	}
	if err := r.SetWeights(ctx, c, provider.Weights{Primary: 50, Canary: 50}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct{ low, high float64 }{
		flaggerv1.RequestSuccessRate: {40, 60},   // of a canary that fails half of the time
		flaggerv1.RequestDuration:    {100, 300}, // of one that takes 100 ms, give or take
	} {
		_, err := harness.Eventually(ctx, name, harness.Patience, func(context.Context) (bool, string) {
			value, err := check(name)
			return err == nil && value > want.low && value < want.high, fmt.Sprint(value, err)
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// users sends simulated requests until the test ends.
func users(t *testing.T, p *harness.Playground) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	reader, err := traffic.NewReader(ctx, p.REST)
	if err != nil {
		t.Fatal(err)
	}
	metrics, failed := traffic.NewMetrics(), make(chan error, 2)
	simulator := &traffic.Simulator{Reader: reader, Metrics: metrics, Rate: 100}
	go func() { failed <- simulator.Run(ctx) }()
	go func() { failed <- metrics.Serve(ctx, p.PrometheusTargets, "traffic-test") }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
	})
}

// stage makes a namespace with two versions of an app and their Services, and a
// Canary that no controller touches, because it is suspended.
func stage(t *testing.T, p *harness.Playground) *flaggerv1.Canary {
	t.Helper()
	ctx := t.Context()
	ns := p.NewNamespace(t, "traffic-", nil)
	for name, traits := range map[string]traffic.Traits{
		"app-primary": {Latency: 10 * time.Millisecond},
		"app":         {Latency: 100 * time.Millisecond, ErrorRate: 0.5},
	} {
		if _, err := p.PushImage(ctx, ns+"/"+name, "1", traits.Labels()); err != nil {
			t.Fatal(err)
		}
		labels := map[string]string{"app": name}
		create(t, p, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			Spec: appsv1.DeploymentSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec: corev1.PodSpec{Containers: []corev1.Container{{
						Name: "app", Image: p.Registry + "/" + ns + "/" + name + ":1",
					}}},
				},
			},
		})
	}
	for name, selects := range map[string]string{"app-primary": "app-primary", "app-canary": "app"} {
		create(t, p, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"app": selects},
				Ports:    []corev1.ServicePort{{Name: "http", Port: 80}},
			},
		})
	}
	c := &flaggerv1.Canary{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"},
		Spec: flaggerv1.CanarySpec{
			Provider: "gatewayapi:v1", Suspend: true,
			TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"},
			Service:   flaggerv1.CanaryService{Port: 80, GatewayRefs: []gatewayv1.ParentReference{{Name: "public"}}},
			Analysis:  &flaggerv1.CanaryAnalysis{Interval: "10s", Threshold: 1, StepWeight: 50},
		},
	}
	create(t, p, c)
	return c
}

func create(t *testing.T, p *harness.Playground, obj client.Object) {
	t.Helper()
	if err := p.Client.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func playground(t *testing.T) *harness.Playground {
	t.Helper()
	p := harness.Require(t)
	if p.Node == "none" {
		t.Fatal("the playground has no nodes")
	}
	if err := p.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}
