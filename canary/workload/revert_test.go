// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// A canary whose spec was broken by an edit let its target go without pods, and its
// users on a primary that went with it.
func TestWhatGoesGivesBackWhateverItsSpecHasBecome(t *testing.T) {
	scaled := func(ref flaggerv1.AutoscalerReference) func(*fixture) {
		return func(b *fixture) { b.canary.Spec.AutoscalerRef = &ref }
	}
	for name, edit := range map[string]func(*fixture){
		"nothing was edited":               func(*fixture) {},
		"an autoscaler of an unknown kind": scaled(flaggerv1.AutoscalerReference{Name: "scale", Kind: "Foo"}),
		"an autoscaler without queries": scaled(flaggerv1.AutoscalerReference{
			Name:                 "scale",
			Kind:                 "HorizontalPodAutoscaler",
			PrimaryScalerQueries: set{"a": "b"},
		}),
		"an autoscaler that is gone":     scaled(flaggerv1.AutoscalerReference{Name: "scale", Kind: "HorizontalPodAutoscaler"}),
		"other selector labels":          func(b *fixture) { b.manager.opts.SelectorLabels = []string{"team"} },
		"a Service with a name too long": func(b *fixture) { b.canary.Spec.Service.Name = strings.Repeat("a", 63) },
		"a ConfigMap that is gone": func(b *fixture) {
			d := &appsv1.Deployment{}
			b.get("podinfo", d)
			gone := &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "gone"}}
			d.Spec.Template.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: gone}}
			b.must(b.c.Update(b.t.Context(), d))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := site(t, []corev1.ServicePort{port("web", 80, "http", 1)})
			before := b.service("podinfo").Spec.Selector
			b.must(b.observe().EnsureApex(t.Context()))
			b.must(b.observe().StopTarget(t.Context()))
			b.stand()
			edit(b)
			b.canary.DeletionTimestamp = ptr.To(metav1.Now())
			p := b.observe()
			if why, err := p.RevertTarget(t.Context()); err != nil || why != "scaling up" {
				t.Errorf("the target gets no pods: %q, %v", why, err)
			}
			b.must(p.RevertApex(t.Context()))
			if is := b.service("podinfo").Spec.Selector; !maps.Equal(is, before) {
				t.Errorf("users are led to %v", is)
			}
		})
	}
}

// What Flagger took over has no note of what it was, and got none while the labels that
// tell copies apart were others.
func TestWhatWasNeverNotedIsGivenBackUnderOtherSelectorLabels(t *testing.T) {
	b := site(t, []corev1.ServicePort{port("http", 80, 8080, 1)})
	b.editService(func(s *corev1.Service) { s.Spec.Selector = set{"app": "podinfo-primary"} })
	b.manager.opts.SelectorLabels = []string{"team"}
	b.canary.DeletionTimestamp = ptr.To(metav1.Now())
	b.must(b.observe().RevertApex(t.Context()))
	if is, want := b.service("podinfo").Spec.Selector, (set{"app": "podinfo", "component": "web"}); !maps.Equal(is, want) {
		t.Errorf("users are led to %v", is)
	}
}

// A kill between the Service and the end of the deletion: the second round found no note of
// what the Service had been, and took it for one that an earlier version had taken over.
func TestAServiceThatWasGivenBackIsLeftAlone(t *testing.T) {
	for name, selector := range map[string]set{
		"which selects by one label of the target": {"app": "podinfo"},
		"which selects nothing":                    nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := site(t, []corev1.ServicePort{port("http", 80, 8080, 1)})
			b.editService(func(s *corev1.Service) {
				s.Spec.Selector = selector
				s.Annotations = set{"keep": "yes"}
				for key, value := range object.FluxDisabled() {
					s.Annotations[key] = value
				}
			})
			before := b.service("podinfo")
			b.must(b.observe().EnsureApex(t.Context()))
			b.canary.DeletionTimestamp = ptr.To(metav1.Now())
			for range 2 {
				b.must(b.observe().RevertApex(t.Context()))
				after := b.service("podinfo")
				if !maps.Equal(after.Spec.Selector, before.Spec.Selector) || !maps.Equal(after.Annotations, before.Annotations) {
					t.Errorf("it selects %v, and is annotated %v", after.Spec.Selector, after.Annotations)
				}
			}
		})
	}
}

func TestServicesAreGivenBackByATargetOfAnUnknownKind(t *testing.T) {
	b := site(t, []corev1.ServicePort{port("http", 80, 8080, 1)})
	before := b.service("podinfo").Spec.Selector
	b.must(b.observe().EnsureApex(t.Context()))
	b.canary.Spec.TargetRef.Kind = "Foo"
	p, err := b.manager.Observe(t.Context(), b.canary)
	if err == nil {
		t.Fatal("a Foo is served")
	}
	b.must(p.RestoreServices(t.Context()))
	if is := b.service("podinfo").Spec.Selector; !maps.Equal(is, before) {
		t.Errorf("users are led to %v", is)
	}
}
