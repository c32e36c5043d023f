// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/test/make"
)

type set = map[string]string

func in(key string, values ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: values}
}

// deployed is a Deployment as JSON.
func deployed(t *testing.T, name string, selector *metav1.LabelSelector, pods set) *unstructured.Unstructured {
	t.Helper()
	d := make.Deployment("", name, name+":1", func(d *appsv1.Deployment) {
		d.Spec.Selector, d.Spec.Template.Labels = selector, pods
	})
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: object}
}

// TestWhatTellsTheTwoCopiesApart: a selector of one label once mixed workloads that
// share it, and an edit of the selector or of the settings left Services without pods.
func TestWhatTellsTheTwoCopiesApart(t *testing.T) {
	type expect struct{ Own, Primary, Settled, Pods set }
	equal := func(labels set) *metav1.LabelSelector { return &metav1.LabelSelector{MatchLabels: labels} }
	for name, tc := range map[string]struct {
		selector     *metav1.LabelSelector
		pods         set
		primary      *metav1.LabelSelector // nil is that there is none yet
		primaryPods  set
		keys         []string
		want         expect
		wantSelector *metav1.LabelSelector
	}{
		"one label": {
			selector: equal(set{"app": "web"}), pods: set{"app": "web", "v": "1"},
			want:         expect{set{"app": "web"}, set{"app": "web-primary"}, set{"app": "web-primary"}, set{"app": "web-primary", "v": "1"}},
			wantSelector: equal(set{"app": "web-primary"}),
		},
		"all labels are kept": {
			selector: equal(set{"app": "shop", "component": "web"}), pods: set{"app": "shop", "component": "web"},
			want: expect{set{"app": "shop", "component": "web"}, set{"app": "shop-primary", "component": "web"},
				set{"app": "shop-primary", "component": "web"}, set{"app": "shop-primary", "component": "web"}},
			wantSelector: equal(set{"app": "shop-primary", "component": "web"}),
		},
		"so are expressions": {
			selector: &metav1.LabelSelector{MatchLabels: set{"app": "shop"}, MatchExpressions: []metav1.LabelSelectorRequirement{
				in("component", "web"), {Key: "tier", Operator: metav1.LabelSelectorOpExists}}},
			pods: set{"app": "shop", "component": "web", "tier": "1"},
			want: expect{set{"app": "shop", "component": "web"}, set{"app": "shop-primary", "component": "web"},
				set{"app": "shop-primary", "component": "web"}, set{"app": "shop-primary", "component": "web", "tier": "1"}},
			wantSelector: &metav1.LabelSelector{MatchLabels: set{"app": "shop-primary"}, MatchExpressions: []metav1.LabelSelectorRequirement{
				in("component", "web"), {Key: "tier", Operator: metav1.LabelSelectorOpExists}}},
		},
		"the label may be an expression": {
			selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{in("app", "web")}}, pods: set{"app": "web"},
			want:         expect{set{"app": "web"}, set{"app": "web-primary"}, set{"app": "web-primary"}, set{"app": "web-primary"}},
			wantSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{in("app", "web-primary")}},
		},
		"a primary of Flagger's has one label, and pods with all": {
			selector: equal(set{"app": "shop", "component": "web"}), pods: set{"app": "shop", "component": "web"},
			primary: equal(set{"app": "shop-primary"}), primaryPods: set{"app": "shop-primary", "component": "web"},
			want: expect{set{"app": "shop", "component": "web"}, set{"app": "shop-primary"},
				set{"app": "shop-primary", "component": "web"}, set{"app": "shop-primary", "component": "web"}},
		},
		"another label is configured": {
			selector: equal(set{"app": "web", "name": "web"}), pods: set{"app": "web", "name": "web"}, keys: []string{"name"},
			primary: equal(set{"app": "web-primary", "name": "web"}), primaryPods: set{"app": "web-primary", "name": "web"},
			want: expect{set{"app": "web", "name": "web"}, set{"app": "web-primary", "name": "web"},
				set{"app": "web-primary", "name": "web"}, set{"app": "web-primary", "name": "web"}},
		},
		"the target was made anew with another label": {
			selector: equal(set{"name": "web"}), pods: set{"name": "web"},
			primary: equal(set{"app": "web-primary"}), primaryPods: set{"app": "web-primary"},
			want: expect{set{"name": "web"}, set{"app": "web-primary"}, set{"app": "web-primary"}, set{"app": "web-primary", "name": "web-primary"}},
		},
		"the target was made anew with a label that the primary has, too": {
			selector: equal(set{"name": "web"}), pods: set{"name": "web", "app": "web"},
			primary: equal(set{"app": "web-primary"}), primaryPods: set{"app": "web-primary", "name": "web"},
			want: expect{
				set{"name": "web", "app": "web"}, set{"app": "web-primary"}, set{"app": "web-primary", "name": "web"},
				set{"app": "web-primary", "name": "web"},
			},
		},
		"the target was made anew with another value": {
			selector: equal(set{"app": "site"}), pods: set{"app": "site"},
			primary: equal(set{"app": "web-primary"}), primaryPods: set{"app": "web-primary"},
			want: expect{set{"app": "site"}, set{"app": "web-primary"}, set{"app": "web-primary"}, set{"app": "web-primary"}},
		},
		"the target was made anew without what the primary must have": {
			selector: equal(set{"app": "web"}), pods: set{"app": "web"},
			primary: &metav1.LabelSelector{
				MatchLabels:      set{"app": "web-primary"},
				MatchExpressions: []metav1.LabelSelectorRequirement{in("tier", "a", "b")},
			},
			primaryPods: set{"app": "web-primary", "tier": "a"},
			want:        expect{set{"app": "web"}, set{"app": "web-primary"}, set{"app": "web-primary"}, set{"app": "web-primary", "tier": "a"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			keys := tc.keys
			if keys == nil {
				keys = DefaultSelectorLabels
			}
			target := deployed(t, "web", tc.selector, tc.pods)
			n := namingOf("web", object.Map(target.Object, "spec", "selector"), podLabels(target), keys)
			if tc.primary != nil {
				n.follow(deployed(t, "web-primary", tc.primary, tc.primaryPods), podLabels(target))
			}
			r := &Revision{Template: object.Map(target.Object, "spec", "template")}
			pods := object.Texts(object.Map(n.primaryTemplate(r, nil), "metadata", "labels"))
			if diff := cmp.Diff(tc.want, expect{n.own, n.primary, n.settled, pods}); diff != "" {
				t.Error(diff)
			}
			typed := &metav1.LabelSelector{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(n.selector, typed); err != nil {
				t.Fatal(err)
			}
			if tc.wantSelector != nil {
				if diff := cmp.Diff(tc.wantSelector, typed); diff != "" {
					t.Error(diff)
				}
			}
			if selector, err := metav1.LabelSelectorAsSelector(typed); err != nil || !selector.Matches(labels.Set(pods)) {
				t.Errorf("the API server refuses pods %v under %v", pods, selector)
			}
		})
	}
}

