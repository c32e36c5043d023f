// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

var (
	databases  = schema.GroupKind{Group: "example.com", Kind: "Database"}
	databaseAt = "/apis/example.com/v1/namespaces/ns/databases/d"
)

func refusal(list ...*field.Error) error { return apierrors.NewInvalid(databases, "d", list) }

func denied(code int32, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Message: message,
		Reason: map[int32]metav1.StatusReason{400: metav1.StatusReasonBadRequest, 403: metav1.StatusReasonForbidden}[code],
	}}
}

// newImmutableEnv has the object, and refuses to change it.
func newImmutableEnv(t *testing.T, change, creation error) *testEnv {
	e := newTestEnv(t)
	before := unstructuredOf("example.com/v1", "Database", "d")
	before.SetAnnotations(map[string]string{"is": "before"})
	e.Put(databaseAt, before)
	e.Hook = func(r apiserver.Request) error {
		method, path, dry := r.Method, r.Path, r.DryRun
		switch {
		case method == http.MethodPatch && e.Peek(path) != nil:
			return change
		case method == http.MethodPost && dry == "All":
			return creation
		}
		return nil
	}
	return e
}

func database() *unstructured.Unstructured {
	u := unstructuredOf("example.com/v1", "Database", "d")
	u.SetNamespace("ns")
	return u
}

func TestWhatCannotBeChangedIsRecreated(t *testing.T) {
	path := field.NewPath("spec", "zone")
	tests := map[string]struct {
		change, creation error
		recreated        bool
	}{
		"a field that says it is immutable": {change: refusal(field.Invalid(path, "y", "field is immutable")), recreated: true},
		"a field of which updates are forbidden": {
			change:    refusal(field.Forbidden(path, "updates to parameters are forbidden.")),
			recreated: true,
		},
		"a reference that cannot change":    {change: refusal(field.Invalid(path, "y", "cannot change roleRef")), recreated: true},
		"a rule in the words of its author": {change: refusal(field.Invalid(path, "y", "zone is fixed once set")), recreated: true},
		"a webhook that denies the change": {
			change:    denied(403, `admission webhook "v.example.com" denied the request: zone stays`),
			recreated: true,
		},
		"a policy that denies the change": {
			change:    denied(403, `ValidatingAdmissionPolicy 'zones' with binding 'zones' denied request: zone stays`),
			recreated: true,
		},
		"a webhook that denies the change with a status of its own": {
			change: denied(409, `admission webhook "v.example.com" denied the request: zone stays`), recreated: true,
		},
		"a policy that denies the change as too large": {
			change: denied(413, `ValidatingAdmissionPolicy 'zones' with binding 'zones' denied request: zone stays`), recreated: true,
		},
		"a webhook that has trouble": {change: denied(503, `admission webhook "v.example.com" denied the request: no leader`)},
		"a new state that is refused as well": {
			change:   refusal(field.Invalid(path, 99999, "too large")),
			creation: refusal(field.Invalid(path, 99999, "too large")),
		},
		"a webhook that cannot be asked": {
			change:   refusal(field.Invalid(path, "y", "field is immutable")),
			creation: denied(400, "admission webhook does not support dry run"),
		},
		"a namespace that takes no new objects": {
			change:   refusal(field.Invalid(path, "y", "field is immutable")),
			creation: denied(403, "the namespace is being terminated"),
		},
		"a missing right": {
			change: denied(403, `databases "d" is forbidden: User "x" cannot patch resource "databases"`),
		},
		"a server that has trouble":               {change: denied(500, "etcdserver: the field is immutable, no leader")},
		"an object that is not the one in source": {change: apierrors.NewConflict(schema.GroupResource{}, "d", errors.New("uid mismatch"))},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newImmutableEnv(t, tc.change, tc.creation)
			_, err := e.set.Apply(t.Context(), Request{Recreate: RecreateAll, Objects: []*unstructured.Unstructured{database()}})
			if (err == nil) != tc.recreated {
				t.Errorf("Apply = %v", err)
			}
			if deleted := slices.Contains(e.Calls(), "DELETE "+databaseAt); deleted != tc.recreated {
				t.Errorf("deleted = %v", deleted)
			}
			if e.Get(databaseAt) == nil {
				t.Error("the object is gone")
			}
		})
	}
}

func TestWithoutForceTheWayOutIsNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		creation error
		says     bool
	}{
		"what cannot be changed": {says: true},
		"what is wrong anyway":   {creation: refusal(field.Invalid(field.NewPath("spec"), "y", "no"))},
	} {
		t.Run(name, func(t *testing.T) {
			e := newImmutableEnv(t,
				refusal(field.Forbidden(field.NewPath("spec"), "pod updates may not change fields other than image")), tc.creation)
			_, err := e.set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{database()}})
			if err == nil || strings.Contains(err.Error(), "spec.force") != tc.says || errors.Is(err, ErrImmutable) != tc.says {
				t.Errorf("Apply = %v", err)
			}
			if slices.Contains(e.Calls(), "DELETE "+databaseAt) {
				t.Error("it was deleted without force")
			}
		})
	}
}

