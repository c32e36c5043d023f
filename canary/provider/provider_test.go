// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func TestWhoRoutesACanary(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*flaggerv1.CanarySpec)
		want string
	}{
		"the provider that is named":     {func(s *flaggerv1.CanarySpec) { s.Provider = "istio" }, "istio"},
		"else the controller's":          {func(*flaggerv1.CanarySpec) {}, "gatewayapi:v1"},
		"nothing for a worker":           {func(s *flaggerv1.CanarySpec) { s.Service.Port = 0 }, "kubernetes"},
		"the partition of a StatefulSet": {func(s *flaggerv1.CanarySpec) { s.TargetRef.Kind = "StatefulSet" }, "partition"},
		"the partition of one that names no real router": {
			func(s *flaggerv1.CanarySpec) { s.TargetRef.Kind, s.Provider = "StatefulSet", "kubernetes" },
			"partition",
		},
		"what a StatefulSet names, to be refused": {
			func(s *flaggerv1.CanarySpec) { s.TargetRef.Kind, s.Provider = "StatefulSet", "istio" },
			"istio",
		},
		"what is unknown, to be refused": {func(s *flaggerv1.CanarySpec) { s.Provider = "envoy" }, "envoy"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &flaggerv1.Canary{Spec: flaggerv1.CanarySpec{Service: flaggerv1.CanaryService{Port: 80}}}
			tc.edit(&c.Spec)
			if got := ForCanary(c, "gatewayapi:v1"); got.Name != tc.want {
				t.Errorf("got %s, want %s", got.Name, tc.want)
			}
		})
	}
}

func TestAProviderThatIsUnknownHonoursNothing(t *testing.T) {
	p, ok := Named("envoy")
	if diff := cmp.Diff(Provider{Name: "envoy"}, p); ok || diff != "" {
		t.Errorf("got %v, %s", ok, diff)
	}
}

func TestEveryRowIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range table {
		if p.Name == "" || seen[p.Name] {
			t.Errorf("%q is not the name of one provider", p.Name)
		}
		seen[p.Name] = true
		if (p.Routing == Nowhere) != (len(p.Kinds) == 0) {
			t.Errorf("%s moves users by objects of %v", p.Name, p.Kinds)
		}
		if !p.Honours(p.Needs) {
			t.Errorf("%s needs what it does not honour", p.Name)
		}
		if _, gone := Ended(p.Name); gone {
			t.Errorf("%s is served and has ended", p.Name)
		}
		if named, ok := Named(p.Name); !ok || named.Name != p.Name {
			t.Errorf("%s is not found by its name", p.Name)
		}
	}
	if got := Names(); !slices.IsSorted(got) || len(got) != len(table) {
		t.Errorf("names are %v", got)
	}
}

// TestProvidersOfAFamilyDifferInNothingElse is what messages rely on that name only
// the family.
func TestProvidersOfAFamilyDifferInNothingElse(t *testing.T) {
	first := map[string]Provider{}
	for _, p := range table {
		before, ok := first[p.Family()]
		if !ok {
			first[p.Family()] = p
			continue
		}
		before.Name = p.Name
		if diff := cmp.Diff(before, p); diff != "" {
			t.Errorf("%s (-family +provider):\n%s", p.Name, diff)
		}
	}
}

func TestTheFirstFieldThatIsNotHonouredIsNamed(t *testing.T) {
	istio, _ := Named(Istio)
	kubernetes, _ := Named(Kubernetes)
	for name, tc := range map[string]struct {
		provider Provider
		edit     func(*flaggerv1.CanarySpec)
		want     string
	}{
		"none without any":      {kubernetes, func(*flaggerv1.CanarySpec) {}, ""},
		"none that is honoured": {istio, func(s *flaggerv1.CanarySpec) { s.Service.Hosts = []string{"a"} }, ""},
		"one that is another provider's": {
			istio,
			func(s *flaggerv1.CanarySpec) { s.Service.RouteKind = "GRPCRoute" },
			"spec.service.routeKind",
		},
		"one that nobody has": {istio, func(s *flaggerv1.CanarySpec) { s.Service.MeshName = "m" }, "spec.service.meshName"},
		"one of the analysis": {
			kubernetes,
			func(s *flaggerv1.CanarySpec) { s.Analysis = &flaggerv1.CanaryAnalysis{Mirror: true} },
			"spec.analysis.mirror",
		},
		"references before what they are to": {
			kubernetes,
			func(s *flaggerv1.CanarySpec) { s.RouteRef, s.Service.Timeout = &flaggerv1.LocalObjectReference{}, "1s" },
			"spec.routeRef",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := &flaggerv1.Canary{}
			tc.edit(&c.Spec)
			if _, path, ok := tc.provider.Unsupported(c); path != tc.want || ok != (tc.want != "") {
				t.Errorf("got %q, %v", path, ok)
			}
		})
	}
}

