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
	on := []objectRef{{clusterKind{schema.GroupVersionKind{Version: "v1", Kind: "Service"}, workloadCluster}, contendedCanary}}
	for i := range contentionPolicy.Repairs {
		if !g.ours("podinfo-primary") || (g.r.contentions.about(on) != "") != (i == contentionPolicy.Repairs-1) {
			t.Fatalf("repair %d: %q", i, g.r.contentions.about(on))
		}
		g.theirs()
	}
	want := "Service test/podinfo is changed again and again by helm: it is repaired after growing pauses; " +
		"keep it from that, or leave the object to this Canary"
	told, again := g.r.contentions.takeReports(contendedCanary), g.r.contentions.takeReports(contendedCanary)
	if len(told) != 1 || told[0] != want || len(again) > 0 {
		t.Errorf("told %q", told)
	}
	if g.ours("podinfo-primary") || g.r.contentions.pause(contendedCanary) != contentionPolicy.First {
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
	for range contentionPolicy.Repairs {
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
	for range 2 * contentionPolicy.Repairs {
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
	for range 2 * contentionPolicy.Repairs {
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
	for i := range contentionPolicy.Repairs {
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
		c.begin(objectRef{}, &contended{content: content{fields: fmt.Sprint(i)}}, now).Last = now
	}
	if got := len(c.objects[objectRef{}]); got != maxContended {
		t.Errorf("%d are", got)
	}
	c.begin(objectRef{}, &contended{}, now.Add(2*contentionPolicy.Window))
	if got := len(c.objects[objectRef{}]); got != 1 {
		t.Errorf("%d are left of those that are out of date", got-1)
	}
}
