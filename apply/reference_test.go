package apply

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestHealthOfOthers(t *testing.T) {
	const theirs = "/apis/example.com/v1/namespaces/theirs/databases/orders"
	poor := Identity{Namespace: "ns", ServiceAccount: "poor"}
	database := Reference{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Database"}, Namespace: "theirs", Name: "orders"}
	other := func(change func(*Reference)) Reference { r := database; change(&r); return r }
	tests := map[string]struct {
		as      Identity
		allowed bool
		broken  bool
		ref     Reference
		failed  string
		pending string
		secret  bool
	}{
		"the controller itself may":               {ref: database, failed: "hunter2", secret: true},
		"a service account that may":              {as: poor, allowed: true, ref: database, failed: "hunter2", secret: true},
		"a service account that may not":          {as: poor, ref: database, failed: "system:serviceaccount:ns:poor may not get Database/theirs/orders: let a role say so"},
		"a service account of which nobody knows": {as: poor, broken: true, ref: database, failed: "asking whether system:serviceaccount:ns:poor may get"},
		"no namespace":                            {ref: other(func(r *Reference) { r.Namespace = "" }), failed: "Database/orders has no namespace: set it in spec.healthChecks"},
		"a kind that nobody knows":                {ref: other(func(r *Reference) { r.Kind = "Base" }), pending: "the cluster has no kind Base in example.com/v1: install its definition"},
		"a namespace of what is in none":          {ref: Reference{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, Namespace: "ns", Name: "theirs"}, pending: "Namespace/theirs status: 'NotFound'"},
		"an object that is not there":             {ref: other(func(r *Reference) { r.Name = "none" }), pending: "Database/theirs/none status: 'NotFound'"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a, engine := newAPI(t)
			u := a.put(theirs, unstructuredOf("example.com/v1", "Database", "orders"))
			u.SetNamespace("theirs")
			u.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Stalled", "status": "True", "reason": "Failed", "message": "login with hunter2 refused"}}}
			a.hook = func(method, path, _ string, body *unstructured.Unstructured) error {
				if !strings.HasSuffix(path, "/selfsubjectaccessreviews") {
					return nil
				}
				if tc.broken {
					return apierrors.NewInternalError(errors.New("webhook"))
				}
				if method == http.MethodPost {
					body.Object["status"] = map[string]any{"allowed": tc.allowed}
				}
				return nil
			}
			owner := Owner{Namespace: "ns", Name: "app"}
			if _, err := engine.Apply(t.Context(), Request{Owner: owner, Identity: tc.as, Others: []Reference{tc.ref}}); err != nil {
				t.Fatal(err)
			}
			h := engine.HealthOf(t.Context(), owner, []Reference{tc.ref})
			if got := strings.Join(h.Failed, "; "); !strings.Contains(got, tc.failed) || (tc.failed == "") != (got == "") {
				t.Errorf("failed: %q, want %q", got, tc.failed)
			}
			if got := strings.Join(h.Pending, "; "); !strings.Contains(got, tc.pending) || (tc.pending == "") != (got == "") {
				t.Errorf("pending: %q, want %q", got, tc.pending)
			}
			said := strings.Join(slices.Concat(h.Failed, h.Pending), " ")
			if strings.Contains(said, "hunter2") != tc.secret {
				t.Errorf("said: %s", said)
			}
		})
	}
}

func TestWhatAnIdentityMayIsNotAskedAgainAndAgain(t *testing.T) {
	a, engine := newAPI(t)
	a.hook = func(_, path string, _ string, body *unstructured.Unstructured) error {
		if strings.HasSuffix(path, "/selfsubjectaccessreviews") {
			body.Object["status"] = map[string]any{"allowed": true}
		}
		return nil
	}
	owner := Owner{Namespace: "ns", Name: "app"}
	refs := []Reference{{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Namespace: "other", Name: "c"}}
	_, err := engine.Apply(t.Context(), Request{Owner: owner, Identity: Identity{Namespace: "ns", ServiceAccount: "rich"}, Others: refs})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		engine.HealthOf(t.Context(), owner, refs)
	}
	asked := 0
	for _, call := range a.calls {
		if strings.Contains(call, "selfsubjectaccessreviews") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
