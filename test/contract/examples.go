// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/make"
)

// Example is what the contract has to know about a provider beside its row in the
// table of package provider. A provider whose plainest Canary needs nothing else has
// none.
type Example struct {
	// Plain turns a Canary into the plainest that the provider can do.
	Plain func(*flaggerv1.CanarySpec)
	// Given are the objects that the owner makes; NAMESPACE and APP are filled in.
	Given string
	// Existing is a route that was there before, and gets its spec back.
	Existing string
	// Edit changes what spec.service says about the route.
	Edit func(*flaggerv1.CanaryService)
	// Theirs is a field of the route that is not the canary's.
	Theirs *field
}

// field is a value in a route.
type field struct {
	value any
	path  []string
}

func at(value any, path ...string) *field { return &field{value, path} }

func (f *field) write(o *unstructured.Unstructured) {
	list, rest := f.list(o)
	if list == nil {
		_ = unstructured.SetNestedField(o.Object, f.value, f.path...)
		return
	}
	_ = unstructured.SetNestedField(list[0].(map[string]any), f.value, rest...)
}

func (f *field) isIn(o *unstructured.Unstructured) bool {
	in, path := o.Object, f.path
	if list, rest := f.list(o); list != nil {
		in, path = list[0].(map[string]any), rest
	}
	value, ok, _ := unstructured.NestedFieldNoCopy(in, path...)
	return ok && value == f.value
}

// list returns the list that `[0]` in the path is the first item of.
func (f *field) list(o *unstructured.Unstructured) (list []any, rest []string) {
	for i, key := range f.path {
		if key == "[0]" {
			value, _, _ := unstructured.NestedFieldNoCopy(o.Object, f.path[:i]...)
			return value.([]any), f.path[i+1:]
		}
	}
	return nil, nil
}

// Insider chooses the users of an A/B test by a header.
var Insider = []flaggerv1.HTTPMatchRequest{{Headers: map[string]flaggerv1.StringMatch{"x-user": {Exact: "insider"}}}}

// Examples are those of the providers that need one.
var Examples = map[string]Example{
	"apisix": {
		Plain: func(s *flaggerv1.CanarySpec) {
			s.RouteRef = &flaggerv1.LocalObjectReference{APIVersion: "apisix.apache.org/v2", Kind: "ApisixRoute", Name: "APP-route"}
		},
		Given: apisixRoute,
	},
	"contour": {
		Edit:   func(s *flaggerv1.CanaryService) { s.Timeout = "15s" },
		Theirs: at(true, "spec", "routes", "[0]", "enableWebsockets"),
	},
	"gatewayapi:v1":      gatewayAPI,
	"gatewayapi:v1beta1": gatewayAPI,
	"gloo": {
		Given: services,
		Edit: func(s *flaggerv1.CanaryService) {
			s.Apex = &flaggerv1.CustomMetadata{Labels: map[string]string{"a": "b"}}
		},
		Theirs: at("15s", "spec", "routes", "[0]", "options", "timeout"),
	},
	"istio": {
		Existing: virtualService,
		Edit:     func(s *flaggerv1.CanaryService) { s.Timeout = "15s" },
	},
	"knative": {
		Plain: func(s *flaggerv1.CanarySpec) {
			s.TargetRef.APIVersion, s.TargetRef.Kind = "serving.knative.dev/v1", "Service"
		},
		Given: knativeService,
	},
	"kuma": {
		Edit: func(s *flaggerv1.CanaryService) {
			s.Apex = &flaggerv1.CustomMetadata{Labels: map[string]string{"a": "b"}}
		},
		Theirs: at("ROUND_ROBIN", "spec", "conf", "loadBalancer", "kind"),
	},
	"linkerd": smi,
	"nginx":   ingressCopy,
	"osm":     smi,
	"partition": {
		Plain: func(s *flaggerv1.CanarySpec) {
			s.Provider, s.TargetRef.Kind = "", "StatefulSet"
			s.Analysis.Iterations, s.Analysis.StepWeight = 0, 10
		},
		Given: statefulSet,
	},
	"skipper":      ingressCopy,
	"smi:v1alpha1": smi,
	"smi:v1alpha2": smi,
	"smi:v1alpha3": smi,
	"traefik": {
		Edit:   func(s *flaggerv1.CanaryService) { s.Port = 8080 },
		Theirs: at("h2c", "spec", "weighted", "services", "[0]", "scheme"),
	},
}

var gatewayAPI = Example{
	Plain: func(s *flaggerv1.CanarySpec) { s.Service.GatewayRefs = []gatewayv1.ParentReference{{Name: "public"}} },
	Edit:  func(s *flaggerv1.CanaryService) { s.Timeout = "15s" },
}

var smi = Example{
	Edit: func(s *flaggerv1.CanaryService) { s.Hosts = []string{"app.mesh"} },
}

var ingressCopy = Example{
	Plain: func(s *flaggerv1.CanarySpec) {
		s.IngressRef = &flaggerv1.LocalObjectReference{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Name: "APP-ingress"}
	},
	Given: ingress,
}

// New returns a router over a cluster that has what the example of its provider needs.
// Its Canary is called `app` in the namespace `staging` unless told otherwise.
func New(t *testing.T, name string, cluster client.WithWatch, place ...string) *Fixture {
	t.Helper()
	namespace, app := "staging", "app"
	if len(place) == 2 {
		namespace, app = place[0], place[1]
	}
	c := CanaryFor(name)
	c.Namespace, c.Name, c.Spec.TargetRef.Name = namespace, app, app
	for _, ref := range []*flaggerv1.LocalObjectReference{c.Spec.IngressRef, c.Spec.RouteRef} {
		if ref != nil {
			ref.Name = strings.ReplaceAll(ref.Name, "APP", app)
		}
	}
	row, _ := provider.Named(name)
	f := &Fixture{T: t, Example: Examples[name], Provider: row, Cluster: cluster, Canary: c, Given: map[string]bool{}}
	f.Create(f.Example.Given)
	f.Router = f.RouterOver(cluster)
	for key := range f.All() {
		f.Given[key] = true
	}
	return f
}

// CanaryFor returns the plainest canary that a provider can do.
func CanaryFor(name string) *flaggerv1.Canary {
	c := make.Canary("staging", "app", func(c *flaggerv1.Canary) {
		c.UID, c.Spec.Provider, c.Spec.Service.Port = "canary-uid", name, 9898
		c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "10s", Threshold: 2, Iterations: 3}
	})
	if plain := Examples[name].Plain; plain != nil {
		plain(&c.Spec)
	}
	return c
}