func TestAReferenceThatIsNeededHasToName(t *testing.T) {
	named := &flaggerv1.LocalObjectReference{Kind: "Ingress", Name: "app"}
	for name, tc := range map[string]struct {
		provider string
		spec     flaggerv1.CanarySpec
		want     string
	}{
		"without it":             {"nginx", flaggerv1.CanarySpec{}, "ingressRef"},
		"without a name":         {"skipper", flaggerv1.CanarySpec{IngressRef: &flaggerv1.LocalObjectReference{Kind: "Ingress"}}, "ingressRef"},
		"with one":               {"nginx", flaggerv1.CanarySpec{IngressRef: named}, ""},
		"with another reference": {"apisix", flaggerv1.CanarySpec{IngressRef: named}, "routeRef"},
		"where none is needed":   {"gatewayapi:v1", flaggerv1.CanarySpec{}, ""},
	} {
		p, _ := Named(tc.provider)
		if ref, ok := p.Missing(&flaggerv1.Canary{Spec: tc.spec}); ref.Path != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: got %q, %v", name, ref.Path, ok)
		}
	}
	if diff := cmp.Diff([]string{"nginx", "skipper"}, Needing(IngressRef)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatHasEndedIsAccepted(t *testing.T) {
	got := Accepted()
	if !slices.IsSorted(got) || !slices.Contains(got, "appmesh") || !slices.Contains(got, Istio) || slices.Contains(got, Partition) {
		t.Errorf("got %v", got)
	}
}

func TestWhoHonoursAField(t *testing.T) {
	got := With(AnalysisMatch)
	for name, want := range map[string]bool{"contour": true, "kubernetes": true, "gatewayapi": true, "gatewayapi:v1": false, "kuma": false} {
		if slices.Contains(got, name) != want {
			t.Errorf("%s is there: %t, in %v", name, !want, got)
		}
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("want each family once, sorted, got %v", got)
	}
	if got := With(MeshName); len(got) > 0 {
		t.Errorf("nobody has a mesh name, got %v", got)
	}
}

func TestWhoseCRDsAGroupNeeds(t *testing.T) {
	for group, want := range map[string]string{
		"gloo.solo.io":      "Gloo Edge",
		"split.smi-spec.io": "the SMI traffic split (linkerd-smi, OSM)",
		"":                  "",
		"apps":              "",
	} {
		if got, ok := ProductOf(group); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v", group, got, ok)
		}
	}
}

func TestWhatIsMadeIsListedOnce(t *testing.T) {
	made, seen := MadeKinds(), map[schema.GroupKind]bool{}
	for _, kind := range made {
		if seen[kind] {
			t.Errorf("%s is there twice", kind)
		}
		seen[kind] = true
	}
	for kind, want := range map[schema.GroupKind]bool{
		{Group: "networking.k8s.io", Kind: "Ingress"}:           true,
		{Group: "split.smi-spec.io", Kind: "TrafficSplit"}:      true,
		{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"}: true,
		KnativeService.GroupKind():                              false,
		{Group: "apps", Kind: "StatefulSet"}:                    false,
	} {
		if seen[kind] != want {
			t.Errorf("%s is made: %t", kind, seen[kind])
		}
	}
}

func TestTheContainersOfMeshesAreKnown(t *testing.T) {
	got := Sidecars()
	for _, name := range []string{"istio-proxy", "linkerd-init", "kuma-sidecar", "envoy", "consul-dataplane"} {
		if !slices.Contains(got, name) {
			t.Errorf("%s is taken for an application, of %v", name, got)
		}
	}
}

func TestWeightsAddUp(t *testing.T) {
	if diff := cmp.Diff(Weights{Primary: 80, Canary: 20}, Split(20)); diff != "" || Split(0) != ToPrimary {
		t.Error(diff)
	}
}

func TestWhatIsAKnativeService(t *testing.T) {
	for name, tc := range map[string]struct {
		target flaggerv1.LocalObjectReference
		want   bool
	}{
		"a Service of Knative":            {flaggerv1.LocalObjectReference{APIVersion: "serving.knative.dev/v1", Kind: "Service"}, true},
		"one of an earlier version":       {flaggerv1.LocalObjectReference{APIVersion: "serving.knative.dev/v1beta1", Kind: "Service"}, true},
		"no Service of Kubernetes":        {flaggerv1.LocalObjectReference{APIVersion: "v1", Kind: "Service"}, false},
		"nothing else of Knative":         {flaggerv1.LocalObjectReference{APIVersion: "serving.knative.dev/v1", Kind: "Route"}, false},
		"nothing of a group that is none": {flaggerv1.LocalObjectReference{APIVersion: "serving.knative.dev/v1/x", Kind: "Service"}, false},
	} {
		if got := TargetsKnative(&flaggerv1.Canary{Spec: flaggerv1.CanarySpec{TargetRef: tc.target}}); got != tc.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
