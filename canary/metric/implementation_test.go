// SPDX-License-Identifier: Apache-2.0

package metric_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/golden"
	"github.com/sluice-cd/sluice/test/make"
)

// ofGateway is a canary whose route is one of the Gateway API.
func ofGateway() *flaggerv1.Canary {
	c := canary()
	c.Spec.Provider = "gatewayapi:v1"
	return c
}

// acceptedBy is the route of a canary that an implementation has accepted.
func acceptedBy(by provider.Implementation) *unstructured.Unstructured {
	route := make.Route("staging", "podinfo", by.Controllers[0])
	for _, list := range [][]string{{"spec", "parentRefs"}, {"status", "parents"}} {
		for _, parent := range object.List(route.Object, list...) {
			if ref := object.Map(parent, "parentRef"); ref != nil {
				parent = ref
			}
			if by.Parent != "" {
				parent["kind"] = by.Parent
			}
		}
	}
	return route
}

// TestImplementationQueries has goldens of what is asked for the canary and for the counters of both arms.
func TestImplementationQueries(t *testing.T) {
	out := &strings.Builder{}
	for _, by := range provider.Implementations() {
		fmt.Fprintf(out, "%s\n", strings.TrimSpace(by.Product+" "+by.Parent))
		if by.Queries.Folder == "" {
			fmt.Fprintf(out, "\tpods, since %s\n", by.Needs)
			continue
		}
		prom := newServer(t, "1")
		k := checker(t, prom.URL, acceptedBy(by))
		for _, check := range []string{flaggerv1.RequestSuccessRate, flaggerv1.RequestDuration} {
			query := strings.Join(strings.Fields(ask(t, prom, k, ofGateway(), flaggerv1.CanaryMetric{Name: check})), " ")
			fmt.Fprintf(out, "%s\n\t%s\n", check, query)
		}
		counting := newCounting(t, one("arm=primary class=requests pod=proxy-1", "1"), one("arm=primary class=timed le=+Inf pod=proxy-1", "1"))
		read, err := checker(t, counting.URL, acceptedBy(by)).PrepareCounters(t.Context(), ofGateway(), rate)
		if err != nil {
			t.Fatal(by.Product, err)
		}
		if _, err := read(t.Context(), then); err != nil {
			t.Fatal(by.Product, err)
		}
		fmt.Fprintf(out, "counters\n%s\n", indented(counting.asked[0].URL.Query().Get("query")))
	}
	golden.Compare(t, filepath.Join("testdata", "implementations.txt"), out.String())
}

func TestWhoseProxiesCountForTheGatewayAPI(t *testing.T) {
	const traefik, envoy, nginx = "traefik.io/gateway-controller", "gateway.envoyproxy.io/gatewayclass-controller",
		"gateway.nginx.org/nginx-gateway-controller"
	pods := []string{"http_request_duration_seconds_count"}
	for name, tc := range map[string]struct {
		route *unstructured.Unstructured
		edit  func(*flaggerv1.Canary)
		want  []string // that is asked for, in this order
		where string   // of no values
	}{
		"the one that has accepted the route, or else the pods": {
			route: make.Route("staging", "podinfo", traefik), want: []string{"traefik_service_request_duration_seconds", pods[0], "unless"},
			where: "HTTPRoute staging/podinfo is carried by Traefik, and neither that nor the pods have counted anything: let Prometheus scrape it",
		},
		"the pods before there is a route":         {want: pods},
		"the pods before anybody has accepted it":  {route: make.Route("staging", "podinfo"), want: pods},
		"the pods if nobody knows who accepted it": {route: make.Route("staging", "podinfo", "example.com/gateway"), want: pods},
		"the pods if no proxy tells backends apart": {
			route: make.Route("staging", "podinfo", nginx), want: pods,
			where: "is carried by NGINX Gateway Fabric, so that only the pods are asked, which have counted nothing: NGINX counts the requests",
		},
		"the pods if each of two has a part of the requests": {
			route: make.Route("staging", "podinfo", traefik, envoy), want: pods,
			where: "is carried by Traefik and Envoy Gateway, so that only the pods are asked",
		},
		"the pods if one of the two is not known": {
			route: make.Route("staging", "podinfo", "example.com/gateway", traefik), want: pods,
			where: "is carried by example.com/gateway and Traefik, so that only the pods are asked",
		},
		"two Gateways of one product": {
			route: make.Route("staging", "podinfo", traefik, traefik), want: []string{"traefik_service_request_duration_seconds", pods[0]},
			where: "is carried by Traefik, and neither",
		},
		"the route of the owner": {
			route: make.Route("staging", "website", envoy),
			edit: func(c *flaggerv1.Canary) {
				c.Spec.HTTPRouteRef = &flaggerv1.LocalObjectReference{Name: "website"}
			},
			want:  []string{"service/staging/podinfo-canary/", pods[0]},
			where: "HTTPRoute staging/website is carried by Envoy Gateway, and neither that nor the pods have counted anything: its Envoys",
		},
		"the pods of a Service that is a target, if proxies count workloads": {
			route: make.Route("staging", "podinfo", "istio.io/gateway-controller"),
			edit:  func(c *flaggerv1.Canary) { c.Spec.TargetRef.Kind = "Service" }, want: pods,
			where: "it counts workloads, and the target is a Service",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := ofGateway()
			if tc.edit != nil {
				tc.edit(c)
			}
			var objects []client.Object
			if tc.route != nil {
				objects = append(objects, tc.route)
			}
			prom := newServer(t, "NaN")
			_, err := checker(t, prom.URL, objects...).Check(t.Context(), c, flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate})
			query := prom.last(t).URL.Query().Get("query")
			rest := query
			for _, want := range tc.want {
				_, after, ok := strings.Cut(rest, want)
				if rest = after; !ok {
					t.Errorf("asked for %s, want %v", query, tc.want)
				}
			}
			if strings.Contains(query, "\nunless on() (\n") != (len(tc.want) > 1) {
				t.Errorf("asked for %s", query)
			}
			where := metric.NoValuesHint(err)
			if !errors.Is(err, metric.ErrNoValues) || !strings.Contains(where, tc.where) || (where == "") != (tc.where == "") {
				t.Errorf("want %q, got %v", tc.where, err)
			}
		})
	}
}