func TestWhatIsHeldByFinalizersComesBack(t *testing.T) {
	e := newImmutableEnv(t, refusal(field.Forbidden(field.NewPath("spec"), "no")), nil)
	held := e.Get(databaseAt)
	held.SetFinalizers([]string{"example.com/backup"})
	e.Put(databaseAt, held)
	_, err := e.set.Apply(t.Context(), Request{Recreate: RecreateAll, Objects: []*unstructured.Unstructured{database()}})
	want := "Database/ns/d is being deleted in order to recreate it, and waits for the finalizers example.com/backup"
	if !errors.Is(err, ErrTerminating) || err.Error() != want {
		t.Errorf("Apply = %v, want %s", err, want)
	}
}

func TestAsNewLeavesOutWhatTheLiveOneHolds(t *testing.T) {
	service := func(spec map[string]any) *unstructured.Unstructured {
		u := unstructuredOf("v1", "Service", "s")
		u.Object["spec"] = spec
		return u
	}
	port := func(node int64) map[string]any {
		return map[string]any{"port": int64(80), "nodePort": node}
	}
	live := service(map[string]any{"clusterIP": "10.0.0.1", "ports": []any{port(30001)}})
	got := asNew(service(map[string]any{"clusterIP": "10.0.0.1", "ports": []any{port(30001), port(30002)}}), live)["spec"].(map[string]any)
	if _, ok := got["clusterIP"]; ok {
		t.Error("the address of the live one is asked for, which is taken")
	}
	if ports := portsOf(got); ports[0]["nodePort"] != nil || ports[1]["nodePort"] == nil {
		t.Errorf("ports = %v", ports)
	}
	other := asNew(service(map[string]any{"clusterIP": "10.0.0.2"}), live)["spec"].(map[string]any)
	if other["clusterIP"] != "10.0.0.2" {
		t.Error("another address is not asked for")
	}
}

// A real failure beside an object that was about to be recreated was told as no failure.
func TestATerminationHidesNoFailure(t *testing.T) {
	terminating, failure := fmt.Errorf("PersistentVolume/a %w, and waits", ErrTerminating), errors.New("RoleBinding/b apply failed")
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"one termination":              {terminating, true},
		"two terminations":             {errors.Join(terminating, terminating), true},
		"one, with what changed":       {fmt.Errorf("%w\nc configured", errors.Join(terminating)), true},
		"a failure beside it":          {errors.Join(terminating, failure), false},
		"a failure beside it, wrapped": {fmt.Errorf("%w\nc configured", errors.Join(failure, terminating)), false},
		"a failure alone":              {failure, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := OnlyTerminating(tc.err); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// What others had added was taken for an immutable field, also where the API server would have
// accepted the change without it.
func TestARefusalThatIsAboutOthersFieldsNamesThem(t *testing.T) {
	for name, tc := range map[string]struct {
		replacing error
		says      string
		immutable bool
	}{
		"accepted without them": {says: "apply failed with fields that others have added (mesh-injector): "},
		"refused without them": {
			replacing: refusal(field.Forbidden(field.NewPath("spec"), "no")), immutable: true,
			says: "others have added (mesh-injector), remove those",
		},
		"nobody may ask": {
			replacing: denied(403, "cannot update resource"), immutable: true, says: "others have added (mesh-injector), remove those",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newImmutableEnv(t, refusal(field.Required(field.NewPath("spec", "ports").Index(1).Child("name"), "")), nil)
			refuse := e.Hook
			e.Hook = func(r apiserver.Request) error {
				if r.Method == http.MethodPut {
					return tc.replacing
				}
				return refuse(r)
			}
			live := e.Get(databaseAt)
			live.SetManagedFields([]metav1.ManagedFieldsEntry{
				{Manager: "mesh-injector", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)},
				{Manager: "status-writer", Subresource: "status"},
			})
			e.Put(databaseAt, live)
			_, err := e.set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{database()}})
			wantSays(t, err, []string{tc.says, "set spec.force"})
			if errors.Is(err, ErrImmutable) != tc.immutable || slices.Contains(e.Calls(), "PUT "+databaseAt) {
				t.Errorf("immutable is %v, %v", errors.Is(err, ErrImmutable), err)
			}
			if _, err := e.set.Apply(t.Context(), Request{Recreate: RecreateAll, Objects: []*unstructured.Unstructured{database()}}); err != nil {
				t.Errorf("with force: %v", err)
			}
		})
	}
}