// shop is a Deployment of an application of several.
func shop(name string, selector, pods set) *appsv1.Deployment {
	return make.Deployment("", name, name+":1", func(d *appsv1.Deployment) {
		d.Spec.Replicas, d.Spec.Selector.MatchLabels, d.Spec.Template.Labels = new(int32(2)), selector, pods
	})
}

func TestWorkloadsThatShareLabels(t *testing.T) {
	web := set{"app": "shop", "component": "web"}
	for name, tc := range map[string]struct {
		target, other *appsv1.Deployment
		phase         flaggerv1.CanaryPhase
		want          string // part of the refusal; empty is none
		wantStuck     bool
	}{
		"another component": {
			target: shop("podinfo", web, web),
			other:  shop("worker", set{"app": "shop", "component": "worker"}, set{"app": "shop", "component": "worker"}),
		},
		"a selector that says too little": {
			target: shop("podinfo", set{"app": "shop"}, web),
			other:  shop("worker", set{"component": "worker"}, set{"app": "shop", "component": "worker"}),
			want:   "pods of deployment worker.test have all labels that those of deployment podinfo.test are selected by (app=shop)",
		},
		"one that is stopped": {target: shop("podinfo", web, web), other: func() *appsv1.Deployment {
			d := shop("old", web, web)
			d.Spec.Replicas = ptr.To(int32(0))
			return d
		}()},
		"one that has the primary's labels": {target: shop("podinfo", web, web), want: "deployment other.test",
			other: shop("other", set{"app": "shop-primary"}, set{"app": "shop-primary", "component": "web"})},
		"one that comes in mid-release": {
			target: shop("podinfo", web, web), other: shop("other", web, web), phase: flaggerv1.CanaryPhaseProgressing,
			want: "deployment other.test", wantStuck: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, tc.target, tc.other)
			b.canary.Status.Phase = tc.phase
			b.wantRefusal(tc.want, tc.wantStuck)
		})
	}
}