// A verdict is worth as much as who has counted: people must be able to see who that is.
func TestWhoHasCountedIsNamed(t *testing.T) {
	route := make.Route("staging", "podinfo", "traefik.io/gateway-controller")
	for name, tc := range map[string]struct {
		provider string
		objects  []client.Object
		proxies  bool // have counted
		want     string
	}{
		"a mesh":                       {provider: "istio", proxies: true, want: "proxies of istio"},
		"a version of a mesh":          {provider: "smi:v1alpha3", proxies: true, want: "proxies of smi"},
		"no mesh":                      {provider: "kubernetes", want: "pods"},
		"who carries the route":        {provider: "gatewayapi:v1", objects: []client.Object{route}, proxies: true, want: "proxies of Traefik"},
		"pods, if that is not scraped": {provider: "gatewayapi:v1", objects: []client.Object{route}, want: "pods"},
		"pods, if nobody carries it":   {provider: "gatewayapi:v1", want: "pods"},
	} {
		t.Run(name, func(t *testing.T) {
			prom := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := one("arm=primary class=requests pod=p", "1")
				if query := r.URL.Query().Get("query"); !tc.proxies && !strings.Contains(query, "http_request_duration_seconds") {
					answer = ""
				}
				_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, answer)
			}))
			defer prom.Close()
			c := canary()
			c.Spec.Provider = tc.provider
			read, err := checker(t, prom.URL, tc.objects...).PrepareCounters(t.Context(), c, rate)
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(t.Context(), then)
			if err != nil || got.CountedBy != tc.want || len(got.Samples) == 0 {
				t.Errorf("got %q, %v, %v; want %q", got.CountedBy, got.Samples, err, tc.want)
			}
		})
	}
}

// A route that cannot be read is no route of nobody: whose counters are compared must not depend on a moment.
func TestARouteThatCannotBeReadIsAnError(t *testing.T) {
	refusing := interceptor.NewClient(fakeClient(t), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("the API server is busy")
		}})
	k := metric.NewChecker(fakeClient(t), newServer(t, "1").URL, clock.RealClock{}, metric.WithRoutes(refusing))
	_, err := k.Prepare(t.Context(), ofGateway(), flaggerv1.CanaryMetric{Name: flaggerv1.RequestSuccessRate})
	if want := "reading HTTPRoute staging/podinfo, to see whose proxies count: the API server is busy"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// An arm of another canary, or the other arm, must not match, in any version of a product.
