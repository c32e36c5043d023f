// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/apply/decide"
)

func TestAllObjectsOfAKindAreSeenWhoeverAppliedThem(t *testing.T) {
	server, s := newInformers(t)
	foreign := named(services, "foreign")
	foreign.SetLabels(nil)
	server.Put("/api/v1/namespaces/ns/services/foreign", foreign)
	u := s.Subscribe(owner, newSignals())
	u.Use(t.Context(), []Target{{GroupVersionKind: services, Namespace: "ns", All: true}, {GroupVersionKind: services}})
	u.WaitSynced(t.Context())
	for name, want := range map[string]decide.Freshness{"foreign": decide.Fresh, "none": decide.Missing} {
		if _, got := u.ObserveReference(services, idOf(services, name)); got != want {
			t.Errorf("%s: freshness %d, want %d", name, got, want)
		}
	}
}

// An object that another informer sees only with the label was taken for missing where there was
// no room to watch it.
func TestWhatThereIsNoRoomToWatchIsUnknown(t *testing.T) {
	server, s := newInformers(t)
	for _, name := range []string{"first", "second"} {
		foreign := named(services, name)
		foreign.SetLabels(nil)
		server.Put("/api/v1/namespaces/ns/services/"+name, foreign)
	}
	s.references["ns"] = &Quota{Targets: 1, Bytes: 1 << 20}
	u := s.Subscribe(owner, newSignals())
	u.Use(t.Context(), []Target{
		{GroupVersionKind: services}, {GroupVersionKind: services, Namespace: "ns", Name: "first"},
		{GroupVersionKind: services, Namespace: "ns", Name: "second"},
	})
	u.WaitSynced(t.Context())
	for name, want := range map[string]decide.Freshness{"first": decide.Fresh, "second": decide.Unknown} {
		if _, got := u.ObserveReference(services, idOf(services, name)); got != want {
			t.Errorf("%s: freshness %d, want %d", name, got, want)
		}
	}
	elsewhere := s.Subscribe(profile.Owner("other", "app"), newSignals())
	elsewhere.Use(t.Context(), []Target{{GroupVersionKind: services, Namespace: "ns", Name: "second"}})
	elsewhere.WaitSynced(t.Context())
	if _, got := elsewhere.ObserveReference(services, idOf(services, "second")); got != decide.Fresh {
		t.Errorf("the owner of another namespace has no room of its own: freshness %d", got)
	}
	u.Close(t.Context())
	elsewhere.Close(t.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.references) > 0 {
		t.Errorf("room that nobody uses is kept: %v", s.references)
	}
}

func TestAllObjectsOfAKindThatAreTooManyAreUnknown(t *testing.T) {
	server, s := newInformers(t)
	big := named(services, "big")
	big.SetLabels(nil)
	big.SetAnnotations(map[string]string{"a": strings.Repeat("x", 2000)})
	server.Put("/api/v1/namespaces/ns/services/big", big)
	s.references["ns"] = &Quota{Targets: 10, Bytes: 1000}
	told := newSignals()
	u := s.Subscribe(owner, told)
	u.Use(t.Context(), []Target{{GroupVersionKind: services, Namespace: "ns", All: true}, {GroupVersionKind: services}})
	wait(t, told.health, "there is too much to watch")
	u.WaitSynced(t.Context())
	if _, got := u.ObserveReference(services, idOf(services, "big")); got != decide.Unknown {
		t.Errorf("freshness %d", got)
	}
}
