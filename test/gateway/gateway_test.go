// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-cd/sluice/test/traffic"
)

func TestGatewayObeysTheWeights(t *testing.T) {
	gateway := &Gateway{Reader: cluster(t, "old", 75, "new", 25), Metrics: traffic.NewMetrics()}
	address := serve(t, gateway)
	answers := map[string]int{}
	for range 400 {
		answers[get(t, address, "app.example.com")]++
	}
	if new := answers["200 new"]; new < 60 || new > 140 {
		t.Errorf("want about 100 of 400 answers from new: %v", answers)
	}
	if answers["200 new"]+answers["200 old"] != 400 {
		t.Errorf("want no other answers: %v", answers)
	}
}

func TestGatewayRefusesWhatNobodyServes(t *testing.T) {
	gateway := &Gateway{Reader: cluster(t, "old", 0, "gone", 100), Metrics: traffic.NewMetrics()}
	address := serve(t, gateway)
	if got := get(t, address, "app.example.com"); !strings.HasPrefix(got, "503") {
		t.Errorf("a Service without pods: %s", got)
	}
	if got := get(t, address, "other.example.com"); !strings.HasPrefix(got, "404") {
		t.Errorf("a host without route: %s", got)
	}
}

func serve(t *testing.T, g *Gateway) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func get(t *testing.T, address, host string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body string
	_, _ = fmt.Fscan(resp.Body, &body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

// cluster has a route to two Services. Each has one pod, which answers with the
// Service's name, except for the Service named gone.
func cluster(t *testing.T, first string, firstWeight int32, second string, secondWeight int32) client.Client {
	t.Helper()
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "app"}}
	route.Spec.Hostnames = []gatewayv1.Hostname{"app.example.com"}
	objs, rule := []client.Object{route}, gatewayv1.HTTPRouteRule{}
	for name, weight := range map[string]int32{first: firstWeight, second: secondWeight} {
		ref := gatewayv1.HTTPBackendRef{}
		ref.Name, ref.Port, ref.Weight = gatewayv1.ObjectName(name), ptr.To(gatewayv1.PortNumber(80)), &weight
		rule.BackendRefs = append(rule.BackendRefs, ref)
		objs = append(objs, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: name},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		})
		if name != "gone" {
			objs = append(objs, endpoint(t, name))
		}
	}
	route.Spec.Rules = []gatewayv1.HTTPRouteRule{rule}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).Build()
}

func endpoint(t *testing.T, name string) *discoveryv1.EndpointSlice {
	t.Helper()
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, name) }))
	t.Cleanup(pod.Close)
	host, port, err := net.SplitHostPort(pod.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		Ports:      []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(number))}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{host},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name + "-1"},
		}},
	}
}
