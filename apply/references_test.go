// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

const theirDatabases = "/apis/example.com/v1/namespaces/theirs/databases/"

var manyKind = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Database"}

// manyDatabases are references to so many objects, which a server has from the second on.
func manyDatabases(e *testEnv, count int) []Reference {
	refs := make([]Reference, 0, count)
	for i := range count {
		refs = append(refs, Reference{GroupVersionKind: manyKind, Namespace: "theirs", Name: fmt.Sprintf("d%d", i)})
		if i > 0 {
			e.putDatabase(fmt.Sprintf("d%d", i))
		}
	}
	return refs
}

func (e *testEnv) putDatabase(name string) {
	u := unstructuredOf("example.com/v1", "Database", name)
	u.SetNamespace("theirs")
	e.Put(theirDatabases+name, u)
}

// readsOf counts the single objects that were read.
func (e *testEnv) readsOf(path string) (reads int) {
	for _, call := range e.Calls() {
		if strings.HasPrefix(call, "GET "+path) {
			reads++
		}
	}
	return reads
}

// More than a hundred healthChecks were refused, since each had a watch of its own.
func TestHundredsOfReferencesAreWatchedTogether(t *testing.T) {
	e := newWatchingEnv(t)
	refs := manyDatabases(e, 400)
	if _, err := e.set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{config("1")}, References: refs}); err != nil {
		t.Fatal(err)
	}
	if h := e.set.HealthOf(t.Context(), refs); len(h.Failed) > 0 || len(h.Pending) != 1 || h.Unwatched {
		t.Fatalf("%d failed, %d pending, unwatched: %v", len(h.Failed), len(h.Pending), h.Unwatched)
	}
	e.putDatabase("d0")
	e.wait(t, "the last one is there")
	if h := e.set.HealthOf(t.Context(), refs); !h.Healthy() {
		t.Errorf("health %+v", h)
	}
	if reads := e.readsOf(theirDatabases); reads > 0 {
		t.Errorf("%d objects were read that are watched", reads)
	}
}

func TestOfManyReferencesEachKindInANamespaceHasOneWatch(t *testing.T) {
	var refs []Reference
	for i := range 400 {
		refs = append(refs, Reference{GroupVersionKind: manyKind, Namespace: fmt.Sprint("ns", i%2), Name: fmt.Sprint("d", i)})
	}
	refs = append(refs, Reference{GroupVersionKind: manyKind, Namespace: "alone", Name: "d"})
	want := []watch.Target{
		{GroupVersionKind: manyKind, Namespace: "ns0", All: true}, {GroupVersionKind: manyKind, Namespace: "ns1", All: true},
		{GroupVersionKind: manyKind, Namespace: "alone", Name: "d"},
	}
	if got := referenceTargets(refs, nil); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("targets %v, want %v", got, want)
	}
	for i := range refs {
		refs[i].Namespace = fmt.Sprint("ns", i)
	}
	if got := referenceTargets(refs, nil); len(got) != maxReferenceWatches {
		t.Errorf("%d watches of objects in as many namespaces, want %d", len(got), maxReferenceWatches)
	}
}

// What may not be watched is read: of hundreds, each look read all of them, every five seconds.
func TestOfManyThatCannotBeWatchedEachLookReadsSome(t *testing.T) {
	e := newTestEnv(t)
	refs := manyDatabases(e, 450)
	e.putDatabase("d0")
	if _, err := e.set.Apply(t.Context(), Request{References: refs}); err != nil {
		t.Fatal(err)
	}
	for look, want := range []struct{ pending, reads int }{{250, 200}, {50, 200}, {0, 50}, {0, 200}} {
		h := e.set.HealthOf(t.Context(), refs)
		if reads := e.readsOf(theirDatabases); len(h.Pending) != want.pending || reads != want.reads || len(h.Failed) > 0 {
			t.Errorf("look %d: %d pending after %d reads, want %+v", look, len(h.Pending), reads, want)
		}
		e.clock.SetTime(e.clock.Now().Add(decide.UnwatchedInterval))
	}
	e.Delete(theirDatabases + "d449") // it is seen within a round
	for range 3 {
		if h := e.set.HealthOf(t.Context(), refs); len(h.Pending) == 1 {
			return
		}
		e.clock.SetTime(e.clock.Now().Add(decide.UnwatchedInterval))
	}
	t.Error("nobody noticed that an object is gone")
}

func TestWhetherManyMayBeReadIsAskedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		// allowed is what the account may get: "" is all, "none", or a name.
		allowed       string
		asked, failed int
	}{
		"all of the kind": {asked: 1},
		"none of them":    {allowed: "none", asked: 1 + maxRefused, failed: 300},
		"a few by name":   {allowed: "d5", asked: 1 + maxRefused + 1, failed: 299},
	} {
		t.Run(name, func(t *testing.T) {
			e := newWatchingEnv(t)
			e.Put("/api/v1/namespaces/ns/serviceaccounts/poor", unstructuredOf("v1", "ServiceAccount", "poor"))
			asked := 0
			e.Hook = func(r apiserver.Request) error {
				if r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/selfsubjectaccessreviews") {
					asked++
					spec := r.Body.Object["spec"].(map[string]any)["resourceAttributes"].(map[string]any)
					name, _ := spec["name"].(string)
					r.Body.Object["status"] = map[string]any{"allowed": tc.allowed == "" || name == tc.allowed}
				}
				return nil
			}
			refs := manyDatabases(e, 300)
			e.putDatabase("d0")
			request := Request{Impersonation: Impersonation{Namespace: "ns", ServiceAccount: "poor"}, References: refs}
			if _, err := e.set.Apply(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if h := e.set.HealthOf(t.Context(), refs); len(h.Failed) != tc.failed || len(h.Pending) > 0 {
					t.Errorf("%d failed, %d pending, want %d failed", len(h.Failed), len(h.Pending), tc.failed)
				}
			}
			if asked != tc.asked {
				t.Errorf("asked %d times, want %d", asked, tc.asked)
			}
		})
	}
}
