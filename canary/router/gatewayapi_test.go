// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

const gatewayV1 = "gatewayapi:v1"

func TestEditingTheServiceMidAnalysisMovesNobody(t *testing.T) {
	cluster := contract.Cluster(t)
	r, c := gateway(t, cluster), contract.CanaryFor(gatewayV1)
	must(t, r.Reconcile(t.Context(), c))
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}))
	c.Spec.Service.Timeout, c.Spec.Service.Hosts = "15s", []string{"app.example.com"}
	must(t, r.Reconcile(t.Context(), c))
	wantWeights(t, r, c, provider.Weights{Primary: 70, Canary: 30})
	spec := routeOf(t, cluster).Spec
	if got := spec.Rules[0].Timeouts; got == nil || ptr.Deref(got.Request, "") != "15s" || len(spec.Hostnames) != 1 {
		t.Errorf("the edit was lost: %+v", spec)
	}
}

func TestRouteKeepsWhatOthersWrote(t *testing.T) {
	cluster := contract.Cluster(t)
	r, c := gateway(t, cluster), contract.CanaryFor(gatewayV1)
	must(t, r.Reconcile(t.Context(), c))
	route := routeOf(t, cluster)
	route.Annotations["cloud.example.com/address"] = "192.0.2.1"
	route.Labels = map[string]string{"team": "web"}
	route.Spec.Rules[0].Name = ptr.To(gatewayv1.SectionName("main"))
	docs := gatewayv1.HTTPRouteRule{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{
		BackendObjectReference: gatewayv1.BackendObjectReference{Name: "docs"},
	}}}}
	route.Spec.Rules = append([]gatewayv1.HTTPRouteRule{docs}, route.Spec.Rules...)
	must(t, cluster.Update(t.Context(), route))

	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}))
	got := routeOf(t, cluster)
	if got.Annotations["cloud.example.com/address"] == "" || got.Labels["team"] == "" {
		t.Errorf("metadata was lost: %v %v", got.Annotations, got.Labels)
	}
	if len(got.Spec.Rules) != 2 || got.Spec.Rules[1].BackendRefs[0].Name != "docs" {
		t.Errorf("the rule for docs was lost: %+v", got.Spec.Rules)
	}
	if ptr.Deref(got.Spec.Rules[0].Name, "") != "main" {
		t.Error("the rule's name was lost")
	}
}

func TestAnUnchangedRouteIsNotWritten(t *testing.T) {
	cluster := contract.Cluster(t)
	c := contract.CanaryFor(gatewayV1)
	must(t, gateway(t, cluster).Reconcile(t.Context(), c))
	readonly := interceptor.NewClient(cluster, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return errors.New("written for nothing")
		},
	})
	r := gateway(t, readonly)
	must(t, r.Reconcile(t.Context(), c))
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 100}))
}

func TestAConcurrentEditIsAConflict(t *testing.T) {
	cluster := contract.Cluster(t)
	c := contract.CanaryFor(gatewayV1)
	must(t, gateway(t, cluster).Reconcile(t.Context(), c))
	racing := interceptor.NewClient(cluster, interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if err := w.Get(ctx, key, obj, opts...); err != nil {
				return err
			}
			other := routeOf(t, cluster)
			other.Annotations["edited"] = "in between"
			return cluster.Update(ctx, other)
		},
	})
	if err := gateway(t, racing).SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}); err == nil {
		t.Fatal("a lost update went unnoticed")
	}
	wantWeights(t, gateway(t, cluster), c, provider.Weights{Primary: 100})
}

