// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func TestHealthOfOthers(t *testing.T) {
	const theirs = "/apis/example.com/v1/namespaces/theirs/databases/orders"
	poor := Impersonation{Namespace: "ns", ServiceAccount: "poor"}
	database := Reference{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Database"},
		Namespace:        "theirs",
		Name:             "orders",
	}
	other := func(change func(*Reference)) Reference { r := database; change(&r); return r }
	tests := map[string]struct {
		as      Impersonation
		allowed bool
		broken  bool
		ref     Reference
		failed  string
		pending string
		secret  bool
	}{
		"the controller itself may":  {ref: database, failed: "hunter2", secret: true},
		"a service account that may": {as: poor, allowed: true, ref: database, failed: "hunter2", secret: true},
		"a service account that may not": {
			as:     poor,
			ref:    database,
			failed: "system:serviceaccount:ns:poor may not get Database/theirs/orders: let a role say so",
		},
		"a service account of which nobody knows": {
			as:     poor,
			broken: true,
			ref:    database,
			failed: "asking whether system:serviceaccount:ns:poor may get",
		},
		"no namespace": {
			ref:    other(func(r *Reference) { r.Namespace = "" }),
			failed: "Database/orders has no namespace: set it in spec.healthChecks",
		},
		"a kind that nobody knows": {
			ref:     other(func(r *Reference) { r.Kind = "Base" }),
			pending: "the cluster has no kind Base in example.com/v1: install its definition",
		},
		"a namespace of what is in none": {
			ref:     Reference{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, Namespace: "ns", Name: "theirs"},
			pending: "Namespace/theirs status: 'NotFound'",
		},
		"an object that is not there": {
			ref:     other(func(r *Reference) { r.Name = "none" }),
			pending: "Database/theirs/none status: 'NotFound'",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			u := unstructuredOf("example.com/v1", "Database", "orders")
			u.SetNamespace("theirs")
			u.Object["status"] = map[string]any{"conditions": []any{map[string]any{
				"type":    "Stalled",
				"status":  "True",
				"reason":  "Failed",
				"message": "login with hunter2 refused",
			}}}
			e.Put(theirs, u)
			e.Put("/api/v1/namespaces/ns/serviceaccounts/poor", unstructuredOf("v1", "ServiceAccount", "poor"))
			e.Hook = func(r apiserver.Request) error {
				method, path, body := r.Method, r.Path, r.Body
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
			if _, err := e.set.Apply(t.Context(), Request{Impersonation: tc.as, References: []Reference{tc.ref}}); err != nil {
				t.Fatal(err)
			}
			h := e.set.HealthOf(t.Context(), []Reference{tc.ref})
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
	e := newTestEnv(t)
	e.Hook = func(r apiserver.Request) error {
		path, body := r.Path, r.Body
		if strings.HasSuffix(path, "/selfsubjectaccessreviews") {
			body.Object["status"] = map[string]any{"allowed": true}
		}
		return nil
	}
	refs := []Reference{{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Namespace: "other", Name: "c"}}
	_, err := e.set.Apply(t.Context(), Request{Impersonation: Impersonation{Namespace: "ns", ServiceAccount: "rich"}, References: refs})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e.set.HealthOf(t.Context(), refs)
	}
	asked := 0
	for _, call := range e.Calls() {
		if strings.Contains(call, "selfsubjectaccessreviews") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
