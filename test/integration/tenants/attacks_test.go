// SPDX-License-Identifier: Apache-2.0

package tenants

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// attack is an object that means harm, and what becomes of it.
type attack struct {
	// files are those of a repository NAME of the tenant's, if there are any.
	files map[string]string
	// before does what objects cannot.
	before func(*testing.T, *stage)
	// denied is what the API server says of the first object: it does not come as far
	// as the controller.
	denied string
	// operator makes the objects in place of the tenant, who may not.
	operator bool
	// objects are a template of the stage; the first one is waited for.
	objects string
	// want are parts of its Ready message; of several, one is enough. None means
	// that the object may be Ready.
	want []string
	// stalled says that it is not tried again.
	stalled bool
	// after looks at what else must not have happened.
	after func(*testing.T, *stage)
}

// attack makes all objects, and then waits for what becomes of each.
func (s *stage) attack(t *testing.T) {
	attacks := map[string]attack{}
	for _, more := range []map[string]attack{s.identities(), s.addresses(), s.programs(), s.sizes(), s.neighbours(), s.routes()} {
		for name, a := range more {
			attacks[name] = a
		}
	}
	kinds := map[string]*unstructured.Unstructured{}
	for name, a := range attacks {
		t.Run("making "+name, func(t *testing.T) {
			first := strings.Fields(a.objects) // apiVersion: v1 kind: K metadata: {name: N, ...}
			object := &unstructured.Unstructured{}
			gv, err := schema.ParseGroupVersion(first[1])
			if err != nil {
				t.Fatal(err)
			}
			object.SetGroupVersionKind(gv.WithKind(first[3]))
			object.SetName(strings.Trim(first[6], "{},"))
			kinds[name] = object
			if a.files != nil {
				s.files(t, object.GetName(), a.files)
			}
			if a.before != nil {
				a.before(t, s)
			}
			as := s.tenant
			if a.operator {
				as = s.Client
			}
			if err := s.apply(t, as, a.objects); a.denied == "" && err != nil ||
				a.denied != "" && (err == nil || !strings.Contains(err.Error(), a.denied)) {
				t.Fatalf("got %v, want %q", err, a.denied)
			}
		})
	}
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if object := kinds[name]; len(a.want) > 0 {
				s.refused(t, object, a)
			}
			if a.after != nil {
				a.after(t, s)
			}
		})
	}
}

// refused waits until an object is not Ready for one of the wanted reasons.
func (s *stage) refused(t *testing.T, object *unstructured.Unstructured, a attack) {
	t.Helper()
	said := "nothing"
	_, err := harness.Eventually(t.Context(), "refusing "+object.GetKind()+" "+object.GetName(),
		harness.Patience, func(ctx context.Context) (bool, string) {
			if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Tenant, Name: object.GetName()}, object); err != nil {
				return false, said // the deadline, for the most part
			}
			conditions := conditionsOf(object)
			ready := apimeta.FindStatusCondition(conditions, "Ready")
			if ready == nil || ready.Status != metav1.ConditionFalse || a.stalled && !apimeta.IsStatusConditionTrue(conditions, "Stalled") {
				said = fmt.Sprint(conditions)
				return false, said
			}
			said = ready.Message
			for _, want := range a.want {
				if strings.Contains(ready.Message, want) {
					return true, ""
				}
			}
			return false, said
		})
	if err != nil {
		t.Error(err)
	}
}

func conditionsOf(object *unstructured.Unstructured) []metav1.Condition {
	items, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	var found []metav1.Condition
	for _, item := range items {
		fields, _ := item.(map[string]any)
		text := func(name string) string { value, _ := fields[name].(string); return value }
		found = append(found, metav1.Condition{
			Type: text("type"), Status: metav1.ConditionStatus(text("status")), Reason: text("reason"), Message: text("message"),
		})
	}
	return found
}

// plumb runs a git command in the bare repository of the tenant's.
func (s *stage) plumb(t *testing.T, name, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = s.GitRoot + "/" + s.Tenant + "-" + name + ".git"
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com",
		"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