func TestAnEditedSelectorIsNoOutage(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	b.primary()
	ensure := func() {
		b.must(b.observe().EnsureServices(t.Context()))
		b.must(b.observe().EnsureApex(t.Context()))
	}
	ensure()
	target := &appsv1.Deployment{}
	b.get("podinfo", target)
	target.Spec.Selector.MatchLabels = set{"name": "podinfo"}
	target.Spec.Template.Labels = set{"name": "podinfo"}
	b.must(b.c.Update(t.Context(), target))
	ensure()
	selects := func() []set {
		return []set{b.service("podinfo").Spec.Selector, b.service("podinfo-primary").Spec.Selector, b.service("podinfo-canary").Spec.Selector}
	}
	users := set{"app": "podinfo-primary"}
	if diff := cmp.Diff([]set{users, users, {"name": "podinfo"}}, selects()); diff != "" {
		t.Error(diff)
	}
	b.primary()
	ensure()
	own := set{"app": "podinfo-primary", "name": "podinfo-primary"}
	if diff := cmp.Diff([]set{own, own, {"name": "podinfo"}}, selects()); diff != "" {
		t.Error(diff)
	}
}

// With spec.service.name the users of the canary stay with the old target until the
// new one's primary has pods.
func TestServicesAreNotLedToPodsThatAreNotThere(t *testing.T) {
	other := shop("payments", set{"app": "payments"}, set{"app": "payments"})
	b := newFixture(t, append(targetAndConfigs("podinfo:1"), other)...)
	b.canary.Spec.Service.Name = "shop"
	b.primary()
	ensure := func() {
		b.must(b.observe().EnsureServices(t.Context()))
		b.must(b.observe().EnsureApex(t.Context()))
	}
	ensure()
	b.canary.Spec.TargetRef.Name = "payments"
	p := b.observe()
	b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	ensure()
	for _, name := range []string{"shop", "shop-primary"} {
		if got := b.service(name).Spec.Selector["app"]; got != "podinfo-primary" {
			t.Errorf("%s is led to %s", name, got)
		}
	}
	d := &appsv1.Deployment{}
	b.get("payments-primary", d)
	d.Status = appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}
	b.must(b.c.Status().Update(t.Context(), d))
	ensure()
	for _, name := range []string{"shop", "shop-primary"} {
		if got := b.service(name).Spec.Selector["app"]; got != "payments-primary" {
			t.Errorf("%s is led to %s", name, got)
		}
	}
}

func TestAPrimaryIsMadeAgainWithoutATarget(t *testing.T) {
	for name, selector := range map[string]map[string]any{
		"a snapshot":                       {"matchLabels": map[string]any{"app": "podinfo"}},
		"a snapshot of an earlier version": nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, targetAndConfigs("podinfo:1")...)
			p := b.observe()
			p.Revision.Selector = selector
			b.must(p.Save(t.Context(), p.Revision.Digest))
			d := &appsv1.Deployment{}
			b.get("podinfo", d)
			b.must(b.c.Delete(t.Context(), d))
			b.must(b.observe().SetPrimary(t.Context(), p.Revision.Digest))
			b.get("podinfo-primary", d)
			if diff := cmp.Diff(set{"app": "podinfo-primary"}, d.Spec.Selector.MatchLabels); diff != "" ||
				d.Spec.Template.Labels["app"] != "podinfo-primary" {
				t.Errorf("%s %v", diff, d.Spec.Template.Labels)
			}
		})
	}
}

