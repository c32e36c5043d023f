// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func port(name string, number int32, target any, node int32) corev1.ServicePort {
	p := corev1.ServicePort{Name: name, Protocol: corev1.ProtocolTCP, Port: number, NodePort: node}
	switch to := target.(type) {
	case int:
		p.TargetPort = intstr.FromInt32(int32(to))
	case string:
		p.TargetPort = intstr.FromString(to)
	}
	return p
}

// site is a target with ports, and a Service that was there before its canary.
func site(t *testing.T, ports []corev1.ServicePort) *fixture {
	t.Helper()
	d := shop("podinfo", set{"app": "podinfo", "component": "web"}, set{"app": "podinfo", "component": "web"})
	d.Spec.Template.Spec.Containers[0].Ports = []corev1.ContainerPort{
		{Name: "http", ContainerPort: 8080},
		{Name: "https", ContainerPort: 8443},
	}
	b := newFixture(t, d, &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name:        "podinfo",
		Labels:      set{"team": "a"},
		Annotations: set{"keep": "yes"},
	}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Selector: set{
			"app":       "podinfo",
			"component": "web",
		}, SessionAffinity: corev1.ServiceAffinityClientIP,
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, LoadBalancerClass: ptr.To("internal"),
		LoadBalancerSourceRanges: []string{
			"10.0.0.0/8",
		}, Ports: ports}})
	b.canary.Spec.Service.TargetPort = intstr.FromInt32(8080)
	b.primary()
	return b
}

// warned collects what the canary's owner is told.
func (b *fixture) warned() *[]string {
	var said []string
	b.manager.opts.Warn = func(_ *flaggerv1.Canary, err error) { said = append(said, err.Error()) }
	return &said
}

func TestAnAdoptedServiceKeepsWhatTheCanaryDoesNotKnow(t *testing.T) {
	for name, tc := range map[string]struct {
		before   []corev1.ServicePort
		portName string
		discover bool
		want     []corev1.ServicePort
		warned   []string
	}{
		"a node port of a port without a name": {
			before: []corev1.ServicePort{port("", 80, 8080, 30080)}, want: []corev1.ServicePort{port("http", 80, 8080, 30080)},
		},
		"the name that others call it by": {
			before: []corev1.ServicePort{port("web", 80, "http", 30080)}, want: []corev1.ServicePort{port("web", 80, 8080, 30080)},
		},
		"a name that the canary wants otherwise": {
			before: []corev1.ServicePort{
				port("web", 80, "http", 30080),
			}, portName: "http2", want: []corev1.ServicePort{port("http2", 80, 8080, 30080)},
			warned: []string{"service podinfo.test: port 80 is called http2, no longer web"},
		},
		"where the port led": {
			before: []corev1.ServicePort{port("http", 80, 9090, 30080)}, want: []corev1.ServicePort{port("http", 80, 8080, 30080)},
			warned: []string{"service podinfo.test: port 80 leads to 8080, no longer to 9090"},
		},
		"other ports": {
			before: []corev1.ServicePort{port("http", 80, 8080, 1), port("metrics", 9100, 9100, 2)},
			want:   []corev1.ServicePort{port("http", 80, 8080, 1), port("metrics", 9100, 9100, 2)},
		},
		"another port without a name": {
			before: []corev1.ServicePort{
				port("", 9100, 9100, 2),
			}, want: []corev1.ServicePort{port("http", 80, 8080, 0), port("port-9100", 9100, 9100, 2)},
		},
		"another port of the same name": {
			before: []corev1.ServicePort{
				port("http", 8080, 8080, 1),
			}, want: []corev1.ServicePort{port("http-80", 80, 8080, 0), port("http", 8080, 8080, 1)},
		},
		"a port that is discovered under another number": {
			before: []corev1.ServicePort{port("http2", 80, 8080, 1), port("https", 443, 8443, 2)}, portName: "http2", discover: true,
			want: []corev1.ServicePort{port("http2", 80, 8080, 1), port("https", 443, 8443, 2)},
		},
		"a port that is discovered": {
			before: []corev1.ServicePort{port("http", 80, 8080, 1)}, discover: true,
			want: []corev1.ServicePort{port("http", 80, 8080, 1), port("https", 8443, 8443, 0)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := site(t, tc.before)
			b.canary.Spec.Service.PortName, b.canary.Spec.Service.PortDiscovery = tc.portName, tc.discover
			said := b.warned()
			before := b.service("podinfo")
			b.must(b.observe().EnsureApex(t.Context()))
			after := b.service("podinfo")
			if diff := cmp.Diff(tc.want, byPort(after.Spec.Ports)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.warned, *said); diff != "" {
				t.Error(diff)
			}
			b.must(b.observe().EnsureApex(t.Context()))
			if b.service("podinfo").ResourceVersion != after.ResourceVersion {
				t.Error("adopting again changed it")
			}
			after.Spec.Ports, after.Spec.Selector = before.Spec.Ports, before.Spec.Selector
			if diff := cmp.Diff(before.Spec, after.Spec); diff != "" || after.Labels["team"] != "a" || after.Annotations["keep"] != "yes" {
				t.Errorf("%s %v %v", diff, after.Labels, after.Annotations)
			}
			b.must(b.observe().RevertApex(t.Context()))
			restored := b.service("podinfo")
			if diff := cmp.Diff(before.Spec, restored.Spec); diff != "" || !maps.Equal(restored.Annotations, set{"keep": "yes"}) {
				t.Errorf("restored: %s %v", diff, restored.Annotations)
			}
		})
	}
}

