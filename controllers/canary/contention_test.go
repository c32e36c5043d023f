// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// contendedService is one that a canary and somebody else write to.
type contendedService struct {
	t     *testing.T
	api   client.Client
	clock *clocktesting.FakePassiveClock
	r     *guardedWriter
}

var contendedCanary = types.NamespacedName{Namespace: "test", Name: "podinfo"}

func newContendedService(t *testing.T) *contendedService {
	clk := clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	g := &contendedService{
		t:     t,
		clock: clk,
		api:   fake.NewClientBuilder().WithObjects(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "podinfo"}}).Build(),
	}
	g.r = &guardedWriter{g.api, &contentions{clock: clk, self: "sluice"}, workloadCluster}
	return g
}

func (g *contendedService) service() *corev1.Service {
	g.t.Helper()
	s := &corev1.Service{}
	if err := g.api.Get(g.t.Context(), contendedCanary, s); err != nil {
		g.t.Fatal(err)
	}
	return s
}

// ours makes the Service select an application, and reports whether it does then.
func (g *contendedService) ours(app string) bool {
	g.t.Helper()
	return g.write(func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": app} }) && g.service().Spec.Selector["app"] == app
}

// write changes the Service for its canary, and reports whether it was written.
func (g *contendedService) write(change func(*corev1.Service)) bool {
	g.t.Helper()
	live := g.service()
	at := metav1.NewTime(g.clock.Now())
	live.ManagedFields = []metav1.ManagedFieldsEntry{
		{Manager: "sluice", Time: &at},
		{Manager: "helm", Time: &at},
		{Manager: "kube-proxy", Time: &at, Subresource: "status"},
	}
	wanted := live.DeepCopy()
	change(wanted)
	if err := g.r.Patch(withCanary(g.t.Context(), contendedCanary), wanted,
		client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})); err != nil {
		g.t.Fatal(err)
	}
	return g.service().ResourceVersion != live.ResourceVersion
}

// theirs undoes it.
func (g *contendedService) theirs() {
	g.t.Helper()
	s := g.service()
	s.Spec.Selector = nil
	if err := g.api.Update(g.t.Context(), s); err != nil {
		g.t.Fatal(err)
	}
}

// Two controllers once rewrote an object as fast as they could, without a word.
func TestWhoKeepsUndoingAWriteIsNamed(t *testing.T) {
	g := newContendedService(t)
	on := []clusterRef{{clusterKind{schema.GroupVersionKind{Version: "v1", Kind: "Service"}, workloadCluster}, contendedCanary}}
	for i := range contentionPolicy.Burst {
		if !g.ours("podinfo-primary") || (g.r.contentions.about(on) != "") != (i == contentionPolicy.Burst-1) {
			t.Fatalf("repair %d: %q", i, g.r.contentions.about(on))
		}
		g.theirs()
	}
	want := "Service test/podinfo is changed again and again by helm (spec.selector): it is repaired after growing pauses; " +
		"take it out of what the chart makes, or leave the object to this Canary"
	told, again := g.r.contentions.takeReports(contendedCanary), g.r.contentions.takeReports(contendedCanary)
	if len(told) != 1 || told[0] != want || len(again) > 0 {
		t.Errorf("told %q", told)
	}
	if g.ours("podinfo-primary") || g.r.contentions.pause(contendedCanary) != contentionPolicy.InitialBackoff {
		t.Errorf("no pause: %s", g.r.contentions.pause(contendedCanary))
	}
	if !g.ours("podinfo") {
		t.Error("something else is not written, and users may have to leave")
	}
	g.theirs()
	if !g.ours("podinfo-primary") || g.r.contentions.pause(contendedCanary) != 0 {
		t.Error("what is new does not begin anew")
	}
	g.r.contentions.forget(contendedCanary)
	if len(g.r.contentions.objects)+len(g.r.contentions.reports) > 0 {
		t.Errorf("left behind: %v", g.r.contentions.objects)
	}
}

func TestPausesGrowAndEnd(t *testing.T) {
	g := newContendedService(t)
	for range contentionPolicy.Burst {
		g.ours("podinfo-primary")
		g.theirs()
	}
	for _, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
		if got := g.r.contentions.pause(contendedCanary); got != want {
			t.Errorf("a pause of %s, want %s", got, want)
		}
		g.clock.SetTime(g.clock.Now().Add(want))
		if !g.ours("podinfo-primary") {
			t.Error("no repair after the pause")
		}
		g.theirs()
	}
	g.clock.SetTime(g.clock.Now().Add(contentionPolicy.Window + time.Minute))
	if !g.ours("podinfo-primary") || g.r.contentions.pause(contendedCanary) != 0 {
		t.Error("old contention is not forgotten")
	}
}

