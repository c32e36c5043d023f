package router_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// subject is what the suite has to know about a provider.
type subject struct {
	// plain turns a canary into the plainest that the provider can do.
	plain func(*flaggerv1.CanarySpec)
	// given is what the owner makes; NAMESPACE and APP are filled in.
	given string
	// still means that the provider moves nobody.
	still bool
	// borrowed means that the route is the owner's: it is neither made nor deleted.
	borrowed bool
	// busy means that a controller of Kubernetes answers to every write, so that on
	// a real server nobody can tell who wrote last.
	busy bool
	// existing is a route that was there before, and gets its spec back.
	existing string
	// mirrors means that requests can be copied.
	mirrors bool
	// match chooses the users of an A/B test.
	match []flaggerv1.HTTPMatchRequest
	// edit changes what spec.service says about the route.
	edit func(*flaggerv1.CanaryService)
	// theirs is a field of the route that is not the canary's.
	theirs *field
	// product is what ErrNotInstalled says, and crds the file with its CRDs.
	product, crds string
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

var insider = []flaggerv1.HTTPMatchRequest{{Headers: map[string]flaggerv1.StringMatch{"x-user": {Exact: "insider"}}}}

var subjects = map[string]subject{
	"apisix": {
		plain: func(s *flaggerv1.CanarySpec) {
			s.RouteRef = &flaggerv1.LocalObjectReference{APIVersion: "apisix.apache.org/v2", Kind: "ApisixRoute", Name: "APP-route"}
		},
		given:   apisixRoute,
		product: "the APISIX ingress controller", crds: "apisix.yaml",
	},
	"contour": {
		match:   insider,
		edit:    func(s *flaggerv1.CanaryService) { s.Timeout = "15s" },
		theirs:  at(true, "spec", "routes", "[0]", "enableWebsockets"),
		product: "Contour", crds: "contour.yaml",
	},
	"gatewayapi:v1":      gatewaySubject,
	"gatewayapi:v1beta1": gatewaySubject,
	"gloo": {
		given: services,
		match: insider,
		edit: func(s *flaggerv1.CanaryService) {
			s.Apex = &flaggerv1.CustomMetadata{Labels: map[string]string{"a": "b"}}
		},
		theirs:  at("15s", "spec", "routes", "[0]", "options", "timeout"),
		product: "Gloo Edge", crds: "gloo.yaml",
	},
	"istio": {
		mirrors:  true,
		existing: virtualService,
		match:    insider,
		edit:     func(s *flaggerv1.CanaryService) { s.Timeout = "15s" },
		product:  "Istio",
	},
	"knative": {
		plain: func(s *flaggerv1.CanarySpec) {
			s.TargetRef.APIVersion, s.TargetRef.Kind = "serving.knative.dev/v1", "Service"
		},
		given:    knativeService,
		borrowed: true,
		product:  "Knative Serving", crds: "knative.yaml",
	},
	"kubernetes": {still: true},
	"kuma": {
		edit: func(s *flaggerv1.CanaryService) {
			s.Apex = &flaggerv1.CustomMetadata{Labels: map[string]string{"a": "b"}}
		},
		theirs:  at("ROUND_ROBIN", "spec", "conf", "loadBalancer", "kind"),
		product: "Kuma", crds: "kuma.yaml",
	},
	"linkerd": smiSubject,
	"nginx":   ingressSubject(insider),
	"osm":     smiSubject,
	"partition": {
		plain: func(s *flaggerv1.CanarySpec) {
			s.Provider, s.TargetRef.Kind = "", "StatefulSet"
			s.Analysis.Iterations, s.Analysis.StepWeight = 0, 10
		},
		given:    statefulSet,
		borrowed: true,
		busy:     true,
	},
	"skipper":      ingressSubject(nil),
	"smi:v1alpha1": smiSubject,
	"smi:v1alpha2": smiSubject,
	"smi:v1alpha3": smiSubject,
	"traefik": {
		edit:    func(s *flaggerv1.CanaryService) { s.Port = 8080 },
		theirs:  at("h2c", "spec", "weighted", "services", "[0]", "scheme"),
		product: "Traefik", crds: "traefik.yaml",
	},
}

var gatewaySubject = subject{
	plain:   func(s *flaggerv1.CanarySpec) { s.Service.GatewayRefs = []gatewayv1.ParentReference{{Name: "public"}} },
	mirrors: true,
	match:   insider,
	edit:    func(s *flaggerv1.CanaryService) { s.Timeout = "15s" },
	product: "the Gateway API",
}

var smiSubject = subject{
	edit:    func(s *flaggerv1.CanaryService) { s.Hosts = []string{"app.mesh"} },
	product: "the SMI traffic split", crds: "smi.yaml",
}

func ingressSubject(match []flaggerv1.HTTPMatchRequest) subject {
	return subject{
		plain: func(s *flaggerv1.CanarySpec) {
			s.IngressRef = &flaggerv1.LocalObjectReference{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Name: "APP-ingress"}
		},
		given: ingress,
		match: match,
	}
}

const ingress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  namespace: NAMESPACE
  name: APP-ingress
  labels: {app: APP}
  annotations:
    example.com/body-size: 8m
    kubectl.kubernetes.io/last-applied-configuration: "{}"
spec:
  ingressClassName: edge
  rules:
  - host: APP.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: APP, port: {number: 9898}}}}
      - {path: /docs, pathType: Prefix, backend: {service: {name: docs, port: {number: 80}}}}
  - host: other.example.com
