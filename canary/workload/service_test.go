// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func newServiceFixture(t *testing.T, objects ...client.Object) *fixture {
	t.Helper()
	target := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "podinfo", Labels: map[string]string{"team": "a"},
			Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "lb": "internal"}},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, ClusterIP: "10.0.0.1", ClusterIPs: []string{"10.0.0.1"},
			Selector: map[string]string{"version": "1"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, NodePort: 30080}}},
	}
	b := newFixture(t, append(objects, target)...)
	b.canary.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "v1", Kind: "Service", Name: "podinfo"}
	return b
}

func (b *fixture) service(name string) *corev1.Service {
	b.t.Helper()
	svc := &corev1.Service{}
	b.get(name, svc)
	return svc
}

func TestAServiceIsReleasedAsTwoCopies(t *testing.T) {
	b := newServiceFixture(t)
	b.canary.Spec.Service.Canary = &flaggerv1.CustomMetadata{Annotations: map[string]string{"a": "b"}}
	one := b.observe()
	b.must(one.Save(t.Context(), one.Revision.Digest))
	b.must(one.EnsureServices(t.Context()))
	b.must(one.SetPrimary(t.Context(), one.Revision.Digest))
	for _, name := range []string{"podinfo-primary", "podinfo-canary"} {
		svc := b.service(name)
		if svc.Spec.ClusterIP != "" || svc.Spec.Ports[0].NodePort != 0 || svc.Spec.Selector["version"] != "1" ||
			svc.Labels["team"] != "a" || svc.Annotations["lb"] != "internal" ||
			svc.Annotations[corev1.LastAppliedConfigAnnotation] != "" || !metav1.IsControlledBy(svc, b.canary) {
			t.Errorf("%s: %+v", name, svc)
		}
	}
	target := b.service("podinfo")
	target.Spec.Selector["version"] = "2"
	b.must(b.c.Update(t.Context(), target))
	two := b.observe()
	b.must(two.EnsureServices(t.Context()))
	if two.Primary.Revision != one.Revision.Digest || two.Revision.Digest == one.Revision.Digest || !two.Target.Serves() ||
		!two.Primary.Ready {
		t.Errorf("target %+v, primary %+v", two.Target, two.Primary)
	}
	got := []string{b.service("podinfo-primary").Spec.Selector["version"], b.service("podinfo-canary").Spec.Selector["version"]}
	if diff := cmp.Diff([]string{"1", "2"}, got); diff != "" {
		t.Error(diff)
	}
	b.must(two.SetPrimary(t.Context(), two.Revision.Digest))
	if got := b.service("podinfo-primary").Spec.Selector["version"]; got != "2" {
		t.Errorf("promoted %s", got)
	}
	b.must(b.observe().SetPrimary(t.Context(), one.Revision.Digest))
	if got := b.service("podinfo-primary").Spec.Selector["version"]; got != "1" {
		t.Errorf("restored %s", got)
	}
}

func TestACopyOfAServiceKeepsItsAddress(t *testing.T) {
	b := newServiceFixture(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "podinfo-primary"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: "10.0.0.2", ClusterIPs: []string{
			"10.0.0.2",
		}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, NodePort: 30090}}}})
	b.own(&corev1.Service{}, "podinfo-primary", "podinfo", "uid-1")
	p := b.observe()
	b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	svc := b.service("podinfo-primary")
	if svc.Spec.ClusterIP != "10.0.0.2" || svc.Spec.Ports[0].NodePort != 30090 || svc.Spec.Selector["version"] != "1" {
		t.Errorf("primary %+v", svc.Spec)
	}
	first := svc.ResourceVersion
	b.must(b.observe().SetPrimary(t.Context(), p.Revision.Digest))
	if b.service("podinfo-primary").ResourceVersion != first {
		t.Error("promoting again changed the primary")
	}
}

func TestAServiceThatFlaggerPromotedIsRecognised(t *testing.T) {
	b := newServiceFixture(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "podinfo-primary"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: "10.0.0.2", Selector: map[string]string{
			"version": "1",
		}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}})
	if p := b.observe(); p.Primary.Revision != p.Revision.Digest {
		t.Errorf("primary runs %q", p.Primary.Revision)
	}
}

func TestTheServiceOfAServiceIsItself(t *testing.T) {
	b := newServiceFixture(t)
	before := b.service("podinfo").ResourceVersion
	b.must(b.observe().EnsureApex(t.Context()))
	b.must(b.observe().StartTarget(t.Context()))
	b.must(b.observe().StopTarget(t.Context()))
	b.must(b.observe().RevertApex(t.Context()))
	if why, err := b.observe().RevertTarget(t.Context()); why != "" || err != nil || b.service("podinfo").ResourceVersion != before {
		t.Errorf("%q %v", why, err)
	}
}
