// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIDs(t *testing.T) {
	tests := map[string]struct {
		id   string
		want ID
	}{
		"a namespaced object has four parts": {
			id:   "default_podinfo_apps_Deployment",
			want: ID{Namespace: "default", Name: "podinfo", Group: "apps", Kind: "Deployment"},
		},
		"an object of the core group has an empty group": {
			id:   "default_settings__ConfigMap",
			want: ID{Namespace: "default", Name: "settings", Kind: "ConfigMap"},
		},
		"a cluster-scoped object has an empty namespace": {
			id:   "_staging__Namespace",
			want: ID{Name: "staging", Kind: "Namespace"},
		},
		"a colon in a name of RBAC is two underscores": {
			id:   "_system__basic__user_rbac.authorization.k8s.io_ClusterRole",
			want: ID{Name: "system:basic:user", Group: rbacGroup, Kind: "ClusterRole"},
		},
		"a single underscore in a name stays": {
			id:   "apps_read_only_rbac.authorization.k8s.io_RoleBinding",
			want: ID{Namespace: "apps", Name: "read_only", Group: rbacGroup, Kind: "RoleBinding"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
			if back := got.String(); back != tc.id {
				t.Errorf("String() = %q, want %q", back, tc.id)
			}
		})
	}
}

func TestMalformedIDs(t *testing.T) {
	for _, id := range []string{"", "podinfo", "default_podinfo", "default_podinfo_Deployment"} {
		if _, err := Parse(id); !errors.Is(err, ErrMalformed) {
			t.Errorf("Parse(%q) = %v, want ErrMalformed", id, err)
		}
	}
}

func entry(id, version string) Entry {
	parsed, err := Parse(id)
	if err != nil {
		panic(err)
	}
	return Entry{ID: parsed, Version: version}
}

func TestDiff(t *testing.T) {
	app := entry("default_app_apps_Deployment", "v1")
	settings := entry("default_settings__ConfigMap", "v1")
	tests := map[string]struct {
		before, after, want []Entry
	}{
		"nothing before leaves nothing stale": {after: []Entry{app}},
		"what left is stale":                  {before: []Entry{app, settings}, after: []Entry{app}, want: []Entry{settings}},
		"another version is the same object": {
			before: []Entry{entry("default_app_apps_Deployment", "v1beta1")}, after: []Entry{app},
		},
		"another group is another object": {
			before: []Entry{entry("default_app_extensions_Deployment", "v1beta1")}, after: []Entry{app},
			want: []Entry{entry("default_app_extensions_Deployment", "v1beta1")},
		},
		"a duplicate is stale once": {before: []Entry{app, app}, want: []Entry{app}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Diff(tc.before, tc.after)); diff != "" {
				t.Errorf("Diff (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnionKeepsBothAndItsArguments(t *testing.T) {
	app, settings := entry("default_app_apps_Deployment", "v1"), entry("default_settings__ConfigMap", "v1")
	a := make([]Entry, 1, 4)
	a[0] = app
	if diff := cmp.Diff([]Entry{app, settings}, Union(a, []Entry{app, settings})); diff != "" {
		t.Errorf("Union (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Entry{}, a[:2][1]); diff != "" {
		t.Errorf("Union wrote into its argument:\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("default_podinfo_apps_Deployment")
	f.Add("_system__node_rbac.authorization.k8s.io_ClusterRole")
	f.Add("a_b__C")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		if err != nil {
			return
		}
		if strings.Contains(id.Namespace+id.Group+id.Kind, separator) {
			t.Fatalf("Parse(%q) left a separator in %+v", s, id)
		}
		again, err := Parse(id.String())
		if err != nil {
			t.Fatalf("Parse(%q) of %q: %v", id.String(), s, err)
		}
		if again.String() != id.String() {
			t.Fatalf("%q is read as %q the second time", id.String(), again.String())
		}
	})
}

func TestOnlyNamesOfRBACHaveColons(t *testing.T) {
	for _, kind := range []string{"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"} {
		id := ID{Name: "a:b", Group: rbacGroup, Kind: kind}
		if got, want := id.String(), "_a__b_rbac.authorization.k8s.io_"+kind; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for want, id := range map[string]ID{
		"_a:b_example.com_Role":                     {Name: "a:b", Group: "example.com", Kind: "Role"},
		"_a:b_rbac.authorization.k8s.io_Permission": {Name: "a:b", Group: rbacGroup, Kind: "Permission"},
	} {
		if got := id.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSubjectsNameTheNamespaceIfThereIsOne(t *testing.T) {
	for want, id := range map[string]ID{
		"Deployment/apps/podinfo": {Namespace: "apps", Name: "podinfo", Group: "apps", Kind: "Deployment"},
		"Namespace/staging":       {Name: "staging", Kind: "Namespace"},
	} {
		if got := id.Subject(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
