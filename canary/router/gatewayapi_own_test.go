// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

// website is a route of the owner's, with a field that no Go type here knows.
const website = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: staging, name: website, annotations: {owner: web}}
spec:
  rules:
  - name: docs
    matches: [{path: {type: PathPrefix, value: /docs}}]
    backendRefs: [{name: docs, port: 80}]
  - name: api
    fromTheFuture: {kept: true}
    matches: [{path: {type: PathPrefix, value: /v1}}]
    backendRefs: [{name: app, port: 80, fromTheFuture: kept}]
  - matches: [{headers: [{name: look, value: canary}]}]
    backendRefs: [{name: app-canary, port: 80}]
  - name: rest
    backendRefs: [{name: app, port: 8080}]
`

// ownCluster stores objects as they are written, like a server whose schema is
// newer than the types.
func ownCluster(t *testing.T, manifest string) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	must(t, flaggerv1.AddToScheme(scheme))
	cluster := fake.NewClientBuilder().WithScheme(scheme).Build()
	if manifest != "" {
		must(t, cluster.Create(t.Context(), manifestOf(t, manifest)))
	}
	return cluster
}

func manifestOf(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	must(t, yaml.Unmarshal([]byte(manifest), object))
	return object
}

func ownCanary() *flaggerv1.Canary {
	c := contract.CanaryFor(gatewayV1)
	c.Spec.Service.GatewayRefs = nil
	c.Spec.HTTPRouteRef = &flaggerv1.LocalObjectReference{Name: "website"}
	return c
}

func TestAnOwnRouteComesBackAsItWas(t *testing.T) {
	cases := map[string][]provider.Weights{
		"after steps":          {{Primary: 90, Canary: 10}, {Primary: 50, Canary: 50}},
		"after a mirror":       {{Primary: 100, Mirror: true}},
		"in the middle":        {{Canary: 100}},
		"after A/B":            {{Canary: 100}, {Primary: 100}},
		"in the middle of A/B": {{Canary: 100}},
	}
	for name, weights := range cases {
		t.Run(name, func(t *testing.T) {
			cluster, c := ownCluster(t, website), ownCanary()
			if strings.Contains(name, "A/B") {
				c.Spec.Analysis.Match = contract.Insider
			}
			r := routerOf(t, gatewayV1, cluster)
			must(t, r.Supports(c))
			must(t, r.Reconcile(t.Context(), c))
			for _, w := range weights {
				must(t, r.SetWeights(t.Context(), c, w))
				must(t, r.Reconcile(t.Context(), c))
				wantWeights(t, r, c, w)
			}
			must(t, r.Finalize(t.Context(), c))
			got := objectOf(t, cluster, r.Objects(c)[0])
			got.SetResourceVersion("")
			if diff := cmp.Diff(manifestOf(t, website).Object, got.Object); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

func TestAnOwnRouteOfAnEndedABTestHasNoRuleTooMany(t *testing.T) {
	cluster, c := ownCluster(t, website), ownCanary()
	r := routerOf(t, gatewayV1, cluster)
	c.Spec.Analysis.Match = contract.Insider
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Canary: 100}))
	if got := len(rulesIn(t, cluster, r, c)); got != 6 {
		t.Fatalf("want a rule for the chosen users before each of two, got %d rules", got)
	}
	c.Spec.Analysis.Match, c.Spec.Analysis.Iterations, c.Spec.Analysis.StepWeight = nil, 0, 10
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 90, Canary: 10}))
	if got := len(rulesIn(t, cluster, r, c)); got != 4 {
		t.Errorf("want the owner's rules, got %d", got)
	}
}

func TestAnOwnRouteThatGitResetIsNoticed(t *testing.T) {
	cluster, c := ownCluster(t, website), ownCanary()
	r := routerOf(t, gatewayV1, cluster)
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}))
	reset := objectOf(t, cluster, r.Objects(c)[0])
	reset.Object["spec"] = manifestOf(t, website).Object["spec"]
	must(t, cluster.Update(t.Context(), reset))
	wantWeights(t, r, c, provider.Weights{Primary: 100})
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}))
	wantWeights(t, r, c, provider.Weights{Primary: 70, Canary: 30})
}

func TestOneRuleOfAnOwnRouteThatWasEditedFollowsTheOthers(t *testing.T) {
	cluster, c := ownCluster(t, website), ownCanary()
	r := routerOf(t, gatewayV1, cluster)
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}))
	route := objectOf(t, cluster, r.Objects(c)[0])
	rules := rulesIn(t, cluster, r, c)
	rules[3].(map[string]any)["backendRefs"] = []any{map[string]any{"name": "app", "port": int64(8080)}}
	must(t, unstructured.SetNestedSlice(route.Object, rules, "spec", "rules"))
	must(t, cluster.Update(t.Context(), route))
	wantWeights(t, r, c, provider.Weights{Primary: 70, Canary: 30})
	must(t, r.Reconcile(t.Context(), c))
	if refs := rulesIn(t, cluster, r, c)[3].(map[string]any)["backendRefs"].([]any); len(refs) != 2 {
		t.Errorf("want both copies, got %v", refs)
	}
}

func TestTwoCanariesShareAnOwnRoute(t *testing.T) {
	cluster := ownCluster(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: staging, name: website}
spec:
  rules:
  - {matches: [{path: {type: PathPrefix, value: /app}}], backendRefs: [{name: app, port: 80}]}
  - {matches: [{path: {type: PathPrefix, value: /shop}}], backendRefs: [{name: shop, port: 80}]}
`)
	app, shop := ownCanary(), ownCanary()
	shop.Name, shop.UID, shop.Spec.TargetRef.Name, shop.Spec.Analysis.Match = "shop", "shop-uid", "shop", contract.Insider
	r := routerOf(t, gatewayV1, cluster)
	for _, w := range []provider.Weights{{Primary: 90, Canary: 10}, {Primary: 50, Canary: 50}} {
		must(t, r.SetWeights(t.Context(), app, w))
		must(t, r.SetWeights(t.Context(), shop, provider.Weights{Canary: 100}))
		wantWeights(t, r, app, w)
		wantWeights(t, r, shop, provider.Weights{Canary: 100})
	}
	must(t, r.Finalize(t.Context(), app))
	wantWeights(t, r, shop, provider.Weights{Canary: 100})
	must(t, r.Finalize(t.Context(), shop))
	want := `[{"backendRefs":[{"name":"app","port":80}],"matches":[{"path":{"type":"PathPrefix","value":"/app"}}]},` +
		`{"backendRefs":[{"name":"shop","port":80}],"matches":[{"path":{"type":"PathPrefix","value":"/shop"}}]}]`
	if got, _ := json.Marshal(rulesIn(t, cluster, r, app)); string(got) != want {
		t.Errorf("want the route as it was, got %s", got)
	}
}

