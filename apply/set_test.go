// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/wait"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

// The owner on whose behalf tests apply, and another one.
var (
	profile = decide.NewProfile(schema.GroupKind{Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"}, "kustomize-controller")
	owner   = profile.Owner("ns", "app")
	other   = profile.Owner("ns", "other")
)

// testEnv is the set of an owner at an API server that answers no lists, so that all
// objects are read one by one.
type testEnv struct {
	*apiserver.Server
	set   *Set
	clock *clocktesting.FakePassiveClock
	woken chan struct{}
}

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	e := newWatchingEnv(t)
	e.ForbidsLists.Store(true)
	return e
}

// newWatchingEnv is a testEnv whose informers see all objects.
func newWatchingEnv(t *testing.T) *testEnv {
	t.Helper()
	e := &testEnv{
		Server: apiserver.New(t), clock: clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0)), woken: make(chan struct{}, 100),
	}
	informers, err := watch.New(e.Config(), e.Mapper(), logr.Discard(), profile)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = informers.Start(t.Context()) }()
	engine := NewEngine(profile, NewClients(e.Config(), e.Mapper(), profile.FieldManager), informers, e.clock)
	e.set = engine.Set(owner, func() { e.woken <- struct{}{} })
	return e
}

// apply applies objects, which has to succeed.
func (e *testEnv) apply(t *testing.T, objects ...*unstructured.Unstructured) *Result {
	t.Helper()
	out, err := e.set.Apply(t.Context(), Request{Objects: objects})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wait waits until the owner is woken.
func (e *testEnv) wait(t *testing.T, why string) {
	t.Helper()
	select {
	case <-e.woken:
	case <-time.After(5 * time.Minute):
		t.Fatalf("not woken: %s", why)
	}
}

// ownedBy is an object as its owner applied it.
func ownedBy(owner decide.Owner, u *unstructured.Unstructured) *unstructured.Unstructured {
	u.SetNamespace("ns")
	u.SetLabels(profile.Labels(owner))
	return u
}

func TestADriftWakesTheOwner(t *testing.T) {
	id := inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}
	at := func(version, hash string) *decide.LiveObject {
		return &decide.LiveObject{FieldHash: hash, ObjectMeta: metav1.ObjectMeta{ResourceVersion: version, Labels: profile.Labels(owner)}}
	}
	tests := map[string]struct {
		id        inventory.ID
		freshness decide.Freshness
		seen      *decide.LiveObject
		applying  bool
		want      bool
	}{
		"a change is":                            {id: id, freshness: decide.Fresh, seen: at("11", "changed"), want: true},
		"a deletion is":                          {id: id, freshness: decide.Missing, seen: at("11", "ours"), want: true},
		"what was applied itself is not":         {id: id, freshness: decide.Fresh, seen: at("10", "ours")},
		"what came before the apply is not":      {id: id, freshness: decide.Fresh, seen: at("9", "before")},
		"the deletion of a predecessor is not":   {id: id, freshness: decide.Missing, seen: at("9", "before")},
		"what comes in the middle of one is not": {id: id, freshness: decide.Fresh, seen: at("11", "changed"), applying: true},
		"somebody else's is not":                 {id: inventory.ID{Name: "x"}, freshness: decide.Fresh, seen: at("11", "changed")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			woken := false
			m := newTracker(newTestEnv(t).set.engine, owner, func() { woken = true })
			m.record(id, &decide.Applied{Action: decide.Created, Left: at("10", "ours")})
			if tc.applying {
				m.beginApply()
			}
			m.ObjectChanged(watch.Event{ID: tc.id, Freshness: tc.freshness, Seen: tc.seen})
			if woken != tc.want {
				t.Errorf("woken = %v, want %v", woken, tc.want)
			}
			// It has drifted, whatever informers see later: they may have seen it replaced.
			if drifted := m.drift(time.Now()).Worst == decide.Drifted; drifted != tc.want {
				t.Errorf("drifted = %v, want %v", drifted, tc.want)
			}
		})
	}
}

