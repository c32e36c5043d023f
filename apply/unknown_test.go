// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// misspelt is a Deployment whose pods stay as many as they are.
func misspelt(fields ...string) *unstructured.Unstructured {
	u := unstructuredOf("apps/v1", "Deployment", "x")
	u.SetNamespace("ns")
	spec := map[string]any{"replicas": int64(2)}
	for _, field := range fields {
		spec[field] = int64(1)
	}
	u.Object["spec"] = spec
	return u
}

func TestAMisspeltFieldIsNotDroppedInSilence(t *testing.T) {
	e := newTestEnv(t)
	steps := []struct {
		what   string
		object *unstructured.Unstructured
		says   string
	}{
		{"a new object", misspelt("replica"), `Deployment/ns/x: unknown field "spec.replica"`},
		{"the same again", misspelt("replica"), ""},
		{"another field, which changes nothing in the cluster", misspelt("replicaz"), `Deployment/ns/x: unknown field "spec.replicaz"`},
		{"none", misspelt(), ""},
		{"a status, which nobody applies", func() *unstructured.Unstructured {
			u := misspelt()
			u.Object["status"] = map[string]any{"replicas": int64(1)}
			return u
		}(), ""},
	}
	for _, step := range steps {
		got := e.apply(t, step.object).UnknownFields(shown)
		if (got == "") != (step.says == "") || !strings.Contains(got, step.says) {
			t.Errorf("%s: %q, want %q", step.what, got, step.says)
		}
	}
}