func TestAMissingOwnRouteIsWaitedFor(t *testing.T) {
	cluster, c := ownCluster(t, ""), ownCanary()
	r := routerOf(t, gatewayV1, cluster)
	if _, err := r.Weights(t.Context(), c); !apierrors.IsNotFound(err) {
		t.Errorf("want NotFound, got %v", err)
	}
	for name, err := range map[string]error{
		"Reconcile":  r.Reconcile(t.Context(), c),
		"SetWeights": r.SetWeights(t.Context(), c, provider.Weights{Primary: 100}),
	} {
		if !errors.Is(err, object.ErrMissing) || errors.Is(err, reconcile.TerminalError(nil)) ||
			!strings.Contains(err.Error(), "HTTPRoute staging/website does not exist") {
			t.Errorf("%s: want a wait for the route, got %v", name, err)
		}
	}
	must(t, r.Finalize(t.Context(), c))
}

func TestAnOwnRouteThatCannotCarryWeightsIsRefused(t *testing.T) {
	cases := map[string]struct{ rules, want string }{
		"no rule for the Service": {`[{backendRefs: [{name: docs, port: 80}]}]`, "no rule that sends traffic to Service app"},
		"a Service elsewhere":     {`[{backendRefs: [{name: app, namespace: other, port: 80}]}]`, "no rule that sends traffic to Service app"},
		"another kind": {
			`[{backendRefs: [{name: app, kind: Pool, group: x.io, port: 80}]}]`,
			"no rule that sends traffic to Service app",
		},
		"a shared rule": {`[{backendRefs: [{name: app, port: 80}, {name: legacy, port: 80}]}]`, "legacy"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cluster, c := ownCluster(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: "+
				"{namespace: staging, name: website}, spec: {rules: "+tc.rules+"}}"), ownCanary()
			r := routerOf(t, gatewayV1, cluster)
			err := r.Reconcile(t.Context(), c)
			if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want a terminal error about %q, got %v", tc.want, err)
			}
			must(t, r.Finalize(t.Context(), c))
		})
	}
}

func rulesIn(t *testing.T, cluster client.Client, r router.Router, c *flaggerv1.Canary) []any {
	t.Helper()
	rules, _, err := unstructured.NestedSlice(objectOf(t, cluster, r.Objects(c)[0]).Object, "spec", "rules")
	must(t, err)
	return rules
}