func TestTheBackendsOfAGatewayAreToldApart(t *testing.T) {
	const cluster, rule = "envoy_cluster_name", "httproute-staging-podinfo-gw-gateways-public-ep-web-0-0123456789abcdef0123-"
	for name, tc := range map[string]struct {
		product, label, like string // with the arm as ARM
		other                []string
	}{
		"Traefik since 3.7.6": {product: "Traefik", label: "service",
			like:  rule + "svc-staging-podinfo-ARM-1@kubernetesgateway",
			other: []string{rule + "svc-staging-podinfo-9-ARM-1@kubernetesgateway", rule + "wrr@kubernetesgateway"}},
		"Traefik since 3.7.6, gRPC": {product: "Traefik", label: "service",
			like: strings.Replace(rule, "http", "grpc", 1) + "svc-staging-podinfo-ARM-0@kubernetesgateway"},
		"Traefik since 3.2": {product: "Traefik", label: "service", like: "staging-podinfo-ARM-http-9898@kubernetesgateway",
			other: []string{"production-podinfo-ARM-http-9898@kubernetesgateway", "staging-podinfo-ARM-9898@kubernetescrd"}},
		"Traefik since 3.2, gRPC": {product: "Traefik", label: "service", like: "staging-podinfo-ARM-9898-grpc@kubernetesgateway"},
		"Traefik 3.1":             {product: "Traefik", label: "service", like: "staging-podinfo-ARM-9898@kubernetesgateway"},
		"Contour": {product: "Contour", label: cluster, like: "staging_podinfo-ARM_9898",
			other: []string{"staging_my-podinfo-ARM_9898"}},
		"Envoy Gateway": {product: "Envoy Gateway", label: cluster, like: "service/staging/podinfo-ARM/9898",
			other: []string{"httproute/staging/podinfo/rule/0", "service/production/podinfo-ARM/9898"}},
		"Envoy Gateway, with a protocol": {product: "Envoy Gateway", label: cluster, like: "service/staging/podinfo-ARM/9898/http2"},
		"kgateway": {product: "kgateway", label: cluster, like: "kube_staging_podinfo-ARM_9898",
			other: []string{"kube_production_podinfo-ARM_9898"}},
		"Gloo Gateway": {product: "Gloo Gateway", label: cluster, like: "kube-svc_staging-podinfo-ARM-9898_staging"},
		"Cilium": {product: "Cilium", label: cluster, like: "gateways/cilium-gateway-public/staging_podinfo-ARM_9898",
			other: []string{"gateways/cilium-gateway-public/production_podinfo-ARM_9898"}},
		"Istio": {product: "Istio", label: "destination_workload", like: "podinfoARM", other: []string{"my-podinfoARM"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, by := range provider.Implementations() {
				if by.Product != tc.product {
					continue
				}
				arms := askedArms(t, checker, ofGateway(), acceptedBy(by))
				for arm, patterns := range arms {
					for i, pattern := range patterns[tc.label] {
						for _, name := range append(tc.other, tc.like) {
							for _, of := range []counter.Arm{counter.Canary, counter.Primary} {
								in := strings.ReplaceAll(name, "ARM", string(of))
								if tc.product == "Istio" {
									in = strings.ReplaceAll(name, "ARM", map[counter.Arm]string{counter.Primary: "-primary"}[of])
								}
								if pattern.MatchString(in) != (name == tc.like && of == arm) {
									t.Errorf("part %d of the %s asks for %s, and %s is the %s's", i, arm, pattern, in, of)
								}
							}
						}
					}
					if len(patterns[tc.label]) < 4 {
						t.Errorf("only %d parts of the %s name %s", len(patterns[tc.label]), arm, tc.label)
					}
				}
			}
		})
	}
}

// gatewayAndPods is a Prometheus that scrapes the proxies of a gateway, the pods, both or nobody.
type gatewayAndPods struct {
	*httptest.Server
	gateway, pods bool
	// ofGateway is how many queries are about the proxies.
	ofGateway int
}

func newGatewayAndPods(t *testing.T) *gatewayAndPods {
	s := &gatewayAndPods{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asksGateway := strings.Contains(r.URL.Query().Get("query"), "envoy_cluster_name")
		series := ""
		if asksGateway {
			s.ofGateway++
		}
		if asksGateway && s.gateway || !asksGateway && s.pods {
			series = one(fmt.Sprintf("arm=primary class=requests pod=a-%v kubernetes_pod_name=a-%v", asksGateway, asksGateway), "40")
		}
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, series)
	}))
	t.Cleanup(s.Close)
	return s
}

// Evidence about what the one counts says nothing about what the other does: a gateway that restarts must not change who is asked.
func TestThePodsAreReadWhileNothingOfAGatewayIs(t *testing.T) {
	prom := newGatewayAndPods(t)
	k := checker(t, prom.URL, make.Route("staging", "podinfo", "projectcontour.io/gateway-controller"))
	at := then
	look := func(want string) counter.Reading {
		t.Helper()
		read, err := k.PrepareCounters(t.Context(), ofGateway(), rate) // as once a minute
		if err != nil {
			t.Fatal(err)
		}
		r, err := read(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		got := "nobody"
		if len(r.Samples) > 0 {
			got = r.Samples[0].Pod
		}
		if got != want {
			t.Errorf("at %s %s counted, want %s", at, got, want)
		}
		if !strings.Contains(r.Hint, "carried by Contour, and neither that nor the pods") {
			t.Errorf("where: %q", r.Hint)
		}
		return r
	}
	const gateway, pods = "a-true", "a-false"
	look("nobody")
	prom.pods = true
	before := look(pods)
	prom.gateway = true
	if after := look(gateway); after.Source == before.Source {
		t.Error("the sources are the same")
	}
	prom.gateway = false
	at = at.Add(5 * time.Minute)
	look("nobody")
	at = at.Add(20 * time.Minute)
	look(pods)

	read, err := k.PrepareCounters(t.Context(), ofGateway(), rate)
	if err != nil {
		t.Fatal(err)
	}
	asked := prom.ofGateway
	for range 13 {
		if _, err := read(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	if prom.ofGateway-asked != 1 {
		t.Errorf("the gateway is asked %d times in 13 readings of pods", prom.ofGateway-asked)
	}
}