`

const apisixRoute = `
apiVersion: apisix.apache.org/v2
kind: ApisixRoute
metadata:
  namespace: NAMESPACE
  name: APP-route
spec:
  ingressClassName: apisix
  http:
  - name: docs
    match: {paths: [/docs/*]}
    backends: [{serviceName: docs, servicePort: 80}]
  - name: method
    match: {hosts: [APP.example.com], methods: [GET], paths: [/*]}
    backends: [{serviceName: APP, servicePort: 9898, resolveGranularity: service}]
    plugins: [{name: prometheus, enable: true, config: {disable: false, prefer_name: true}}]
  stream:
  - name: tcp
    protocol: TCP
    match: {ingressPort: 9100}
    backend: {serviceName: APP, servicePort: 9898}
`

const virtualService = `
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {namespace: NAMESPACE, name: APP}
spec:
  hosts: [APP]
  http: [{route: [{destination: {host: APP}, weight: 100}]}]
`

const knativeService = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  namespace: NAMESPACE
  name: APP
  annotations: {flagger.app/primary-revision: APP-00001}
spec: {template: {spec: {containers: [{image: app}]}}}
`

const statefulSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {namespace: NAMESPACE, name: APP}
spec:
  replicas: 5
  selector: {matchLabels: {app: APP}}
  template: {metadata: {labels: {app: APP}}, spec: {containers: [{name: app, image: app}]}}
  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}
`

const services = `
apiVersion: v1
kind: Service
metadata: {namespace: NAMESPACE, name: APP-primary}
spec: {selector: {app: APP-primary}, ports: [{port: 9898}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: NAMESPACE, name: APP-canary}
spec: {selector: {app: APP}, ports: [{port: 9898}]}
`

// newTrial puts the subject's canary and what it needs into a cluster. It is
// called `app` in the namespace `staging` unless told otherwise.
func newTrial(t *testing.T, by string, cluster client.WithWatch, place ...string) *trial {
	t.Helper()
	namespace, app := "staging", "app"
	if len(place) == 2 {
		namespace, app = place[0], place[1]
	}
	s, ok := subjects[by]
	if !ok {
		t.Fatalf("tell the suite in subjects what by %s can do", by)
	}
	c := canaryFor(by)
	c.Namespace, c.Name, c.Spec.TargetRef.Name = namespace, app, app
	for _, ref := range []*flaggerv1.LocalObjectReference{c.Spec.IngressRef, c.Spec.RouteRef} {
		if ref != nil {
			ref.Name = strings.ReplaceAll(ref.Name, "APP", app)
		}
	}
	tr := &trial{T: t, subject: s, name: by, cluster: cluster, canary: c, given: map[string]bool{}}
	tr.create(s.given)
	tr.Router = tr.routerOver(cluster)
	for key := range tr.all() {
		tr.given[key] = true
	}
	return tr
}

// canaryFor returns the plainest canary that a provider can do.
func canaryFor(by string) *flaggerv1.Canary {
	c := &flaggerv1.Canary{
		ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "app", UID: "canary-uid"},
		Spec: flaggerv1.CanarySpec{
			Provider:  by,
			TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"},
			Service:   flaggerv1.CanaryService{Port: 9898},
			Analysis:  &flaggerv1.CanaryAnalysis{Interval: "10s", Threshold: 2, Iterations: 3},
		},
	}
	if plain := subjects[by].plain; plain != nil {
		plain(&c.Spec)
	}
	return c
}
