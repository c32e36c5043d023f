// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

var nobody = Impersonation{Namespace: "ns", ServiceAccount: "nope"}

// forbids lets through what is asked about accounts, and what allowed names.
func forbids(allowed string) apiserver.Hook {
	return func(r apiserver.Request) error {
		switch {
		case strings.Contains(r.Path, "/serviceaccounts/"), allowed != "" && strings.HasSuffix(r.Path, allowed):
			return nil
		case strings.HasSuffix(r.Path, "/selfsubjectaccessreviews"):
			r.Body.Object["status"] = map[string]any{"allowed": false}
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "c", errors.New("not allowed"))
	}
}

func TestAMissingServiceAccountIsNotAWallOfRefusals(t *testing.T) {
	const missing = "ServiceAccount ns/nope does not exist: create it, or name another one in spec.serviceAccountName"
	tests := map[string]struct {
		as      Impersonation
		exists  bool
		allowed string
		says    string
		missing bool
	}{
		"one that does not exist is named once": {as: nobody, says: missing, missing: true},
		"one that exists lacks rights": {
			as:     nobody,
			exists: true,
			says:   "ConfigMap/ns/c apply failed as system:serviceaccount:ns:nope: ",
		},
		"one that a binding is ahead of lacks rights for a few": {as: nobody, allowed: "/d", says: "ConfigMap/ns/c apply failed as"},
		"the controller is no service account":                  {says: "ConfigMap/ns/c apply failed: "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			e.Hook = forbids(tc.allowed)
			if tc.exists {
				e.Put("/api/v1/namespaces/ns/serviceaccounts/nope", unstructuredOf("v1", "ServiceAccount", "nope"))
			}
			_, err := e.set.Apply(t.Context(), Request{Impersonation: tc.as, Objects: []*unstructured.Unstructured{config("1"), named("d")}})
			if err == nil || !strings.HasPrefix(err.Error(), tc.says) || errors.Is(err, ErrNoAccount) != tc.missing {
				t.Errorf("%v, want %q", err, tc.says)
			}
			if tc.missing && err.Error() != missing {
				t.Errorf("it says more: %v", err)
			}
		})
	}
}

func TestAMissingServiceAccountIsNamedWhereverItIsUsed(t *testing.T) {
	e := newTestEnv(t)
	e.Hook = forbids("")
	stale := inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}, Version: "v1"}
	_, left, err := e.set.Prune(t.Context(), nobody, []inventory.Entry{stale})
	if !errors.Is(err, ErrNoAccount) || len(left) != 1 {
		t.Errorf("prune: %v, left %v", err, left)
	}
	refs := []Reference{{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Namespace: "ns", Name: "other"}}
	if _, err := e.set.Apply(t.Context(), Request{Impersonation: nobody, References: refs}); err != nil {
		t.Fatal(err)
	}
	if h := e.set.HealthOf(t.Context(), refs); len(h.Failed) != 1 || !strings.Contains(h.Failed[0], "ServiceAccount ns/nope does not exist") {
		t.Errorf("health: %+v", h)
	}
}

func TestWhatCannotBePlacedComesWithARemedy(t *testing.T) {
	tests := map[string]struct {
		object *unstructured.Unstructured
		says   string
	}{
		"a namespace that nobody set": {
			unstructuredOf("apps/v1", "Deployment", "x"),
			"Deployment/x namespace not specified: set metadata.namespace in its manifest, or spec.targetNamespace for all objects",
		},
		"a kind that nobody serves": {
			unstructuredOf("apps/v1", "Deploymnt", "x"),
			`Deploymnt/x: no matches for kind "Deploymnt" in version "apps/v1": correct apiVersion and kind in its ` +
				`manifest, or install the definition of its kind first`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newTestEnv(t).set.Apply(t.Context(), Request{Objects: []*unstructured.Unstructured{tc.object}})
			if err == nil || err.Error() != tc.says {
				t.Errorf("%v, want %s", err, tc.says)
			}
		})
	}
}