func TestWeightsWaitForTheGateway(t *testing.T) {
	cases := map[string]struct {
		status     metav1.ConditionStatus
		generation int64
		wantErr    bool
	}{
		"an accepted route can be trusted":             {metav1.ConditionTrue, 3, false},
		"a refused route says nothing":                 {metav1.ConditionFalse, 3, true},
		"a route that is pending says nothing":         {metav1.ConditionUnknown, 3, true},
		"a generation that is missing is not said":     {metav1.ConditionTrue, 0, false},
		"a refusal without a generation is one":        {metav1.ConditionFalse, 0, true},
		"a route accepted before its last change, too": {metav1.ConditionTrue, 2, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cluster := contract.Cluster(t)
			r, c := gateway(t, cluster), contract.CanaryFor(gatewayV1)
			must(t, r.Reconcile(t.Context(), c))
			route := routeOf(t, cluster)
			route.Generation = 3
			must(t, cluster.Update(t.Context(), route))
			route.Status.Parents = []gatewayv1.RouteParentStatus{{
				ParentRef: route.Spec.ParentRefs[0],
				Conditions: []metav1.Condition{{
					Type: string(gatewayv1.RouteConditionAccepted), Status: tc.status, ObservedGeneration: tc.generation,
					Reason: "Test", LastTransitionTime: metav1.Now(),
				}},
			}}
			must(t, cluster.Status().Update(t.Context(), route))
			_, err := r.Weights(t.Context(), c)
			if got := errors.Is(err, router.ErrNotAccepted); got != tc.wantErr {
				t.Errorf("want ErrNotAccepted %t, got %v", tc.wantErr, err)
			}
		})
	}
}

