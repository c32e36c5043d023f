// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

var (
	configMaps = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	services   = schema.GroupVersionKind{Version: "v1", Kind: "Service"}
)

// signals is a handler whose news tests wait for.
type signals struct{ health, changed chan Event }

func newSignals() signals {
	return signals{health: make(chan Event, 100), changed: make(chan Event, 100)}
}

func (s signals) HealthChanged()        { s.health <- Event{} }
func (s signals) ObjectChanged(c Event) { s.changed <- c }

func wait(t *testing.T, on <-chan Event, what string) Event {
	t.Helper()
	select {
	case c := <-on:
		return c
	case <-time.After(5 * time.Minute):
		t.Fatalf("never told: %s", what)
		return Event{}
	}
}

func newInformers(t *testing.T) (*apiserver.Server, *Informers) {
	t.Helper()
	server := apiserver.New(t)
	s, err := New(server.Config(), server.Mapper(), logr.Discard(), profile)
	if err != nil {
		t.Fatal(err)
	}
	var stopped sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	stopped.Go(func() { _ = s.Start(ctx) })
	t.Cleanup(func() { cancel(); stopped.Wait() })
	return server, s
}

func named(gvk schema.GroupVersionKind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	u.SetNamespace("ns")
	u.SetName(name)
	u.SetLabels(profile.Labels(owner))
	return u
}

func idOf(gvk schema.GroupVersionKind, name string) inventory.ID {
	return inventory.ID{Namespace: "ns", Name: name, Group: gvk.Group, Kind: gvk.Kind}
}

