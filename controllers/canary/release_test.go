// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// prometheusServer answers every query with one value.
type prometheusServer struct {
	*httptest.Server
	value   atomic.Value
	queries atomic.Int32
}

func newPrometheus(t *testing.T, value string) *prometheusServer {
	p := &prometheusServer{}
	p.value.Store(value)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.queries.Add(1)
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,%q]}]}}`, p.value.Load())
	}))
	t.Cleanup(p.Close)
	return p
}

// releasing is a canary of a Deployment that gives users to a new revision in one step,
// measured by a Prometheus.
func releasing(server *prometheusServer) *flaggerv1.Canary {
	c := podinfo()
	c.Generation = 1
	c.Spec.Provider, c.Spec.MetricsServer = "gatewayapi:v1", server.URL
	c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"}
	c.Spec.Service = flaggerv1.CanaryService{Port: 80, GatewayRefs: []gatewayv1.ParentReference{{Name: "gateway"}}}
	c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "1m", Threshold: 2, StepWeight: 50, MaxWeight: 50,
		Metrics: []flaggerv1.CanaryMetric{{Name: "request-success-rate", Threshold: 99, Interval: "1m"}}}
	return c
}

// reconcile does what the runner does, and returns the canary as it is recorded.
func (e *testEnv) reconcile() (*flaggerv1.Canary, reconciler.Result, error) {
	e.Helper()
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	before := c.DeepCopy()
	result, err := e.r.Reconcile(e.Context(), c)
	if patchErr := e.api.Status().Patch(e.Context(), c.DeepCopy(), client.MergeFrom(before)); patchErr != nil {
		e.Fatal(patchErr)
	}
	if result.Recorded != nil {
		result.Recorded()
	}
	for _, event := range result.Events {
		e.events = append(e.events, event.Message)
	}
	return c, result, err
}

// rollOut lets Kubernetes do what Deployments say.
func (e *testEnv) rollOut() {
	e.Helper()
	all := &appsv1.DeploymentList{}
	if err := e.api.List(e.Context(), all); err != nil {
		e.Fatal(err)
	}
	for i := range all.Items {
		rolledOut(&all.Items[i])
		if err := e.api.Status().Update(e.Context(), &all.Items[i]); err != nil {
			e.Fatal(err)
		}
	}
}

// until reconciles, with time going on and Kubernetes doing its part, until a condition
// holds; answers that are under way are waited for.
func (e *testEnv) until(what string, holds func(*flaggerv1.Canary) bool) (*flaggerv1.Canary, error) {
	e.Helper()
	var said []string
	for range 30 {
		c, result, err := e.reconcile()
		if holds(c) {
			return c, err
		}
		said = append(said, fmt.Sprintf("%s %d: %s %v", c.Status.Phase, c.Status.CanaryWeight, result.Message, err))
		if len(e.r.observer.queries.answers) > 0 {
			waketest.Next(e.T, e.woken)
			continue
		}
		e.rollOut()
		e.clock.Step(time.Minute)
	}
	e.Fatalf("no %s:\n%s", what, strings.Join(slices.Compact(said), "\n"))
	return nil, nil
}

func (e *testEnv) phase(want flaggerv1.CanaryPhase) (*flaggerv1.Canary, error) {
	e.Helper()
	return e.until(string(want), func(c *flaggerv1.Canary) bool { return c.Status.Phase == want })
}

// push makes Git say another image.
func (e *testEnv) push(image string) {
	e.Helper()
	d := &appsv1.Deployment{}
	e.get("podinfo", d)
	d.Spec.Template.Spec.Containers[0].Image = image
	if err := e.api.Update(e.Context(), d); err != nil {
		e.Fatal(err)
	}
}

func (e *testEnv) image(name string) string {
	e.Helper()
	d := &appsv1.Deployment{}
	e.get(name, d)
	return d.Spec.Template.Spec.Containers[0].Image
}

// routed are the weights of the primary and of the canary in the route.
func (e *testEnv) routed() [2]int64 {
	e.Helper()
	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(ownRoute().GroupVersionKind())
	e.get("podinfo", route)
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	var weights [2]int64
	for i, backend := range rules[0].(map[string]any)["backendRefs"].([]any) {
		weights[i], _ = backend.(map[string]any)["weight"].(int64)
	}
	return weights
}

// newRelease is an env whose canary has its first revision.
func newRelease(t *testing.T, server *prometheusServer, edit func(*flaggerv1.Canary)) *testEnv {
	t.Helper()
	c := releasing(server)
	if edit != nil {
		edit(c)
	}
	e := newEnv(t, interceptor.Funcs{}, c, deployment("podinfo", "podinfo:1", 2))
	e.r.metrics.observePhase(c)
	if _, err := e.phase(flaggerv1.CanaryPhaseInitialized); err != nil {
		t.Fatal(err)
	}
	return e
}

// A rollback that was lost in a kill is recognised by what is done already, which a canary shows as well that its
// autoscaler scaled to zero: it was failed for a kill that never was.
func TestOnlyWhatMayNotBeRecordedIsTakenForLost(t *testing.T) {
	e := newRelease(t, newPrometheus(t, "100"), nil)
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	want := func(recorded bool, when string) {
		t.Helper()
		if got := e.r.observer.status.isRecorded(c.UID); got != recorded {
			t.Errorf("%s: recorded: %t", when, got)
		}
	}
	want(true, "after a reconcile")
	if _, err := e.r.Reconcile(t.Context(), c.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	want(false, "when the status could not be written")
	if _, _, err := e.reconcile(); err != nil {
		t.Fatal(err)
	}
	want(true, "after the next")
	e.r.forget(client.ObjectKeyFromObject(c), c.UID)
	want(false, "when it is gone")
	e.restart(e.api)
	want(false, "in another process")
}

func TestAReleaseFromItsFirstLookToItsPromotion(t *testing.T) {
	server := newPrometheus(t, "100")
	e := newRelease(t, server, nil)
	if got := e.image("podinfo-primary"); got != "podinfo:1" {
		t.Fatalf("the primary runs %s", got)
	}
	if server.queries.Load() > 0 {
		t.Error("measured at rest")
	}
	e.push("podinfo:2")
	c, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 })
	if err != nil || c.Status.CanaryWeight != 50 || c.Status.Phase != flaggerv1.CanaryPhaseProgressing || e.routed() != [2]int64{50, 50} {
		t.Fatalf("status %s %d, routed %v, %v", c.Status.Phase, c.Status.CanaryWeight, e.routed(), err)
	}
	if !c.Status.LastTransitionTime.Time.Equal(e.clock.Now()) {
		t.Errorf("the stage began at %s, not %s", c.Status.LastTransitionTime, e.clock.Now())
	}
	c, err = e.phase(flaggerv1.CanaryPhaseSucceeded)
	if err != nil || e.image("podinfo-primary") != "podinfo:2" || e.routed() != [2]int64{100, 0} || c.Status.CanaryWeight != 0 {
		t.Errorf("primary %s, routed %v, weight %d, %v", e.image("podinfo-primary"), e.routed(), c.Status.CanaryWeight, err)
	}
	if c.Status.PromotedRevision == "" || c.Status.PromotedRevision != c.Status.AppliedRevision ||
		c.Status.History[0].Verdict != flaggerv1.VerdictPromoted {
		t.Errorf("status %+v", c.Status)
	}
	promotions := e.r.metrics.successes.WithLabelValues("podinfo", "test", "canary", "completed")
	if got := testutil.ToFloat64(promotions); got != 1 {
		t.Errorf("%v promotions", got)
	}
	if got := testutil.ToFloat64(e.r.metrics.analysis.WithLabelValues("podinfo", "test", "request-success-rate")); got != 100 {
		t.Errorf("measured %v", got)
	}
	d := &appsv1.Deployment{}
	if e.get("podinfo", d); *d.Spec.Replicas != 0 {
		t.Errorf("the target keeps %d pods", *d.Spec.Replicas)
	}
}

func TestAReleaseThatFailsItsChecksIsRolledBack(t *testing.T) {
	server := newPrometheus(t, "100")
	e := newRelease(t, server, nil)
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	server.value.Store("50")
	c, err := e.until("failed check", func(c *flaggerv1.Canary) bool { return c.Status.FailedChecks > 0 })
	if err != nil || c.Status.FailedChecks != 1 || c.Status.CanaryWeight != 50 {
		t.Fatalf("%d failed checks at weight %d, %v", c.Status.FailedChecks, c.Status.CanaryWeight, err)
	}
	c, err = e.phase(flaggerv1.CanaryPhaseFailed)
	if reconciler.ReasonOf(err, e.r.Reason) != "Failed" && err != nil {
		t.Errorf("reason %s: %v", reconciler.ReasonOf(err, e.r.Reason), err)
	}
	if e.routed() != [2]int64{100, 0} || c.Status.CanaryWeight != 0 || e.image("podinfo-primary") != "podinfo:1" {
		t.Errorf("routed %v, weight %d, primary %s", e.routed(), c.Status.CanaryWeight, e.image("podinfo-primary"))
	}
	if !slices.ContainsFunc(e.events, func(message string) bool { return strings.Contains(message, "success rate 50.00% < 99%") }) {
		t.Errorf("nobody is told why: %q", e.events)
	}
}

// A restart in the middle of a release goes on where it was.
func TestAReleaseOutlivesTheProcess(t *testing.T) {
	e := newRelease(t, newPrometheus(t, "100"), nil)
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	e.restart(e.api)
	if _, err := e.phase(flaggerv1.CanaryPhaseSucceeded); err != nil || e.image("podinfo-primary") != "podinfo:2" {
		t.Errorf("primary %s, %v", e.image("podinfo-primary"), err)
	}
}

// The controller's default is another after a restart, with users on routes that the new
// one does not know.
func TestAReleaseEndsUnderTheDefaultProviderThatItBeganWith(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{}, deployment("podinfo", "podinfo:1", 1))
	c := releasing(newPrometheus(t, "100"))
	c.Spec.Provider = ""
	if err := e.api.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	e.r.Provider = "gatewayapi:v1"
	e.restart(e.api)
	if c, err := e.phase(flaggerv1.CanaryPhaseInitialized); err != nil || c.Status.Provider != "" || c.Status.Routing == nil {
		t.Fatalf("provider %q, routing %+v, %v", c.Status.Provider, c.Status.Routing, err)
	}
	e.push("podinfo:2")
	if c, err := e.until("first weight", func(c *flaggerv1.Canary) bool {
		return c.Status.CanaryWeight > 0
	}); err != nil || c.Status.Provider != "gatewayapi:v1" {
		t.Fatalf("provider %q, %v", c.Status.Provider, err)
	}
	e.r.Provider = "kubernetes"
	e.restart(e.api)
	if c, err := e.phase(flaggerv1.CanaryPhaseSucceeded); err != nil || c.Status.Provider != "" || e.routed() != [2]int64{100, 0} {
		t.Errorf("provider %q, routed %v, %v", c.Status.Provider, e.routed(), err)
	}
}

func TestWhatKeepsACanaryFromWorking(t *testing.T) {
	missing := &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}}
	for name, tc := range map[string]struct {
		edit       func(*flaggerv1.Canary)
		funcs      interceptor.Funcs
		cacheErr   error
		wantReason string
		want       string
	}{
		"an unknown provider":  {edit: func(c *flaggerv1.Canary) { c.Spec.Provider = "bogus" }, wantReason: "InvalidSpec", want: "bogus"},
		"an unsupported field": {edit: func(c *flaggerv1.Canary) { c.Spec.Service.MeshName = "x" }, wantReason: "InvalidSpec", want: "meshName"},
		"no analysis that leads anywhere": {edit: func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeight = -1 },
			wantReason: "InvalidSpec", want: "spec.analysis: one of iterations, stepWeight and stepWeights must be positive"},
		"a range that no value is in": {edit: func(c *flaggerv1.Canary) {
			c.Spec.Analysis.Metrics[0].ThresholdRange = &flaggerv1.CanaryThresholdRange{Min: ptr.To(101.0)}
		}, wantReason: "InvalidSpec", want: "spec.analysis.metrics[request-success-rate].thresholdRange.min: 101 is above 100 %"},
		"a metric that cannot be measured": {edit: func(c *flaggerv1.Canary) {
			c.Spec.Analysis.Metrics = []flaggerv1.CanaryMetric{{Name: "nonsense", Threshold: 1}}
		}, wantReason: "InvalidSpec", want: "nonsense"},
		"a target of a kind that is not served": {
			edit:       func(c *flaggerv1.Canary) { c.Spec.TargetRef.Kind = "Pod" },
			wantReason: "InvalidSpec",
			want:       "Pod",
		},
		"no target": {
			edit:       func(c *flaggerv1.Canary) { c.Spec.TargetRef.Name = "other" },
			wantReason: "NotReady",
			want:       "other",
		},
		"a mesh that is not installed": {cacheErr: missing, wantReason: "NotInstalled", want: "Gateway API"},
		"an API server that fails": {
			funcs: interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
				return errors.New("etcd is down")
			}}, wantReason: "ReconciliationFailed", want: "etcd is down",
		},
		"a route that the API server refuses": {
			funcs: interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if o.GetObjectKind().GroupVersionKind().Kind == "HTTPRoute" {
					return apierrors.NewInvalid(schema.GroupKind{Kind: "HTTPRoute"}, "podinfo", nil)
				}
				return c.Create(ctx, o, opts...)
			}}, wantReason: "InvalidSpec", want: "refuses it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := releasing(newPrometheus(t, "100"))
			if tc.edit != nil {
				tc.edit(c)
			}
			e := newEnv(t, tc.funcs, c, deployment("podinfo", "podinfo:1", 1))
			e.cache.fails = map[string]error{"HTTPRoute": tc.cacheErr}
			_, _, err := e.reconcile()
			if err == nil || reconciler.ReasonOf(err, e.r.Reason) != tc.wantReason || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%s: %v", reconciler.ReasonOf(err, e.r.Reason), err)
			}
			services := &corev1.ServiceList{}
			if err := e.api.List(t.Context(), services); err != nil || len(services.Items) > 0 {
				t.Errorf("made %d Services all the same, %v", len(services.Items), err)
			}
		})
	}
}

// To decide on a status that was overtaken would take back what has been decided.
func TestAStaleStatusIsNotDecidedOn(t *testing.T) {
	e := newRelease(t, newPrometheus(t, "100"), nil)
	stale, latest := &flaggerv1.Canary{}, &flaggerv1.Canary{}
	e.get("podinfo", stale)
	e.get("podinfo", latest)
	latest.Status.Phase = flaggerv1.CanaryPhaseProgressing
	if err := e.api.Status().Update(t.Context(), latest); err != nil {
		t.Fatal(err)
	}
	e.restart(e.api)
	if _, err := e.r.Reconcile(t.Context(), stale); !errors.Is(err, errStale) {
		t.Errorf("got %v", err)
	}
	if _, _, err := e.reconcile(); err != nil {
		t.Error(err)
	}
}

func TestCommandsOfPeople(t *testing.T) {
	e := newRelease(t, newPrometheus(t, "100"), nil)
	annotate := func(value string) {
		c := &flaggerv1.Canary{}
		e.get("podinfo", c)
		c.Annotations = map[string]string{flaggerv1.CommandAnnotation: value}
		if err := e.api.Update(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	annotate("nonsense")
	for range 2 {
		if _, _, err := e.reconcile(); err != nil {
			t.Fatal(err)
		}
	}
	warnings := len(slices.DeleteFunc(slices.Clone(e.events), func(message string) bool {
		return !strings.Contains(message, flaggerv1.CommandAnnotation)
	}))
	if warnings != 1 {
		t.Errorf("warned %d times: %q", warnings, e.events)
	}
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	annotate("abort 2026-01-02T12:30:00Z jo")
	c, _ := e.phase(flaggerv1.CanaryPhaseFailed)
	if c.Status.LastCommand == nil || e.routed() != [2]int64{100, 0} {
		t.Errorf("command %+v, routed %v", c.Status.LastCommand, e.routed())
	}
	if e.r.observer.command(c) != nil {
		t.Error("a command that was carried out is wanted still")
	}
}

// A failed promotion must not keep users on a canary.
func TestUsersAreTakenOffACanaryWhateverElseFails(t *testing.T) {
	e := newRelease(t, newPrometheus(t, "100"), nil)
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	d := &appsv1.Deployment{}
	e.get("podinfo", d)
	d.Status.AvailableReplicas, d.Status.ReadyReplicas = 0, 0
	if err := e.api.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	e.restart(interceptor.NewClient(e.api, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, ok := o.(*corev1.Service); ok {
				return errors.New("no Services today")
			}
			return c.Patch(ctx, o, p, opts...)
		},
	}))
	if _, _, err := e.reconcile(); e.routed() != [2]int64{100, 0} {
		t.Errorf("routed %v, %v", e.routed(), err)
	}
}

// An edit of spec.service that the API server refuses must not keep users on a canary.
func TestUsersAreTakenOffACanaryWhoseEditedRouteIsRefused(t *testing.T) {
	server := newPrometheus(t, "100")
	e := newRelease(t, server, nil)
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	c.Spec.Service.Hosts = []string{"not a host"}
	c.Spec.Analysis.Metrics[0].Threshold = 101
	c.Generation++
	if err := e.api.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	e.restart(interceptor.NewClient(e.api, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if u, ok := o.(*unstructured.Unstructured); ok && u.GetKind() == "HTTPRoute" {
				if hosts, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "hostnames"); len(hosts) > 0 {
					return apierrors.NewInvalid(schema.GroupKind{Kind: "HTTPRoute"}, "podinfo", nil)
				}
			}
			return c.Patch(ctx, o, p, opts...)
		},
	}))
	c, err := e.until("primary's users", func(*flaggerv1.Canary) bool { return e.routed() == [2]int64{100, 0} })
	if reason := reconciler.ReasonOf(err, e.r.Reason); reason != flaggerv1.InvalidSpecReason || c.Status.FailedChecks == 0 {
		t.Errorf("%d failed checks, %s: %v", c.Status.FailedChecks, reason, err)
	}
}

// Users are not where they should be for long while somebody keeps leading them elsewhere.
func TestSomebodyWhoKeepsChangingTheRouteIsNamed(t *testing.T) {
	e := newRelease(t, newPrometheus(t, "100"), nil)
	e.r.contentions.self = "sluice"
	var result reconciler.Result
	var err error
	for range contentionPolicy.Burst + 1 {
		route := &unstructured.Unstructured{}
		route.SetGroupVersionKind(ownRoute().GroupVersionKind())
		e.get("podinfo", route)
		rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
		for _, backend := range rules[0].(map[string]any)["backendRefs"].([]any) {
			backend.(map[string]any)["weight"] = int64(50)
		}
		_ = unstructured.SetNestedSlice(route.Object, rules, "spec", "rules")
		if err := e.api.Update(t.Context(), route); err != nil {
			t.Fatal(err)
		}
		_, result, err = e.reconcile()
	}
	for where, said := range map[string]string{
		"in the condition": fmt.Sprint(result.Message, err),
		"in an event":      strings.Join(e.events, "\n"),
	} {
		if !strings.Contains(said, "again and again") {
			t.Errorf("not named %s: %s", where, said)
		}
	}
	if result.After == 0 || result.After > contentionPolicy.MaxBackoff {
		t.Errorf("repaired again after %s", result.After)
	}
	if got := e.routed(); got != [2]int64{50, 50} {
		t.Errorf("repaired without a pause: %v", got)
	}
}

// While the primary cannot answer, the canary is for everyone, also of an A/B release.
func TestAFallbackIsForEveryone(t *testing.T) {
	c := podinfo()
	c.Spec.Analysis.Match = make([]flaggerv1.HTTPMatchRequest, 1)
	c.Spec.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{}
	if got := routedAs(c, canary.State{}); len(got.Spec.Analysis.Match) != 1 || got.Spec.Analysis.SessionAffinity == nil {
		t.Errorf("got %+v", got.Spec.Analysis)
	}
	got := routedAs(c, canary.State{Fallback: &flaggerv1.CanaryFallback{}})
	if len(got.Spec.Analysis.Match) != 0 || got.Spec.Analysis.SessionAffinity != nil || len(c.Spec.Analysis.Match) != 1 {
		t.Errorf("got %+v", got.Spec.Analysis)
	}
}