func TestWhatIsAppliedIsReported(t *testing.T) {
	e := newTestEnv(t)
	e.Put("/api/v1/namespaces/ns/configmaps/kept", annotate(named("kept"), profile.ReconcileKey, decide.Disabled))
	out := e.apply(t, config("1"), named("kept"))
	if got := ChangeLines(out.Changes); got != "ConfigMap/ns/c created" {
		t.Errorf("log %q", got)
	}
	if len(out.Entries()) != 2 {
		t.Errorf("entries %v", out.Entries())
	}
	if out := e.apply(t, config("2")); ChangeLines(out.Changes) != "ConfigMap/ns/c configured" {
		t.Errorf("log %q", ChangeLines(out.Changes))
	}
	if out := e.apply(t, config("2")); ChangeLines(out.Changes) != "" || out.Changes[0].Action != decide.Unchanged {
		t.Errorf("changes %v", out.Changes)
	}
}

func named(name string) *unstructured.Unstructured {
	u := unstructuredOf("v1", "ConfigMap", name)
	u.SetNamespace("ns")
	return u
}

func annotate(u *unstructured.Unstructured, key, value string) *unstructured.Unstructured {
	u.SetAnnotations(map[string]string{key: value})
	return u
}

func TestInformersSaveCalls(t *testing.T) {
	e := newWatchingEnv(t)
	e.apply(t, config("1"))
	if calls := e.Calls(); len(calls) != 1 || calls[0] != "PATCH "+configAt {
		t.Errorf("the first apply: %q", calls)
	}
	e.waitSeen(t, "c")
	e.apply(t, config("1"))
	if calls := e.Calls(); len(calls) > 0 {
		t.Errorf("the second apply: %q", calls)
	}
	if drift := e.set.Drift(); drift.Worst != decide.NoDrift {
		t.Errorf("drift %+v", drift)
	}
	e.apply(t)
	if len(e.set.tracker.applied) > 0 {
		t.Errorf("what left the set is remembered: %v", e.set.tracker.applied)
	}
	e.set.Close(t.Context())
}

const configAt = "/api/v1/namespaces/ns/configmaps/c"

func TestADeletedObjectDrifts(t *testing.T) {
	e := newWatchingEnv(t)
	e.apply(t, config("1"))
	e.waitSeen(t, "c")
	e.Delete(configAt)
	e.wait(t, "the object is deleted")
	if drift := e.set.Drift(); drift.Worst != decide.Drifted {
		t.Errorf("drift %+v", drift)
	}
	out := e.apply(t, config("1"))
	if ChangeLines(out.Changes) != "ConfigMap/ns/c created: somebody had deleted it" {
		t.Errorf("log %q", ChangeLines(out.Changes))
	}
}

// waitSeen waits until an informer has seen a ConfigMap.
func (e *testEnv) waitSeen(t *testing.T, name string) {
	t.Helper()
	u := named(name)
	e.poll(t, name+" is never seen", func() bool {
		_, freshness := e.set.engine.informers.Observe(u.GroupVersionKind(), inventory.IDOf(u), "")
		return freshness == decide.Fresh
	})
}

// poll waits for what informers have no event for.
func (e *testEnv) poll(t *testing.T, or string, done func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		return done(), nil
	})
	if err != nil {
		t.Fatalf("%s: %v", or, err)
	}
}

func TestARepairWaitsInAPause(t *testing.T) {
	e := newWatchingEnv(t)
	e.apply(t, config("1"))
	e.waitSeen(t, "c")
	for range decide.RepairPolicy.Burst {
		e.Delete(configAt)
		e.wait(t, "the object is deleted")
		e.apply(t, config("1"))
		e.waitSeen(t, "c")
	}
	e.Delete(configAt)
	e.wait(t, "the object is deleted again")
	drift := e.set.Drift()
	if drift.Worst != decide.NoDrift || !drift.Resume.Equal(e.clock.Now().Add(decide.RepairPolicy.InitialBackoff)) {
		t.Errorf("in the pause: %+v", drift)
	}
	e.clock.SetTime(drift.Resume)
	if drift := e.set.Drift(); drift.Worst != decide.Drifted {
		t.Errorf("after it: %+v", drift)
	}
}