func TestInformersSeeWhatCarriesTheLabel(t *testing.T) {
	server, s := newInformers(t)
	server.Put("/api/v1/namespaces/ns/services/labelled", named(services, "labelled"))
	foreign := named(services, "foreign")
	foreign.SetLabels(nil)
	server.Put("/api/v1/namespaces/ns/services/foreign", foreign)
	if _, freshness := s.Observe(services, idOf(services, "labelled"), ""); freshness != decide.Unknown {
		t.Fatalf("before anybody watches: %d", freshness)
	}
	h := newSignals()
	u := s.Subscribe(owner, h)
	u.Use(t.Context(), []Target{{GroupVersionKind: services}, {GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Unknown"}}})
	u.WaitSynced(t.Context())
	tests := map[string]struct {
		name, since string
		want        decide.Freshness
	}{
		"an object with the label":             {name: "labelled", want: decide.Fresh},
		"an object without it":                 {name: "foreign", want: decide.Missing},
		"an object that is not there":          {name: "none", want: decide.Missing},
		"a version that is not seen yet":       {name: "labelled", since: "1000", want: decide.Stale},
		"the absence of what is written later": {name: "none", since: "1000", want: decide.Stale},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, got := s.Observe(services, idOf(services, tc.name), tc.since); got != tc.want {
				t.Errorf("freshness %d, want %d", got, tc.want)
			}
		})
	}
	wait(t, h.changed, "the object is there")
	server.Delete("/api/v1/namespaces/ns/services/labelled")
	if c := wait(t, h.changed, "the object was deleted"); c.Freshness != decide.Missing || c.ID != idOf(services, "labelled") {
		t.Errorf("told %+v", c)
	}
}

// Of two owners that applied an object only the one whose labels it had last was told
// when it was deleted: by that owner, which gave it up, and the other one went without.
func TestADeletionIsToldToAllWhoWatchTheKind(t *testing.T) {
	server, s := newInformers(t)
	server.Put("/api/v1/namespaces/ns/services/shared", named(services, "shared"))
	told := map[string]signals{}
	for name, target := range map[string]Target{
		owner.Name: {GroupVersionKind: services}, "second": {GroupVersionKind: services}, "of-another-kind": {GroupVersionKind: configMaps},
	} {
		told[name] = newSignals()
		u := s.Subscribe(profile.Owner("ns", name), told[name])
		u.Use(t.Context(), []Target{target})
		u.WaitSynced(t.Context())
	}
	server.Delete("/api/v1/namespaces/ns/services/shared")
	if c := wait(t, told["second"].changed, "the object was deleted"); c.Freshness != decide.Missing || c.ID != idOf(services, "shared") {
		t.Errorf("told %+v", c)
	}
	if len(told["of-another-kind"].changed) > 0 {
		t.Error("told somebody who does not watch the kind")
	}
}

// An object that was applied a moment ago was taken for one that somebody had deleted,
// when its kind was listed for the first time just then.
func TestAnInformerThatHasNotNotedItsFirstListIsBehind(t *testing.T) {
	for name, tc := range map[string]struct {
		last, since string
		want        bool
	}{
		"no version is asked for":          {"", "", false},
		"no list was noted yet":            {"", "7", true},
		"an older list":                    {"6", "7", true},
		"the list that has it":             {"7", "7", false},
		"a newer one":                      {"10", "7", false},
		"a list, and no version asked for": {"7", "", false},
	} {
		if got := isBehind(tc.last, tc.since); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOneObjectIsWatchedWhoeverOwnsIt(t *testing.T) {
	server, s := newInformers(t)
	foreign := named(services, "foreign")
	foreign.SetLabels(nil)
	server.Put("/api/v1/namespaces/ns/services/foreign", foreign)
	u := s.Subscribe(owner, newSignals())
	u.Use(t.Context(), []Target{{GroupVersionKind: services, Namespace: "ns", Name: "foreign"}})
	u.WaitSynced(t.Context())
	if _, freshness := s.Observe(services, idOf(services, "foreign"), ""); freshness != decide.Fresh {
		t.Errorf("freshness %d", freshness)
	}
}

func TestNoContentOfConfigurationIsAskedFor(t *testing.T) {
	server, s := newInformers(t)
	u := named(configMaps, "c")
	u.Object["data"] = map[string]any{"password": "hunter2"}
	server.Put("/api/v1/namespaces/ns/configmaps/c", u)
	h := newSignals()
	sub := s.Subscribe(owner, h)
	sub.Use(t.Context(), []Target{{GroupVersionKind: configMaps}})
	sub.WaitSynced(t.Context())
	if seen, freshness := s.Observe(configMaps, idOf(configMaps, "c"), ""); freshness != decide.Fresh || seen.Status != "Current" {
		t.Errorf("seen %+v, %d", seen, freshness)
	}
	wait(t, h.changed, "the object is there")
	server.Put("/api/v1/namespaces/ns/configmaps/d", named(configMaps, "d"))
	wait(t, h.changed, "another one came")
}

func TestAnAwaitedObjectWakes(t *testing.T) {
	server, s := newInformers(t)
	path := "/apis/apps/v1/namespaces/ns/deployments/d"
	deployment := named(deployments, "d")
	deployment.Object["spec"] = map[string]any{"replicas": int64(1)}
	deployment.Object["metadata"].(map[string]any)["generation"] = int64(1)
	server.Put(path, deployment)
	h := newSignals()
	u := s.Subscribe(owner, h)
	u.Use(t.Context(), []Target{{GroupVersionKind: deployments}})
	u.WaitSynced(t.Context())
	seen, _ := s.Observe(deployments, idOf(deployments, "d"), "")
	if seen == nil || !u.Await([]decide.Awaited{{
		GroupVersionKind: deployments,
		ID:               idOf(deployments, "d"),
		ResourceVersion:  seen.ResourceVersion,
	}}) {
		t.Fatalf("nothing to wait for: %+v", seen)
	}
	healthy := server.Get(path)
	healthy.Object["status"] = map[string]any{
		"observedGeneration": int64(1), "replicas": int64(1),
		"updatedReplicas": int64(1), "readyReplicas": int64(1), "availableReplicas": int64(1),
		"conditions": []any{map[string]any{"type": "Available", "status": "True"}},
	}
	server.Put(path, healthy)
	wait(t, h.health, "the Deployment is healthy")
	if u.Await([]decide.Awaited{{GroupVersionKind: deployments, ID: idOf(deployments, "d"), ResourceVersion: seen.ResourceVersion}}) {
		t.Error("what is healthy by now is waited for")
	}
	seen, _ = s.Observe(deployments, idOf(deployments, "d"), "")
	if !u.Await([]decide.Awaited{{
		GroupVersionKind: deployments,
		ID:               idOf(deployments, "d"),
		ResourceVersion:  seen.ResourceVersion,
		Gone:             true,
	}}) {
		t.Fatal("the termination of what is there is not waited for")
	}
	server.Delete(path)
	wait(t, h.health, "the Deployment is gone")
}

func TestAnInformerStopsWithItsLastUser(t *testing.T) {
	_, s := newInformers(t)
	a, b := s.Subscribe(owner, newSignals()), s.Subscribe(profile.Owner("ns", "other"), newSignals())
	a.Use(t.Context(), []Target{{GroupVersionKind: services}, {GroupVersionKind: configMaps}})
	b.Use(t.Context(), []Target{{GroupVersionKind: services}})
	a.Use(t.Context(), []Target{{GroupVersionKind: services}})
	if s.byTarget[Target{GroupVersionKind: configMaps}] != nil {
		t.Error("ConfigMaps are watched for nobody")
	}
	a.Close(t.Context())
	if s.byTarget[Target{GroupVersionKind: services}] == nil {
		t.Error("the informer stopped under its other user")
	}
	b.Close(t.Context())
	if len(s.byTarget)+len(s.owners)+len(s.waiting) != 0 {
		t.Errorf("left over: %v, %v, %v", s.byTarget, s.owners, s.waiting)
	}
}

func TestAForbiddenKindIsUnknownAndHoldsNobody(t *testing.T) {
	server, s := newInformers(t)
	server.ForbidsLists.Store(true)
	u := s.Subscribe(owner, newSignals())
	u.Use(t.Context(), []Target{{GroupVersionKind: services}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	u.WaitSynced(ctx)
	if ctx.Err() != nil {
		t.Error("an informer that may not list is waited for")
	}
	if _, freshness := s.Observe(services, idOf(services, "a"), ""); freshness != decide.Unknown {
		t.Errorf("freshness %d", freshness)
	}
}

// TestWhatWasDeletedBeforeAKindCouldBeListedIsLookedFor: the informer of an identity that is given the right to list later has no
// event for that, and the object stayed away until the interval was over.
func TestWhatWasDeletedBeforeAKindCouldBeListedIsLookedFor(t *testing.T) {
	server, s := newInformers(t)
	server.ForbidsLists.Store(true)
	h := newSignals()
	u := s.Subscribe(owner, h)
	u.Use(t.Context(), []Target{{GroupVersionKind: services}})
	u.WaitSynced(t.Context())
	server.ForbidsLists.Store(false)
	wait(t, h.health, "the Services can be listed")
	if _, freshness := s.Observe(services, idOf(services, "a"), ""); freshness != decide.Missing {
		t.Errorf("freshness %d", freshness)
	}
}

func TestNothingStartsAfterTheEnd(t *testing.T) {
	server := apiserver.New(t)
	s, err := New(server.Config(), server.Mapper(), logr.Discard(), profile)
	if err != nil {
		t.Fatal(err)
	}
	u := s.Subscribe(owner, newSignals())
	u.Use(t.Context(), []Target{{GroupVersionKind: services}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	u.Use(t.Context(), []Target{{GroupVersionKind: configMaps}})
	if len(s.byTarget) != 0 {
		t.Errorf("running: %v", s.byTarget)
	}
}

func TestAStatusThatPanicsIsUnknown(t *testing.T) {
	u := object("Deployment", "apps/v1", map[string]any{"status": map[string]any{"conditions": []any{"no condition"}}})
	u.SetDeletionTimestamp(&metav1.Time{})
	if got := observer.Observe(u); got.Status == "" {
		t.Errorf("status %q", got.Status)
	}
}
