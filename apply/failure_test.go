// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/rest"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

var errTrouble = apierrors.NewInternalError(errors.New("etcd has trouble"))

// fails answers the requests of a method with an error, but for the first few.
func fails(method string, after int, err error) apiserver.Hook {
	seen := 0
	return func(r apiserver.Request) error {
		if r.Method == method && r.DryRun == "" {
			if seen++; seen > after {
				return err
			}
		}
		return nil
	}
}

// edited is a ConfigMap with fields that somebody else edited.
func edited(u *unstructured.Unstructured) *unstructured.Unstructured {
	u.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:theirs":{}}}`),
	}})
	return u
}

// wantSays fails unless an error has all texts.
func wantSays(t *testing.T, err error, texts []string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not say %q", err, text)
		}
	}
}

// TestWhatTheAPIServerAnswersIsTold answers a step of an apply with an error.
func TestWhatTheAPIServerAnswersIsTold(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "c", errors.New("field manager"))
	invalid := refusal(field.Invalid(field.NewPath("data"), "y", "no"))
	formerly := func(r apiserver.Request) { // others' fields are in the answer to an apply
		if r.Method == http.MethodPatch && r.Body.Object != nil {
			edited(r.Body)
		}
	}
	refusesTakeOver := func(err error) func() apiserver.Hook { // the patch of managed fields has no object
		return func() apiserver.Hook {
			return func(r apiserver.Request) error {
				formerly(r)
				if r.Method == http.MethodPatch && r.Body.Object == nil {
					return err
				}
				return nil
			}
		}
	}
	tests := map[string]struct {
		there *unstructured.Unstructured
		// unknown means that no informer can tell whether the object is new.
		unknown bool
		hook    func() apiserver.Hook
		says    []string
	}{
		"the apply of a new object": {
			hook: func() apiserver.Hook { return fails(http.MethodPatch, 0, errTrouble) },
			says: []string{"ConfigMap/ns/c apply failed: ", "etcd has trouble"},
		},
		"a new object that is refused as it is": {
			unknown: true,
			hook:    func() apiserver.Hook { return fails(http.MethodPatch, 0, invalid) }, says: []string{"data: Invalid value"},
		},
		"the apply of an object that is there": {
			there: config("theirs"), hook: func() apiserver.Hook { return fails(http.MethodPatch, 0, errTrouble) },
			says: []string{"etcd has trouble"},
		},
		"the look at an object": {
			hook: func() apiserver.Hook { return fails(http.MethodGet, 0, errTrouble) }, says: []string{"etcd has trouble"},
		},
		"the look at an object whose apply conflicts": {
			unknown: true,
			hook: func() apiserver.Hook {
				read := fails(http.MethodGet, 0, errTrouble)
				return func(r apiserver.Request) error {
					if r.Method == http.MethodPatch {
						return conflict
					}
					return read(r)
				}
			}, says: []string{"field manager", "etcd has trouble"},
		},
		"the apply that takes a conflict's fields": {
			unknown: true, there: config("theirs"),
			hook: func() apiserver.Hook {
				tries := 0
				return func(r apiserver.Request) error {
					if r.Method != http.MethodPatch {
						return nil
					}
					if tries++; tries == 1 {
						return conflict
					}
					return errTrouble
				}
			}, says: []string{"etcd has trouble"},
		},
		"the patch of others' fields": {
			hook: refusesTakeOver(errTrouble), says: []string{"taking over managed fields: ", "etcd has trouble"},
		},
		"the patch of others' fields of an object that is there": {
			there: config("theirs"),
			hook:  refusesTakeOver(errTrouble), says: []string{"taking over managed fields: ", "etcd has trouble"},
		},
		"the apply after that patch": {
			hook: func() apiserver.Hook {
				patched := false
				return func(r apiserver.Request) error {
					switch formerly(r); {
					case r.Method == http.MethodPatch && r.Body.Object == nil:
						patched = true
					case r.Method == http.MethodPatch && patched:
						return errTrouble
					}
					return nil
				}
			}, says: []string{"etcd has trouble"},
		},
		"others' fields that nobody can read": {
			hook: func() apiserver.Hook {
				return func(r apiserver.Request) error {
					if r.Method == http.MethodPatch && r.Body.Object != nil {
						edited(r.Body)
						entries := r.Body.GetManagedFields()
						entries[0].FieldsV1 = metav1.NewFieldsV1(`{"x":{}}`)
						r.Body.SetManagedFields(entries)
					}
					return nil
				}
			}, says: []string{"reading managed fields: "},
		},
		"an object that is written faster than it can be looked at": {
			hook: refusesTakeOver(conflict), says: []string{"written faster than it can be looked at"},
		},
		"giving up what asks to be left alone": {
			unknown: true, there: config("theirs"),
			hook: func() apiserver.Hook {
				tries := 0
				return func(r apiserver.Request) error {
					if r.Method == http.MethodPatch {
						annotate(r.Body, profile.ReconcileKey, "disabled")
						if tries++; tries > 1 {
							return errTrouble
						}
					}
					return nil
				}
			}, says: []string{"etcd has trouble"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newWatchingEnv(t)
			e.ForbidsLists.Store(!tc.unknown)
			if tc.there != nil {
				e.Put(configAt, tc.there)
			}
			e.Hook = tc.hook()
			_, err := e.set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{config("ours")}})
			wantSays(t, err, tc.says)
		})
	}
}

