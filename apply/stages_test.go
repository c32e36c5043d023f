// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func unstructuredOf(apiVersion, kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName(name)
	return u
}

// A ClusterRole that is aggregated says "rules: []" by custom, which was applied over what
// the control plane had filled in, again and again.
func TestRulesThatTheControlPlaneFillsInAreLeftToIt(t *testing.T) {
	selectors := map[string]any{"clusterRoleSelectors": []any{map[string]any{"matchLabels": map[string]any{"a": "b"}}}}
	for name, tc := range map[string]struct {
		kind, group string
		rule        any
		want        bool
	}{
		"aggregated":              {"ClusterRole", "rbac.authorization.k8s.io", selectors, false},
		"not aggregated":          {"ClusterRole", "rbac.authorization.k8s.io", nil, true},
		"aggregated from nothing": {"ClusterRole", "rbac.authorization.k8s.io", map[string]any{}, true},
		"a Role":                  {"Role", "rbac.authorization.k8s.io", selectors, true},
		"a kind of the same name": {"ClusterRole", "example.com", selectors, true},
		"what is no aggregation":  {"ClusterRole", "rbac.authorization.k8s.io", "b", true},
	} {
		t.Run(name, func(t *testing.T) {
			u := unstructuredOf(tc.group+"/v1", tc.kind, "r")
			u.Object["rules"] = []any{}
			if tc.rule != nil {
				u.Object["aggregationRule"] = tc.rule
			}
			stages, err := sortIntoStages(profile, profile.Owner("flux-system", "apps"), Request{Objects: []*unstructured.Unstructured{u}})
			if err != nil {
				t.Fatal(err)
			}
			if _, got := stages[0].objects[0].Object["rules"]; got != tc.want {
				t.Errorf("rules are applied: %v", got)
			}
		})
	}
}