func TestAServiceIsRestoredToWhatItsOwnerHas(t *testing.T) {
	full := set{"app": "podinfo", "component": "web"}
	for name, tc := range map[string]struct {
		meanwhile func(*fixture)
		want      set
		wantPorts []corev1.ServicePort
	}{
		"as it was": {func(*fixture) {}, full, []corev1.ServicePort{port("web", 80, "http", 1)}},
		"a selector that was applied since": {func(b *fixture) {
			b.editService(func(s *corev1.Service) { s.Spec.Selector = set{"app": "other"} })
		}, set{"app": "other"}, []corev1.ServicePort{port("web", 80, "http", 1)}},
		"a selector and ports that were applied since, and taken over": {func(b *fixture) {
			b.editService(func(s *corev1.Service) {
				s.Spec.Selector, s.Spec.Ports = set{"app": "other"}, []corev1.ServicePort{port("new", 80, 7070, 1), port("admin", 90, 90, 2)}
			})
			b.must(b.observe().EnsureApex(b.t.Context()))
		}, set{"app": "other"}, []corev1.ServicePort{port("new", 80, 7070, 1), port("admin", 90, 90, 2)}},
		"another port of the canary": {func(b *fixture) {
			b.canary.Spec.Service.Port = 81
			b.must(b.observe().EnsureApex(b.t.Context()))
		}, full, []corev1.ServicePort{port("web", 80, "http", 1)}},
		"another name of the canary's Service": {
			func(b *fixture) { b.canary.Spec.Service.Name = "elsewhere" },
			full,
			[]corev1.ServicePort{port("web", 80, "http", 1)},
		},
		"a canary that was made anew": {func(b *fixture) {
			b.canary.UID = "uid-2"
			for _, name := range []string{"podinfo-primary"} {
				b.own(&appsv1.Deployment{}, name, "podinfo", "uid-2")
			}
			b.must(b.observe().EnsureApex(b.t.Context()))
		}, full, []corev1.ServicePort{port("web", 80, "http", 1)}},
		"one that an earlier version took over, by kubectl apply": {func(b *fixture) {
			b.editService(func(s *corev1.Service) {
				delete(s.Annotations, originalAnnotation)
				s.Annotations[corev1.LastAppliedConfigAnnotation] = `{"spec":{"selector":{"app":"podinfo","component":"web"}}}`
			})
		}, full, []corev1.ServicePort{port("web", 80, 8080, 1)}},
		"one that Flagger took over, by kubectl apply": {func(b *fixture) {
			b.editService(func(s *corev1.Service) {
				delete(s.Annotations, originalAnnotation)
				s.Annotations[corev1.LastAppliedConfigAnnotation] = `{"spec":{"selector":{"app":"podinfo","component":"web"},` +
					`"ports":[{"name":"web","port":80,"targetPort":"http"}]}}`
			})
			before := b.service("podinfo").ResourceVersion
			b.must(b.observe().EnsureApex(b.t.Context()))
			if b.service("podinfo").ResourceVersion != before {
				b.t.Error("taking over has changed it")
			}
		}, full, []corev1.ServicePort{port("web", 80, "http", 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			b := site(t, []corev1.ServicePort{port("web", 80, "http", 1)})
			b.must(b.observe().EnsureApex(t.Context()))
			if diff := cmp.Diff(set{"app": "podinfo-primary", "component": "web"}, b.service("podinfo").Spec.Selector); diff != "" {
				t.Fatal(diff)
			}
			tc.meanwhile(b)
			b.must(b.observe().RevertApex(t.Context()))
			svc := b.service("podinfo")
			if diff := cmp.Diff(tc.want, svc.Spec.Selector); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.wantPorts, svc.Spec.Ports); diff != "" {
				t.Error(diff)
			}
			if svc.Annotations[originalAnnotation] != "" || svc.Annotations["helm.toolkit.fluxcd.io/driftDetection"] != "" {
				t.Errorf("left %v", svc.Annotations)
			}
		})
	}
}

func (b *fixture) editService(edit func(*corev1.Service)) {
	b.t.Helper()
	svc := b.service("podinfo")
	edit(svc)
	b.must(b.c.Update(b.t.Context(), svc))
}