func TestNothingIsTakenFromWhoAsksToBeLeftAlone(t *testing.T) {
	tests := map[string]func(r apiserver.Request) error{
		"who shares fields": func(r apiserver.Request) error {
			if r.Method == http.MethodPatch {
				return apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "c", errors.New("field manager"))
			}
			return nil
		},
		"who shares none": nil,
	}
	for name, hook := range tests {
		t.Run(name, func(t *testing.T) {
			e := newWatchingEnv(t)
			theirs := annotate(config("theirs"), profile.ReconcileKey, decide.Disabled)
			e.Put(configAt, theirs)
			e.Hook = hook
			if hook == nil { // a real API server keeps the annotation beside what is applied
				e.Hook = func(r apiserver.Request) error {
					if r.Method == http.MethodPatch {
						annotate(r.Body, profile.ReconcileKey, decide.Disabled)
					}
					return nil
				}
			}
			out := e.apply(t, config("ours"))
			if out.Changes[0].Action != decide.Skipped {
				t.Errorf("changes %v", out.Changes)
			}
		})
	}
}

func TestAConflictIsForcedWhenNobodyMinds(t *testing.T) {
	e := newWatchingEnv(t)
	e.Put(configAt, config("theirs"))
	refused := false
	e.Hook = func(r apiserver.Request) error {
		if r.Method == http.MethodPatch && !refused {
			refused = true
			return apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "c", errors.New("field manager"))
		}
		return nil
	}
	out := e.apply(t, config("ours"))
	if data := e.Get(configAt).Object["data"].(map[string]any); out.Changes[0].Action != decide.Configured || data["key"] != "ours" {
		t.Errorf("changes %v, data %v", out.Changes, data)
	}
}

func TestAnOwnerDoesNotWaitForItself(t *testing.T) {
	e := newTestEnv(t)
	e.apply(t, config("1"))
	if h := e.set.Health(t.Context()); !h.Healthy() || !h.Unwatched {
		t.Errorf("health %+v", h)
	}
	e.set.tracker.applied[owner] = &decide.Applied{}
	if h := e.set.Health(t.Context()); !h.Healthy() {
		t.Errorf("an owner waits for itself: %+v", h)
	}
	e.set.StopWaiting()
}

func TestARecreatedObjectIsAwaited(t *testing.T) {
	e := newWatchingEnv(t)
	e.apply(t, database())
	held := e.Get(databaseAt)
	held.SetFinalizers([]string{"example.com/backup"})
	e.Put(databaseAt, held)
	e.Hook = func(r apiserver.Request) error {
		if r.Method == http.MethodPatch && e.Peek(databaseAt) != nil {
			return refusal(field.Forbidden(field.NewPath("spec"), "no"))
		}
		return nil
	}
	changed := database()
	changed.Object["spec"] = map[string]any{"zone": "b"}
	request := Request{Recreate: RecreateAll, Objects: []*unstructured.Unstructured{changed}}
	if _, err := e.set.Apply(t.Context(), request); !errors.Is(err, ErrTerminating) {
		t.Fatalf("Apply = %v", err)
	}
	for len(e.woken) > 0 {
		<-e.woken
	}
	e.Delete(databaseAt)
	e.wait(t, "the object is gone")
	changed = database()
	changed.Object["spec"] = map[string]any{"zone": "b"}
	request.Objects = []*unstructured.Unstructured{changed}
	if out, err := e.set.Apply(t.Context(), request); err != nil || out.Changes[0].Action != decide.Created {
		t.Errorf("Apply = %v, %v", out, err)
	}
}
