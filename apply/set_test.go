package apply

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	e.ForbidsLists = true
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
func (e *testEnv) apply(t *testing.T, objects ...*unstructured.Unstructured) *Outcome {
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
	case <-time.After(10 * time.Second):
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
	at := func(version, hash string) *decide.Observed {
		return &decide.Observed{FieldHash: hash, ObjectMeta: metav1.ObjectMeta{ResourceVersion: version, Labels: profile.Labels(owner)}}
	}
	tests := map[string]struct {
		id        inventory.ID
		freshness decide.Freshness
		seen      *decide.Observed
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
			m := newMemory(newTestEnv(t).set.engine, owner, func() { woken = true })
			m.note(id, &decide.Applied{Action: decide.Created, Left: at("10", "ours")})
			if tc.applying {
				m.begin()
			}
			m.ObjectChanged(watch.Change{ID: tc.id, Freshness: tc.freshness, Seen: tc.seen})
			if woken != tc.want {
				t.Errorf("woken = %v, want %v", woken, tc.want)
			}
		})
	}
}