func TestWhatIsWrittenForNobodyIsNoContention(t *testing.T) {
	g := newContendedService(t)
	for range 2 * contentionPolicy.Burst {
		live := g.service()
		wanted := live.DeepCopy()
		wanted.Spec.Selector = map[string]string{"app": "podinfo"}
		if err := g.r.Patch(t.Context(), wanted, client.MergeFrom(live)); err != nil || g.service().Spec.Selector == nil {
			t.Fatal(err)
		}
		g.theirs()
	}
}

// A patch that said nothing was written at each look, and taken for a repair.
func TestAWriteThatChangesNothingIsNoRepair(t *testing.T) {
	g := newContendedService(t)
	g.r.Client = interceptor.NewClient(g.api.(client.WithWatch), interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return nil
		},
	})
	for range 2 * contentionPolicy.Burst {
		g.ours("podinfo-primary")
	}
	if told := g.r.contentions.takeReports(contendedCanary); len(told) > 0 || g.r.contentions.pause(contendedCanary) != 0 {
		t.Errorf("told %q, a pause of %s", told, g.r.contentions.pause(contendedCanary))
	}
}

// Who undid two things in turn was never named: each write was taken for the first.
func TestWhoUndoesTwoThingsInTurnIsNamed(t *testing.T) {
	g := newContendedService(t)
	drops := func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }
	for i := range contentionPolicy.Burst {
		if !g.ours("podinfo-primary") || !g.write(drops) {
			t.Fatalf("repair %d is left out", i)
		}
		g.theirs()
		s := g.service()
		s.Spec.PublishNotReadyAddresses = false
		if err := g.api.Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if told := g.r.contentions.takeReports(contendedCanary); len(told) != 2 || g.ours("podinfo-primary") || g.write(drops) {
		t.Errorf("told %q", told)
	}
}

// What is told apart of an object is bounded, whatever somebody makes of it.
func TestOnlySoManyFieldsOfAnObjectAreToldApart(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	var c contentions
	for i := range 2 * maxContended {
		c.reset(clusterRef{}, &writeHistory{content: writeDigest{fields: fmt.Sprint(i)}}, now).Last = now
	}
	if got := len(c.objects[clusterRef{}]); got != maxContended {
		t.Errorf("%d are", got)
	}
	c.reset(clusterRef{}, &writeHistory{}, now.Add(2*contentionPolicy.Window))
	if got := len(c.objects[clusterRef{}]); got != 1 {
		t.Errorf("%d are left of those that are out of date", got-1)
	}
}

// The message named the field manager alone: nobody knew which of a hundred Kustomizations it was.
func TestWhoUndoesAWriteIsNamedByWhatTellsIt(t *testing.T) {
	now := metav1.Now()
	for name, tc := range map[string]struct {
		verb, manager string
		labels        map[string]string
		annotations   map[string]string
		want          contender
	}{
		"a Kustomization": {
			"patch", "kustomize-controller",
			map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}, nil,
			contender{"changed again and again by Kustomization flux-system/apps, as kustomize-controller (spec.selector)",
				"take it out of what the Kustomization applies, or annotate it there with kustomize.toolkit.fluxcd.io/ssa: IfNotPresent"},
		},
		"a release of Helm": {
			"patch", "helm", nil, map[string]string{"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "apps"},
			contender{"changed again and again by Helm release apps/shop, as helm (spec.selector)", "take it out of what the chart makes"},
		},
		"an Application without a namespace": {
			"patch", "argocd-controller", nil, map[string]string{"argocd.argoproj.io/instance": "shop"},
			contender{"changed again and again by Application shop, as argocd-controller (spec.selector)",
				"take it out of what the Application applies, or into its spec.ignoreDifferences"},
		},
		"somebody at a terminal, of what a Kustomization made": {
			"patch", "kubectl-edit", map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"}, nil,
			contender{"changed again and again by kubectl-edit (spec.selector)", "keep it from that"},
		},
		"nobody that is known": {"patch", "", nil, nil,
			contender{"changed again and again by somebody (spec.selector)", "keep it from that"}},
		"an update as a whole":     {"update", "x", nil, nil, contender{"changed again and again by x", "keep it from that"}},
		"one that deletes objects": {"create", "x", nil, nil, contender{"deleted again and again by somebody", "keep it from that"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Labels: tc.labels, Annotations: tc.annotations}}
			if tc.manager != "" {
				s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: tc.manager, Time: &now}}
			}
			c := contentions{self: "sluice"}
			if got := c.contenderOf(tc.verb, s, writeDigest{fields: "spec.selector"}); got != tc.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}