func TestWhatFailsWhileAnObjectIsRecreatedIsTold(t *testing.T) {
	immutable := refusal(field.Forbidden(field.NewPath("spec"), "zone stays"))
	gone := apierrors.NewNotFound(schema.GroupResource{Resource: "databases"}, "d")
	conflict := apierrors.NewConflict(schema.GroupResource{}, "d", errors.New("modified"))
	isApply := func(r apiserver.Request) bool { return r.Method == http.MethodPatch }
	tests := map[string]struct {
		hook    func(r apiserver.Request, n map[string]int) error
		says    []string
		deleted bool
	}{
		"it is gone when it is looked at, so the new state is refused": {
			hook: func(r apiserver.Request, n map[string]int) error {
				if r.Method == http.MethodGet && n[r.Method] > 1 {
					return gone
				}
				return nil
			}, says: []string{"apply failed: ", "zone stays"},
		},
		"it cannot be looked at": {
			hook: func(r apiserver.Request, n map[string]int) error {
				if r.Method == http.MethodGet && n[r.Method] > 1 {
					return errTrouble
				}
				return nil
			}, says: []string{"zone stays", "etcd has trouble"},
		},
		"it would not be accepted as a new object": {
			hook: func(r apiserver.Request, _ map[string]int) error {
				if r.Method == http.MethodPost {
					return errTrouble
				}
				return nil
			}, says: []string{"zone stays; nor would it be accepted as a new object, so it is not recreated: ", "etcd has trouble"},
		},
		"it cannot be deleted": {
			hook: func(r apiserver.Request, _ map[string]int) error {
				if r.Method == http.MethodDelete {
					return conflict
				}
				return nil
			}, says: []string{"deleting it in order to recreate it: "},
		},
		"nobody knows whether it is deleted": {
			hook: func(r apiserver.Request, n map[string]int) error {
				if r.Method == http.MethodGet && n[http.MethodDelete] > 0 {
					return errTrouble
				}
				return nil
			}, says: []string{"looking whether it is deleted in order to recreate it: "}, deleted: true,
		},
		"it cannot be created again": {
			hook: func(r apiserver.Request, n map[string]int) error {
				if isApply(r) && n[http.MethodDelete] > 0 {
					return errTrouble
				}
				return nil
			}, says: []string{"it was deleted in order to recreate it: ", "etcd has trouble"}, deleted: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newImmutableEnv(t, immutable, nil)
			n, refuses := map[string]int{}, e.Hook
			e.Hook = func(r apiserver.Request) error {
				n[r.Method]++
				if err := tc.hook(r, n); err != nil {
					return err
				}
				return refuses(r)
			}
			_, err := e.set.Apply(t.Context(), Request{Recreate: RecreateAll, Objects: []*unstructured.Unstructured{database()}})
			wantSays(t, err, tc.says)
			if gone := e.Get(databaseAt) == nil; gone != tc.deleted {
				t.Errorf("deleted = %v", gone)
			}
		})
	}
	t.Run("it goes by itself, which is as good", func(t *testing.T) {
		e := newImmutableEnv(t, immutable, nil)
		refuses := e.Hook
		e.Hook = func(r apiserver.Request) error {
			if r.Method == http.MethodDelete {
				e.Remove(databaseAt)
			}
			return refuses(r)
		}
		if _, err := e.set.Apply(t.Context(), Request{Recreate: RecreateAll, Objects: []*unstructured.Unstructured{database()}}); err != nil {
			t.Error(err)
		}
	})
	t.Run("it asked meanwhile to be left alone", func(t *testing.T) {
		e := newImmutableEnv(t, immutable, nil)
		refuses := e.Hook
		e.Hook = func(r apiserver.Request) error {
			if isApply(r) {
				e.Store(databaseAt, annotate(e.Peek(databaseAt), profile.ReconcileKey, "disabled"))
			}
			return refuses(r)
		}
		out, err := e.set.Apply(t.Context(), Request{Recreate: RecreateAll, Objects: []*unstructured.Unstructured{database()}})
		if err != nil || len(out.Changes) != 1 || out.Changes[0].Action != "skipped" {
			t.Errorf("Apply = %+v, %v", out, err)
		}
		if slices.Contains(e.Calls(), "DELETE "+databaseAt) {
			t.Error("it was deleted")
		}
	})
}

