// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

const (
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
	original    = "flagger.kubernetes.io/original-configuration"
	theirs      = `{"gateways":["istio-system/ingressgateway"],"hosts":["app"],"http":[{"route":[{"destination":{"host":"app"}}]}]}`
)

// theirService is a VirtualService that was there before the canary.
func theirService(t *testing.T, annotations map[string]string) *unstructured.Unstructured {
	t.Helper()
	vs := manifestOf(t,
		`{apiVersion: networking.istio.io/v1beta1, kind: VirtualService, metadata: {namespace: staging, name: app}, spec: `+theirs+`}`)
	vs.SetAnnotations(annotations)
	return vs
}

func TestIstioGivesAVirtualServiceBack(t *testing.T) {
	apexAlone := `{"gateways":["mesh"],"hosts":["app"],"http":[{"route":[{"destination":{"host":"app"},"weight":100}]}]}`
	cases := map[string]struct {
		annotations map[string]string
		lose        bool
		want        string
		left        map[string]string
	}{
		"as it was when it was taken over": {nil, false, theirs, nil},
		"as kubectl applied it last": {
			map[string]string{lastApplied: `{"spec":{"hosts":["app","www"]}}`}, false, `{"hosts":["app","www"]}`,
			map[string]string{lastApplied: `{"spec":{"hosts":["app","www"]}}`},
		},
		"as Flagger kept it":                 {map[string]string{original: `{"hosts":["kept"]}`}, false, `{"hosts":["kept"]}`, nil},
		"with all users on the apex Service": {nil, true, apexAlone, nil},
		"unharmed by garbage":                {map[string]string{original: `{"hosts`}, false, apexAlone, map[string]string{original: `{"hosts`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cluster, c := contract.Cluster(t), contract.CanaryFor("istio")
			must(t, cluster.Create(t.Context(), theirService(t, tc.annotations)))
			r := routerOf(t, "istio", cluster)
			must(t, r.Reconcile(t.Context(), c))
			must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}))
			if tc.lose {
				vs := virtualServiceOf(t, cluster, r)
				vs.SetAnnotations(nil)
				must(t, cluster.Update(t.Context(), vs))
			}
			must(t, r.Finalize(t.Context(), c))
			must(t, r.Finalize(t.Context(), c))
			vs := virtualServiceOf(t, cluster, r)
			if diff := cmp.Diff(specOf(t, tc.want), vs.Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.left, vs.GetAnnotations()); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestASecondEditDoesNotPassForTheOriginal: Flagger keeps the spec before each
// edit, so after two it restores a route of its own.
func TestASecondEditDoesNotPassForTheOriginal(t *testing.T) {
	cluster, c := contract.Cluster(t), contract.CanaryFor("istio")
	must(t, cluster.Create(t.Context(), theirService(t, nil)))
	r := routerOf(t, "istio", cluster)
	for _, timeout := range []string{"", "1s", "2s"} {
		c.Spec.Service.Timeout = timeout
		must(t, r.Reconcile(t.Context(), c))
	}
	if got := virtualServiceOf(t, cluster, r).GetAnnotations()[original]; got != theirs {
		t.Errorf("want the owner's spec, got %s", got)
	}
}

func TestAVirtualServiceOfOurOwnIsNotKept(t *testing.T) {
	cluster, c := contract.Cluster(t), contract.CanaryFor("istio")
	r := routerOf(t, "istio", cluster)
	for _, timeout := range []string{"", "1s"} {
		c.Spec.Service.Timeout = timeout
		must(t, r.Reconcile(t.Context(), c))
	}
	must(t, r.Finalize(t.Context(), c))
	vs := virtualServiceOf(t, cluster, r)
	if vs.GetAnnotations()[original] != "" || !metav1.IsControlledBy(vs, c) {
		t.Errorf("want one that goes with the canary, got %v", vs.Object)
	}
}

func TestDriftOfIstioObjectsIsUndone(t *testing.T) {
	cluster, c := contract.Cluster(t), contract.CanaryFor("istio")
	c.Spec.Service.TrafficPolicy = &runtime.RawExtension{Raw: []byte(`{"connectionPool":{"http":{"http1MaxPendingRequests":128}}}`)}
	r := routerOf(t, "istio", cluster)
	must(t, r.Reconcile(t.Context(), c))
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}))
	wanted := virtualServiceOf(t, cluster, r)

	vs := wanted.DeepCopy()
	must(t, unstructured.SetNestedStringSlice(vs.Object, []string{"mesh", "other"}, "spec", "gateways"))
	must(t, unstructured.SetNestedField(vs.Object, []any{map[string]any{"port": int64(1)}}, "spec", "tcp"))
	must(t, cluster.Update(t.Context(), vs))
	rule := objectOf(t, cluster, r.Objects(c)[1])
	unstructured.RemoveNestedField(rule.Object, "spec", "trafficPolicy")
	must(t, unstructured.SetNestedSlice(rule.Object, []any{map[string]any{"name": "v1"}}, "spec", "subsets"))
	must(t, cluster.Update(t.Context(), rule))

	must(t, r.Reconcile(t.Context(), c))
	if diff := cmp.Diff(wanted.Object["spec"], virtualServiceOf(t, cluster, r).Object["spec"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := specOf(t,
		`{"host":"app-primary","subsets":[{"name":"v1"}],"trafficPolicy":{"connectionPool":{"http":{"http1MaxPendingRequests":128}}}}`)
	if diff := cmp.Diff(want, objectOf(t, cluster, r.Objects(c)[1]).Object["spec"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDelegationTakesHostsAndGatewaysAway(t *testing.T) {
	cluster, c := contract.Cluster(t), contract.CanaryFor("istio")
	c.Spec.Service.Hosts, c.Spec.Service.Gateways = []string{"app.example.com"}, []string{"public"}
	r := routerOf(t, "istio", cluster)
	must(t, r.Reconcile(t.Context(), c))
	c.Spec.Service.Hosts, c.Spec.Service.Gateways, c.Spec.Service.Delegation = nil, nil, true
	must(t, r.Reconcile(t.Context(), c))
	want := specOf(t,
		`{"hosts":[],"http":[{"route":[{"destination":{"host":"app-primary"},"weight":100},{"destination":{"host":"app-canary"},"weight":0}]}]}`)
	if diff := cmp.Diff(want, virtualServiceOf(t, cluster, r).Object["spec"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIstioWeightsAreReadAsTheyAre(t *testing.T) {
	cases := map[string]struct {
		protocol, http string
		want           provider.Weights
	}{
		"halves that add up to less": {
			"",
			`[{"route":[{"destination":{"host":"app-primary"},"weight":1},{"destination":{"host":"app-canary"},"weight":1}]}]`,
			provider.Weights{Primary: 50, Canary: 50},
		},
		"long names": {
			"",
			`[{"route":[{"destination":{"host":"app-primary.staging.svc.cluster.local"},"weight":90},` +
				`{"destination":{"host":"app-canary.staging"},"weight":10}]}]`,
			provider.Weights{Primary: 90, Canary: 10},
		},
		"a mirror": {
			"",
			`[{"mirror":{"host":"app-canary"},"route":[{"destination":{"host":"app-primary"},"weight":100},` +
				`{"destination":{"host":"app-canary"},"weight":0}]}]`,
			provider.Weights{Primary: 100, Mirror: true},
		},
		"a mirror of the owner's": {
			"",
			`[{"mirror":{"host":"audit"},"route":[{"destination":{"host":"app-primary"}}]}]`,
			provider.Weights{Primary: 100},
		},
		"the apex Service alone":  {"", `[{"route":[{"destination":{"host":"app"}}]}]`, provider.Weights{Primary: 100}},
		"the canary alone":        {"", `[{"route":[{"destination":{"host":"app-canary"}}]}]`, provider.Weights{Canary: 100}},
		"the same name elsewhere": {"", `[{"route":[{"destination":{"host":"app-canary.other.svc.cluster.local"}}]}]`, provider.Weights{}},
		"somebody else's":         {"", `[{"route":[{"destination":{"host":"app-primary-db"}}]}]`, provider.Weights{}},
		"nobody":                  {"", `[]`, provider.Weights{}},
		"HTTP where there is TCP": {"tcp", `[{"route":[{"destination":{"host":"app-canary"}}]}]`, provider.Weights{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cluster, c := contract.Cluster(t), contract.CanaryFor("istio")
			c.Spec.Service.AppProtocol = tc.protocol
			vs := theirService(t, nil)
			vs.Object["spec"] = specOf(t, `{"http":`+tc.http+`}`)
			must(t, cluster.Create(t.Context(), vs))
			r := routerOf(t, "istio", cluster)
			wantWeights(t, r, c, tc.want)
			must(t, r.Reconcile(t.Context(), c)) // nobody may be left without an answer
			if tc.want == (provider.Weights{}) {
				tc.want = provider.Weights{Primary: 100}
			}
			wantWeights(t, r, c, tc.want)
		})
	}
}

func TestADeletedVirtualServiceComesBackWithItsWeights(t *testing.T) {
	cluster, c := contract.Cluster(t), contract.CanaryFor("istio")
	r := routerOf(t, "istio", cluster)
	must(t, r.Reconcile(t.Context(), c))
	must(t, cluster.Delete(t.Context(), virtualServiceOf(t, cluster, r)))
	must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 70, Canary: 30}))
	wantWeights(t, r, c, provider.Weights{Primary: 70, Canary: 30})
}

func virtualServiceOf(t *testing.T, cluster client.Client, r router.Router) *unstructured.Unstructured {
	t.Helper()
	return objectOf(t, cluster, r.Objects(contract.CanaryFor("istio"))[0])
}

func specOf(t *testing.T, spec string) map[string]any {
	t.Helper()
	return manifestOf(t, `{"apiVersion":"v1","kind":"X","spec":`+spec+`}`).Object["spec"].(map[string]any)
}