func TestALabelThatNobodySelectsByIsLeftAlone(t *testing.T) {
	b := newFixture(t, shop("podinfo", set{"oddlabel": "a"}, set{"oddlabel": "a"}))
	_, err := b.manager.Observe(t.Context(), b.canary)
	wantTerminal(t, err, "must contain one of app, name, app.kubernetes.io/name; other labels are allowed by --selector-labels")
}

func TestNamesThatGetTooLong(t *testing.T) {
	long := strings.Repeat("a", 56)
	b := newFixture(t, shop("podinfo", set{"app": long}, set{"app": long}))
	_, err := b.manager.Observe(t.Context(), b.canary)
	wantTerminal(t, err, "the value of app must be shorter")
	b = newFixture(t, shop("podinfo", set{"app": "a"}, set{"app": "a"}))
	b.canary.Spec.Service.Name = long
	_, err = b.manager.Observe(t.Context(), b.canary)
	wantTerminal(t, err, "spec.service.name")
}

// What a pod template says about pods of its own application is about the primary's
// in the primary's: else they keep each other away for ever, or are not spread at all.
func TestPodsArePlacedAmongTheirOwn(t *testing.T) {
	type selector = metav1.LabelSelector
	for name, tc := range map[string]struct {
		given, want selector
		affine      bool
	}{
		"a label with another value than the target's name": {
			given: selector{MatchLabels: set{"name": "web"}}, want: selector{MatchLabels: set{"name": "web-primary"}},
		},
		"an expression": {given: selector{MatchExpressions: []metav1.LabelSelectorRequirement{in("name", "web")}},
			want: selector{MatchExpressions: []metav1.LabelSelectorRequirement{in("name", "web-primary")}}},
		"one of several": {given: selector{MatchExpressions: []metav1.LabelSelectorRequirement{in("name", "api", "web")}},
			want: selector{MatchExpressions: []metav1.LabelSelectorRequirement{in("name", "api", "web-primary")}}},
		"all but the target": {given: selector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: "name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"web"},
		}}},
			want: selector{MatchExpressions: []metav1.LabelSelectorRequirement{{
				Key: "name", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"web", "web-primary"},
			}}}},
		"another label of the application": {given: selector{MatchLabels: set{"app.kubernetes.io/name": "site"}},
			want: selector{MatchLabels: set{"app.kubernetes.io/name": "site", "name": "web-primary"}}},
		"the target's name under the label of others": {
			given: selector{MatchLabels: set{"name": "rel-web"}}, want: selector{MatchLabels: set{"name": "rel-web"}},
		},
		"more than the target": {given: selector{MatchLabels: set{"tier": "front"}}, want: selector{MatchLabels: set{"tier": "front"}}},
		"other applications":   {given: selector{MatchLabels: set{"name": "api"}}, want: selector{MatchLabels: set{"name": "api"}}},
		"together with their own": {
			given: selector{MatchLabels: set{"name": "web"}}, want: selector{MatchLabels: set{"name": "web-primary"}},
			affine: true,
		},
		"together with others": {
			given: selector{MatchLabels: set{"name": "cache"}}, want: selector{MatchLabels: set{"name": "cache"}},
			affine: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			pods := set{"name": "web", "app.kubernetes.io/name": "site", "tier": "front"}
			d := shop("podinfo", set{"name": "web"}, pods)
			spec, term := &d.Spec.Template.Spec, corev1.PodAffinityTerm{TopologyKey: "zone", LabelSelector: tc.given.DeepCopy()}
			if tc.affine {
				spec.Affinity = &corev1.Affinity{
					PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}},
				}
			} else {
				spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
					RequiredDuringSchedulingIgnoredDuringExecution:  []corev1.PodAffinityTerm{term},
					PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{PodAffinityTerm: term}},
				}}
				spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{LabelSelector: tc.given.DeepCopy()}}
			}
			b := newFixture(t, d)
			p := b.observe()
			b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
			primary := &appsv1.Deployment{}
			b.get("podinfo-primary", primary)
			spec = &primary.Spec.Template.Spec
			var got []selector
			if tc.affine {
				got = append(got, *spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector)
			} else {
				anti := spec.Affinity.PodAntiAffinity
				got = append(got, *anti.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector,
					*anti.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm.LabelSelector,
					*spec.TopologySpreadConstraints[0].LabelSelector)
			}
			for _, s := range got {
				if diff := cmp.Diff(tc.want, s); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// A term about the namespaces of others says nothing about the copies of the target.
func TestATermAboutOtherNamespacesStaysAsItIs(t *testing.T) {
	for name, tc := range map[string]struct {
		term corev1.PodAffinityTerm
		want string
	}{
		"others":     {corev1.PodAffinityTerm{Namespaces: []string{"elsewhere"}}, "web"},
		"its own":    {corev1.PodAffinityTerm{Namespaces: []string{"elsewhere", "test"}}, "web-primary"},
		"none named": {corev1.PodAffinityTerm{}, "web-primary"},
		"all":        {corev1.PodAffinityTerm{NamespaceSelector: &metav1.LabelSelector{}}, "web-primary"},
		"others, and those of labels": {
			corev1.PodAffinityTerm{Namespaces: []string{"elsewhere"}, NamespaceSelector: &metav1.LabelSelector{}}, "web-primary",
		},
	} {
		t.Run(name, func(t *testing.T) {
			term := tc.term
			term.TopologyKey, term.LabelSelector = "zone", &metav1.LabelSelector{MatchLabels: set{"name": "web"}}
			required, preferred := []corev1.PodAffinityTerm{term}, []corev1.WeightedPodAffinityTerm{{PodAffinityTerm: term}}
			d := shop("podinfo", set{"name": "web"}, set{"name": "web"})
			d.Spec.Template.Spec.Affinity = &corev1.Affinity{
				PodAffinity: &corev1.PodAffinity{
					RequiredDuringSchedulingIgnoredDuringExecution: required, PreferredDuringSchedulingIgnoredDuringExecution: preferred,
				},
				PodAntiAffinity: &corev1.PodAntiAffinity{
					RequiredDuringSchedulingIgnoredDuringExecution: required, PreferredDuringSchedulingIgnoredDuringExecution: preferred,
				},
			}
			b := newFixture(t, d)
			p := b.observe()
			b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
			primary := &appsv1.Deployment{}
			b.get("podinfo-primary", primary)
			affinity := primary.Spec.Template.Spec.Affinity
			for where, is := range map[string]corev1.PodAffinityTerm{
				"required affinity":       affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0],
				"preferred affinity":      affinity.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm,
				"required anti-affinity":  affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0],
				"preferred anti-affinity": affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm,
			} {
				if got := is.LabelSelector.MatchLabels["name"]; got != tc.want {
					t.Errorf("%s: got %s, want %s", where, got, tc.want)
				}
			}
		})
	}
}