func TestObjectsAreAppliedInStages(t *testing.T) {
	req := Request{
		Labels: map[string]string{"team": "a"},
		Objects: []*unstructured.Unstructured{
			unstructuredOf("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "w"),
			unstructuredOf("apps/v1", "Deployment", "d"),
			unstructuredOf("example.com/v1", "Thing", "t"),
			unstructuredOf("v1", "ConfigMap", "c"),
			unstructuredOf("v1", "ServiceAccount", "s"),
			unstructuredOf("networking.k8s.io/v1", "IngressClass", "i"),
			unstructuredOf("v1", "Namespace", "n"),
			unstructuredOf("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.example.com"),
		},
	}
	stages, err := sortIntoStages(profile, profile.Owner("flux-system", "apps"), req)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range stages {
		var kinds []string
		for _, o := range w.objects {
			kinds = append(kinds, o.GetKind())
			want := map[string]string{"team": "a", profile.NameLabel: "apps", profile.NamespaceLabel: "flux-system"}
			if diff := cmp.Diff(want, o.GetLabels()); diff != "" {
				t.Errorf("labels of %s (-want +got):\n%s", o.GetKind(), diff)
			}
		}
		if w.gate {
			kinds = append(kinds, "established")
		}
		got = append(got, strings.Join(kinds, " "))
	}
	want := []string{
		"CustomResourceDefinition Namespace established", "IngressClass established", "ServiceAccount ConfigMap",
		"Deployment Thing", "ValidatingWebhookConfiguration",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}

// A Role that the account needs to apply the rest was applied among the configuration, beside what needs it.
func TestKindsThatTheOperatorNamesAreAppliedEarly(t *testing.T) {
	early := *profile
	early.EarlyKinds = map[schema.GroupKind]struct{}{
		{Group: "rbac.authorization.k8s.io", Kind: "Role"}: {}, {Kind: "Secret"}: {}, {Kind: "Namespace"}: {},
		{Group: "example.com", Kind: "ConfigMap"}: {},
	}
	stages, err := sortIntoStages(&early, profile.Owner("flux-system", "apps"), Request{Objects: []*unstructured.Unstructured{
		unstructuredOf("rbac.authorization.k8s.io/v1", "Role", "r"), unstructuredOf("rbac.authorization.k8s.io/v1", "RoleBinding", "b"),
		unstructuredOf("v1", "ConfigMap", "c"), unstructuredOf("v1", "Secret", "s"), unstructuredOf("v1", "Namespace", "n"),
		unstructuredOf("networking.k8s.io/v1", "IngressClass", "i"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range stages {
		var kinds []string
		for _, o := range w.objects {
			kinds = append(kinds, o.GetKind())
		}
		got = append(got, strings.Join(kinds, " "))
	}
	if diff := cmp.Diff([]string{"Namespace", "IngressClass", "Role Secret", "RoleBinding ConfigMap"}, got); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}

// TestWhatWillBeAppliedIsRecordedBeforeItIs has objects of a kind that is known from its definition on only.
func TestWhatWillBeAppliedIsRecordedBeforeItIs(t *testing.T) {
	e := newTestEnv(t)
	var recorded []string
	e.Hook = func(r apiserver.Request) error {
		name := r.Path[strings.LastIndex(r.Path, "/")+1:]
		if r.Method == http.MethodPatch && !slices.Contains(recorded, name) {
			t.Errorf("%s is applied, and %v are recorded", name, recorded)
		}
		return nil
	}
	request := func() Request {
		return Request{
			Objects: []*unstructured.Unstructured{
				namespaced("ns", unstructuredOf("v1", "ConfigMap", "c")), unstructuredOf("v1", "Namespace", "n"),
				namespaced("ns", unstructuredOf("example.com/v1", "Thing", "t")),
			},
			Record: func(_ context.Context, all []inventory.Entry) error {
				recorded = nil
				for _, entry := range all {
					recorded = append(recorded, entry.Name)
				}
				return nil
			},
		}
	}
	if _, err := e.set.Apply(t.Context(), request()); err == nil || !slices.Equal(recorded, []string{"n", "c"}) {
		t.Errorf("Apply = %v; recorded %v, want what is of known kinds", err, recorded)
	}
	refused := errors.New("cannot be recorded")
	again := request()
	again.Record = func(context.Context, []inventory.Entry) error { return refused }
	e.Hook = func(r apiserver.Request) error { t.Errorf("%s %s", r.Method, r.Path); return nil }
	if _, err := e.set.Apply(t.Context(), again); !errors.Is(err, refused) {
		t.Errorf("Apply = %v", err)
	}
}

func namespaced(namespace string, u *unstructured.Unstructured) *unstructured.Unstructured {
	u.SetNamespace(namespace)
	return u
}

func TestPruneGoesInReverseOrder(t *testing.T) {
	entry := func(group, kind string) inventory.Entry {
		return inventory.Entry{ID: inventory.ID{Name: "x", Group: group, Kind: kind}, Version: "v1"}
	}
	var got []string
	for _, e := range inReverseOrder([]inventory.Entry{entry("", "Namespace"), entry("apps", "Deployment"), entry("", "ConfigMap")}) {
		got = append(got, e.Kind)
	}
	if diff := cmp.Diff([]string{"Deployment", "ConfigMap", "Namespace"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func invalid(message string) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "s", field.ErrorList{
		field.Invalid(field.NewPath("data", "password"), "hunter2", message),
	})
}

func TestExplain(t *testing.T) {
	config := &object{Unstructured: unstructuredOf("v1", "ConfigMap", "c"), id: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}}
	secret := &object{Unstructured: unstructuredOf("v1", "Secret", "s"), id: inventory.ID{Namespace: "ns", Name: "s", Kind: "Secret"}}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "c", errors.New("no"))
	tests := map[string]struct {
		object *object
		err    error
		says   []string
		hides  string
		is     error
	}{
		"the object is named": {
			object: config,
			err:    errors.New("broken"),
			says:   []string{"ConfigMap/ns/c apply failed: broken"},
		},
		"an immutable field comes with the way out": {
			object: config,
			err:    immutableError{error: invalid("field is immutable")},
			says:   []string{"spec.force", "force: enabled"},
			is:     ErrImmutable,
		},
		"a refusal names who was refused": {object: config, err: forbidden, says: []string{"system:serviceaccount:ns:deployer"}},
		"a value of a Secret is hidden": {
			object: secret,
			err:    invalid("must be longer"),
			says:   []string{"Secret/ns/s", "data.password", "Invalid"},
			hides:  "hunter2",
		},
		"a Secret's immutable field is one too": {
			object: secret,
			err:    immutableError{error: invalid("field is immutable")},
			is:     ErrImmutable,
			hides:  "hunter2",
		},
		"a nameless failure keeps its code": {
			object: secret, hides: "hunter2", says: []string{"500"},
			err: &apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: "got hunter2"}},
		},
	}
	e := newTestEnv(t)
	e.set.identity = Impersonation{Namespace: "ns", ServiceAccount: "deployer"}
	a := &applier{set: e.set}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := a.explain(tc.object, tc.err)
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if tc.hides != "" && strings.Contains(err.Error(), tc.hides) {
				t.Errorf("%q tells %q", err, tc.hides)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%q is not %q", err, tc.is)
			}
		})
	}
}