func TestWhatPruningCannotDoIsTold(t *testing.T) {
	entry := inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}, Version: "v1"}
	now := metav1.Now()
	tests := map[string]struct {
		there *unstructured.Unstructured
		hook  apiserver.Hook
		says  string        // "" when nothing fails
		want  decide.Action // unless it cannot be told
		asks  bool          // for the deletion
	}{
		"it is gone already": {want: decide.Skipped},
		"it is on its way": {
			there: func() *unstructured.Unstructured { u := config("1"); u.SetDeletionTimestamp(&now); return u }(), want: decide.Deleted,
		},
		"it cannot be looked at": {there: config("1"), hook: fails(http.MethodGet, 0, errTrouble), says: "etcd has trouble"},
		"its deletion is refused": {
			there: config("1"), hook: fails(http.MethodDelete, 0, errTrouble), says: "etcd has trouble", asks: true,
		},
		"it goes before it can be deleted": {
			there: config("1"), hook: fails(http.MethodDelete, 0, apierrors.NewNotFound(schema.GroupResource{}, "c")),
			asks: true, want: decide.Deleted,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			if tc.there != nil {
				e.Put(configAt, ownedBy(owner, tc.there))
			}
			e.Hook = tc.hook
			changes, left, err := e.set.Prune(t.Context(), Impersonation{}, []inventory.Entry{entry})
			if tc.says == "" {
				if err != nil || len(left) > 0 || len(changes) != 1 || changes[0].Entry != entry ||
					changes[0].Action != tc.want {
					t.Errorf("changes %v, left %v, %v", changes, left, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), "ConfigMap/ns/c delete failed: ") || !strings.Contains(err.Error(), tc.says) ||
				len(left) != 1 {
				t.Errorf("left %v, %v", left, err)
			}
			if asked := slices.Contains(e.Calls(), "DELETE "+configAt); asked != tc.asks {
				t.Errorf("its deletion was asked for: %v", asked)
			}
		})
	}
}

func TestWhatRemainsIsNotGuessed(t *testing.T) {
	entry := inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}, Version: "v1"}
	e := newTestEnv(t)
	e.Put(configAt, config("1"))
	e.Hook = fails(http.MethodGet, 0, errTrouble)
	if _, err := e.set.Remaining(t.Context(), Impersonation{}, []inventory.Entry{entry}); err == nil ||
		!strings.Contains(err.Error(), "looking for ConfigMap/ns/c: ") {
		t.Errorf("Remaining = %v", err)
	}
	e = newTestEnv(t)
	e.set.engine.clients.mapper = brokenMapper{e.Mapper()}
	if _, err := e.set.Remaining(t.Context(), Impersonation{}, []inventory.Entry{entry}); !errors.Is(err, errTrouble) {
		t.Errorf("with discovery in trouble: %v", err)
	}
	if _, left, err := e.set.Prune(t.Context(), Impersonation{}, []inventory.Entry{entry}); !errors.Is(err, errTrouble) || len(left) != 1 {
		t.Errorf("pruning with discovery in trouble: %v, %v", left, err)
	}
	if _, err := e.set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{config("1")}}); !errors.Is(err, errTrouble) {
		t.Errorf("applying with discovery in trouble: %v", err)
	}
}

func TestTheOwnerIsWokenWhenTheLastIsGone(t *testing.T) {
	e := newWatchingEnv(t)
	e.apply(t, config("1"))
	e.waitSeen(t, "c")
	entry := inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}, Version: "v1"}
	e.Calls()
	if left, err := e.set.Remaining(t.Context(), Impersonation{}, []inventory.Entry{entry}); err != nil ||
		!cmp.Equal(left, []string{"ConfigMap/ns/c"}) {
		t.Errorf("left %v, %v", left, err)
	}
	if calls := e.Calls(); len(calls) > 0 {
		t.Errorf("what is watched was asked for: %v", calls)
	}
	e.set.tracker.retain(nil) // so that its deletion is no drift
	e.Delete(configAt)
	e.wait(t, "it is gone")
	if left, err := e.set.Remaining(t.Context(), Impersonation{}, []inventory.Entry{entry}); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// brokenMapper is discovery in trouble.
type brokenMapper struct{ meta.RESTMapper }

func (brokenMapper) RESTMapping(schema.GroupKind, ...string) (*meta.RESTMapping, error) {
	return nil, errTrouble
}

func TestAnAnswerThatIsNoObjectIsAnError(t *testing.T) {
	e := newTestEnv(t)
	e.Put(configAt, &unstructured.Unstructured{Object: map[string]any{"message": "hello", "metadata": map[string]any{}}})
	_, err := e.set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{config("1")}})
	if err == nil || !strings.Contains(err.Error(), "decoding the API server's answer: ") {
		t.Errorf("Apply = %v", err)
	}
}

func TestClientsAreNotPacedAndSpeakJSON(t *testing.T) {
	given := &rest.Config{Host: "http://127.0.0.1:1", QPS: 5}
	made := NewClients(given, nil, "test")
	if given.QPS != 5 || given.ContentType != "" {
		t.Errorf("the configuration of others was changed: %+v", given)
	}
	if made.config.QPS >= 0 || made.config.ContentType != "application/json" || made.config.AcceptContentTypes != "application/json" {
		t.Errorf("clients are made with QPS %v and content type %q", made.config.QPS, made.config.ContentType)
	}
}