// Flagger looks for the target's name only. Its primaries need no release.
func TestAPrimaryThatFlaggerPlacedIsRecognised(t *testing.T) {
	d := shop("podinfo", set{"app": "web"}, set{"app": "web"})
	d.Spec.Template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		LabelSelector: &metav1.LabelSelector{MatchLabels: set{"app": "web"}},
	}}
	b := newFixture(t, d)
	b.primary()
	primary := &appsv1.Deployment{}
	b.get("podinfo-primary", primary)
	primary.Spec.Template.Annotations[idAnnotation] = "a-uuid-of-flagger"
	primary.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels["app"] = "web"
	b.must(b.c.Update(t.Context(), primary))
	if p := b.observe(); p.Primary.Revision != p.Revision.Digest {
		t.Errorf("primary runs %q", p.Primary.Revision)
	}
}

func TestKEDACountsThePrimarysPods(t *testing.T) {
	n := namingOf("web", map[string]any{"matchLabels": map[string]any{"app": "app", "component": "web"}}, nil, DefaultSelectorLabels)
	for given, want := range map[string]string{
		"app=app": "app=app-primary", "app in (app,other),component=web": "app in (app-primary,other),component=web",
		"app=other": "app=other", "not a (selector": "not a (selector",
	} {
		if got := n.podSelector(given); got != want {
			t.Errorf("%s became %s, want %s", given, got, want)
		}
	}
}