func TestAServiceIsAdoptedByOneCanary(t *testing.T) {
	b := site(t, []corev1.ServicePort{port("web", 80, "http", 1)})
	b.must(b.observe().EnsureApex(t.Context()))
	other := b.canary
	b.canary = other.DeepCopy()
	b.canary.Name, b.canary.UID = "second", types.UID("uid-2")
	b.own(&appsv1.Deployment{}, "podinfo-primary", "second", "uid-2")
	b.must(b.observe().EnsureApex(t.Context())) // the first is gone
	if got := originalOf(b.service("podinfo")); got.Canary != "second" || got.Selector["app"] != "podinfo" {
		t.Errorf("noted %+v", got)
	}
	b.must(b.c.Create(t.Context(), b.canary.DeepCopy()))
	b.canary = other
	b.own(&appsv1.Deployment{}, "podinfo-primary", "podinfo", "uid-1")
	wantTerminal(t, b.observe().EnsureApex(t.Context()), "service podinfo.test is that of Canary second")
}

func TestAnAliasIsAdoptedWithAWarning(t *testing.T) {
	b := site(t, nil)
	b.editService(func(s *corev1.Service) {
		s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "shop.example.com"}
	})
	said := b.warned()
	b.must(b.observe().EnsureApex(t.Context()))
	if len(*said) != 1 {
		t.Errorf("said %v", *said)
	}
}

func TestPortsThatAreDiscovered(t *testing.T) {
	udp := func(name string, number int32) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolUDP}
	}
	tcp := func(name string, number int32) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, ContainerPort: number}
	}
	asUDP := func(p corev1.ServicePort) corev1.ServicePort {
		p.Protocol = corev1.ProtocolUDP
		return p
	}
	main := port("http", 80, 8080, 0)
	for name, tc := range map[string]struct {
		containers map[string][]corev1.ContainerPort
		target     intstr.IntOrString
		want       []corev1.ServicePort
	}{
		"other ports, by name": {map[string][]corev1.ContainerPort{"a": {tcp("http", 8080), tcp("metrics", 9797)}}, intstr.FromInt32(8080),
			[]corev1.ServicePort{main, port("metrics", 9797, 9797, 0)}},
		"the target port by its name": {map[string][]corev1.ContainerPort{"a": {tcp("web", 8080), tcp("", 9797)}}, intstr.FromString("web"),
			[]corev1.ServicePort{port("http", 80, "web", 0), port("tcp-a-1", 9797, 9797, 0)}},
		"one number twice, by two protocols": {map[string][]corev1.ContainerPort{"a": {
			tcp("dns-tcp", 53),
			udp("dns", 53),
		}}, intstr.FromInt32(8080),
			[]corev1.ServicePort{port("dns-tcp", 53, 53, 0), asUDP(port("dns", 53, 53, 0)), main}},
		"the number of the target port by another protocol": {map[string][]corev1.ContainerPort{"a": {
			tcp("http", 8080),
			udp("", 8080),
		}}, intstr.FromInt32(8080),
			[]corev1.ServicePort{main, asUDP(port("udp-a-1", 8080, 8080, 0))}},
		"the number of the canary's port": {map[string][]corev1.ContainerPort{"a": {tcp("http", 8080), tcp("other", 80)}}, intstr.FromInt32(8080),
			[]corev1.ServicePort{main}},
		"the name of the canary's port": {map[string][]corev1.ContainerPort{"a": {tcp("web", 8080), tcp("http", 8081)}}, intstr.FromInt32(8080),
			[]corev1.ServicePort{main, port("http-8081", 8081, 8081, 0)}},
		"two containers with one port, or one name": {map[string][]corev1.ContainerPort{
			"a": {tcp("m", 9090)},
			"b": {tcp("n", 9090), tcp("m", 9091)},
		}, intstr.FromInt32(8080),
			[]corev1.ServicePort{main, port("m", 9090, 9090, 0), port("m-9091", 9091, 9091, 0)}},
		"proxies of meshes": {map[string][]corev1.ContainerPort{
			"istio-proxy":   {tcp("http-envoy-prom", 15090)},
			"linkerd-proxy": {tcp("linkerd-admin", 4191)},
			"kuma-sidecar":  {tcp("", 9901)},
		},
			intstr.FromInt32(8080), []corev1.ServicePort{main}},
	} {
		t.Run(name, func(t *testing.T) {
			d := shop("podinfo", set{"app": "podinfo"}, set{"app": "podinfo"})
			d.Spec.Template.Spec.Containers = nil
			for _, container := range []string{"a", "b", "istio-proxy", "linkerd-proxy", "kuma-sidecar"} {
				if ports, ok := tc.containers[container]; ok {
					d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: container, Ports: ports})
				}
			}
			b := newFixture(t, d)
			b.canary.Spec.Service.TargetPort, b.canary.Spec.Service.PortDiscovery = tc.target, true
			b.must(b.observe().EnsureServices(t.Context()))
			got := byPort(b.service("podinfo-canary").Spec.Ports)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			b.must(b.observe().EnsureServices(t.Context()))
		})
	}
}