// TestAVerdictNamesParentAndReason: some policy controllers write no generation, and
// parents are named in the status as somebody fills them in.
func TestAVerdictNamesParentAndReason(t *testing.T) {
	const refused = `{type: Accepted, status: "False", reason: NotAllowedByListeners, message: no listener ` +
		`has this host, observedGeneration: 2}`
	const accepted = `{type: Accepted, status: "True"}`
	for name, tc := range map[string]struct {
		parents, status, want string
		refused               bool
	}{
		"one of several": {
			"[{name: public}, {name: internal, namespace: edge}]",
			"[{parentRef: {name: public}, conditions: [" + accepted + "]}, {parentRef: {name: internal, namespace: edge}, conditions: [" + refused +
				"]}]",
			"HTTPRoute staging/website is not accepted by Gateway edge/internal: NotAllowedByListeners: no listener has this host", true,
		},
		"a listener of it": {
			"[{name: public, sectionName: http}, {name: public, sectionName: https}]",
			"[{parentRef: {name: public, sectionName: https}, conditions: [" + refused + "]}]",
			"HTTPRoute staging/website is not accepted by Gateway staging/public (https): NotAllowedByListeners: no listener has this host", true,
		},
		"as the status spells it out": {
			"[{name: public}]",
			"[{parentRef: {group: gateway.networking.k8s.io, kind: Gateway, name: public, namespace: staging}, conditions: [" + refused + "]}]",
			"HTTPRoute staging/website is not accepted by Gateway staging/public: NotAllowedByListeners: no listener has this host", true,
		},
		"by any of its controllers": {
			"[{name: public}]",
			"[{controllerName: a/a, parentRef: {name: public}, conditions: [" + accepted +
				"]}, {controllerName: b/b, parentRef: {name: public}, conditions: [" + refused + "]}]",
			"HTTPRoute staging/website is not accepted by Gateway staging/public: NotAllowedByListeners: no listener has this host", true,
		},
		"a Service of a mesh": {
			"[{kind: Service, group: '', name: app}]",
			"[{parentRef: {kind: Service, group: '', name: app}, conditions: [" + refused + "]}]",
			"HTTPRoute staging/website is not accepted by Service staging/app: NotAllowedByListeners: no listener has this host", true,
		},
		"one that lags behind": {
			"[{name: public}]", `[{parentRef: {name: public}, conditions: [{type: Accepted, status: "False", observedGeneration: 1}]}]`,
			"HTTPRoute staging/website is not yet taken up by Gateway staging/public", false,
		},
		"nobody says anything":    {"[{name: public}]", "[]", "", false},
		"somebody else's Gateway": {"[{name: public}]", "[{parentRef: {name: other}, conditions: [" + refused + "]}]", "", false},
		"a condition that is other": {
			"[{name: public}]",
			`[{parentRef: {name: public}, conditions: [{type: ResolvedRefs, status: "False"}]}]`,
			"",
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, c := ownCluster(t,
				"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {namespace: staging, name: website, generation: 2}, "+
					"spec: {parentRefs: "+tc.parents+", rules: [{backendRefs: [{name: app, port: 80}]}]}, status: {parents: "+tc.status+"}}"), ownCanary()
			_, err := gateway(t, cluster).Weights(t.Context(), c)
			var got router.NotAccepted
			if verdict := (*router.NotAccepted)(nil); errors.As(err, &verdict) {
				got = *verdict
			}
			if got.Why != tc.want || got.Refused != tc.refused {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// TestOtherProxiesThatRefuseARoute say so in words of their own.
func TestOtherProxiesThatRefuseARoute(t *testing.T) {
	for name, tc := range map[string]struct{ provider, status, want string }{
		"Contour": {
			"contour",
			"{currentStatus: invalid, description: unresolved service}",
			"is not accepted by Contour: unresolved service",
		},
		"Contour, long ago": {
			"contour",
			"{currentStatus: invalid, conditions: [{type: Valid, status: 'False', observedGeneration: 1}]}",
			"is not yet taken up by Contour",
		},
		"Contour, an orphan":   {"contour", "{currentStatus: orphaned}", ""},
		"Contour, not running": {"contour", "{currentStatus: NotReconciled}", ""},
		"APISIX": {
			"apisix",
			"{conditions: [{type: ResourcesAvailable, status: 'False', reason: ResourceSyncAborted, message: no such plugin}]}",
			"is not accepted by APISIX: ResourceSyncAborted: no such plugin",
		},
		"APISIX 2": {
			"apisix",
			"{conditions: [{type: Accepted, status: 'False', reason: InvalidSpec}]}",
			"is not accepted by APISIX: InvalidSpec",
		},
		"APISIX, content": {"apisix", "{conditions: [{type: ResourcesAvailable, status: 'True', observedGeneration: 2}]}", ""},
		"Gloo": {
			"gloo",
			"{statuses: {gloo-system: {state: Rejected, reason: no such upstream}}}",
			"is not accepted by Gloo: no such upstream",
		},
		"Gloo before 1.10":    {"gloo", "{state: 2, reason: no such upstream}", "is not accepted by Gloo: no such upstream"},
		"Gloo with a warning": {"gloo", "{statuses: {gloo-system: {state: Warning, reason: no such upstream}}}", ""},
		"Gloo, content":       {"gloo", "{state: Accepted}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tr := contract.New(t, tc.provider, contract.Cluster(t))
			tr.Start(provider.Weights{Primary: 80, Canary: 20})
			route := objectOf(t, tr.Cluster, tr.Objects(tr.Canary)[0])
			route.SetGeneration(2)
			status := map[string]any{}
			must(t, yaml.Unmarshal([]byte(tc.status), &status))
			route.Object["status"] = status
			must(t, tr.Cluster.Update(t.Context(), route))
			_, err := tr.Weights(t.Context(), tr.Canary)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (!errors.Is(err, router.ErrNotAccepted) || !strings.HasSuffix(err.Error(), tc.want)):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWeightsOfARouteThatWasEditedByHand(t *testing.T) {
	cases := map[string]struct {
		rules string
		want  provider.Weights
	}{
		"halves that add up to less": {
			`[{backendRefs: [{name: app-primary, port: 80}, {name: app-canary, port: 80}]}]`,
			provider.Weights{Primary: 50, Canary: 50},
		},
		"thirds": {
			`[{backendRefs: [{name: app-primary, port: 80, weight: 2}, {name: app-canary, port: 80, weight: 1}]}]`,
			provider.Weights{Primary: 67, Canary: 33},
		},
		"the apex Service alone": {`[{backendRefs: [{name: app, port: 80}]}]`, provider.Weights{Primary: 100}},
		"the canary alone":       {`[{backendRefs: [{name: app-canary, port: 80, weight: 7}]}]`, provider.Weights{Canary: 100}},
		"nobody":                 {`[{backendRefs: [{name: docs, port: 80}]}]`, provider.Weights{}},
		"weights of nothing": {
			`[{backendRefs: [{name: app-primary, port: 80, weight: 0}, {name: app-canary, port: 80, weight: 0}]}]`,
			provider.Weights{},
		},
		"the same name elsewhere": {`[{backendRefs: [{name: app-canary, namespace: other, port: 80}]}]`, provider.Weights{}},
		"a rule to look at the canary": {
			`[{backendRefs: [{name: app-primary, port: 80}]}, {backendRefs: [{name: app-canary, port: 80}]}]`,
			provider.Weights{Primary: 100},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cluster := ownCluster(t,
				"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {namespace: staging, name: app}, spec: {rules: "+tc.rules+"}}")
			r, c := gateway(t, cluster), contract.CanaryFor(gatewayV1)
			wantWeights(t, r, c, tc.want)
			must(t, r.Reconcile(t.Context(), c)) // nobody may be left without an answer
			if tc.want == (provider.Weights{}) {
				tc.want = provider.Weights{Primary: 100}
			}
			wantWeights(t, r, c, tc.want)
		})
	}
}

// TestAnABTestReachesItsUsersWhateverTheServiceMatches: of two rules that match,
// Gateways take the one with more headers. Flagger drops those of the service.
func TestAnABTestReachesItsUsersWhateverTheServiceMatches(t *testing.T) {
	cluster := contract.Cluster(t)
	r, c := gateway(t, cluster), contract.CanaryFor(gatewayV1)
	c.Spec.Analysis.Match = contract.Insider
	c.Spec.Service.Match = []flaggerv1.HTTPMatchRequest{{Headers: map[string]flaggerv1.StringMatch{
		"x-tenant": {Exact: "a"},
		"x-region": {Exact: "eu"},
	}}}
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Canary: 100}))
	rules := routeOf(t, cluster).Spec.Rules
	if chosen, all := rules[0].Matches[0].Headers, rules[1].Matches[0].Headers; len(chosen) != 3 || len(all) != 2 {
		t.Errorf("want the chosen users' header beside the service's, got %v and %v", chosen, all)
	}
}

func TestTwoKindsOfRoutesDoNotContend(t *testing.T) {
	cluster := contract.Cluster(t)
	r, c := gateway(t, cluster), contract.CanaryFor(gatewayV1)
	must(t, r.Reconcile(t.Context(), c))
	c.Spec.Service.RouteKind = "GRPCRoute"
	err := r.Reconcile(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "HTTPRoute staging/app was made for this Canary before; delete it") {
		t.Fatalf("want a word about the HTTPRoute, got %v", err)
	}
	must(t, cluster.Delete(t.Context(), routeOf(t, cluster)))
	must(t, r.Reconcile(t.Context(), c))
	wantWeights(t, r, c, provider.Weights{Primary: 100})
}

func TestHTTPRoutesNeedNoGRPCRoutes(t *testing.T) {
	old := interceptor.NewClient(contract.Cluster(t), interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if kind := o.GetObjectKind().GroupVersionKind(); kind.Kind == "GRPCRoute" {
				return &meta.NoKindMatchError{GroupKind: kind.GroupKind()}
			}
			return w.Get(ctx, key, o, opts...)
		},
	})
	must(t, gateway(t, old).Reconcile(t.Context(), contract.CanaryFor(gatewayV1)))
}

func TestAGRPCRouteThatNobodyAccepted(t *testing.T) {
	cluster, c := ownCluster(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {namespace: staging, name: calls, generation: 2}
spec: {parentRefs: [{name: public}], rules: [{backendRefs: [{name: app, port: 80}]}]}
status:
  parents:
  - parentRef: {name: other}
    conditions: [{type: Accepted, status: "True", observedGeneration: 2}]
  - parentRef: {name: public}
    conditions: [{type: Accepted, status: "True", observedGeneration: 1}]
`), ownCanary()
	c.Spec.HTTPRouteRef = &flaggerv1.LocalObjectReference{Kind: "GRPCRoute", Name: "calls"}
	if _, err := gateway(t, cluster).Weights(t.Context(), c); !errors.Is(err, router.ErrNotAccepted) {
		t.Errorf("want ErrNotAccepted, got %v", err)
	}
}

func TestFinalizeReleasesARouteThatWasThereBefore(t *testing.T) {
	theirs := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "app"}}
	cluster := contract.Cluster(t, theirs)
	r, c := gateway(t, cluster), contract.CanaryFor(gatewayV1)
	must(t, r.Reconcile(t.Context(), c))
	must(t, r.Finalize(t.Context(), c))
	route := routeOf(t, cluster)
	refs := route.Spec.Rules[0].BackendRefs
	if len(route.Spec.Rules) != 1 || len(refs) != 1 || refs[0].Name != "app" || len(route.Annotations) != 0 {
		t.Errorf("want the apex Service alone, got %+v", route)
	}
}

func gateway(t *testing.T, c client.Client) router.Router {
	t.Helper()
	r, err := router.New(gatewayV1, router.Deps{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func routeOf(t *testing.T, c client.Client) *gatewayv1.HTTPRoute {
	t.Helper()
	route := &gatewayv1.HTTPRoute{}
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: "staging", Name: "app"}, route))
	return route
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
