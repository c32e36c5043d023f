// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/canary/provider"
)

// TestNothingIsLeftToWrite fails before `make verify` does, which needs more tools.
func TestNothingIsLeftToWrite(t *testing.T) {
	for _, p := range places {
		text, err := os.ReadFile(filepath.Join("../..", p.file))
		if err != nil {
			t.Fatal(err)
		}
		written, err := p.written(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), written); diff != "" {
			t.Errorf("%s is not what the table of providers says: make generate\n%s", p.file, diff)
		}
	}
}

// TestATargetThatRoutesMayBePatched is about what `make generate` does not write: the rules about targets are together.
func TestATargetThatRoutesMayBePatched(t *testing.T) {
	text, err := os.ReadFile("../../config/rbac/canary.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n---\n")
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict([]byte(first), role); err != nil {
		t.Fatal(err)
	}
	for _, name := range provider.Names() {
		p, _ := provider.Named(name)
		for _, kind := range p.Kinds {
			resource, _ := meta.UnsafeGuessKindToResource(kind.WithVersion(""))
			if !slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
				return slices.Contains(rule.APIGroups, kind.Group) && slices.Contains(rule.Resources, resource.Resource) &&
					slices.Contains(rule.Verbs, "patch") && slices.Contains(rule.Verbs, "create") != p.InTarget
			}) {
				t.Errorf("no rule lets the controller write %s as provider %s does", resource.GroupResource(), name)
			}
		}
	}
}

func TestOnlyThePlaceIsWritten(t *testing.T) {
	p := place{name: "kinds", lines: func() []string { return []string{"- b", "- c"} }}
	const before = "list:\n  # +sluice:providers=kinds\n  - a\n  # +sluice:end\n  - last\n# +sluice:end\n"
	got, err := p.written(before)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Replace(before, "  - a\n", "  - b\n  - c\n", 1), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for what, text := range map[string]string{
		"no place":           "list:\n",
		"another place":      "# +sluice:providers=names\n# +sluice:end\n",
		"one without an end": "# +sluice:providers=kinds\n- a\n",
	} {
		if _, err := p.written(text); err == nil {
			t.Errorf("%s: written all the same", what)
		}
	}
}

func TestExpressionsAboutProviders(t *testing.T) {
	for want, families := range map[string][]string{
		"self.provider == 'istio'":                {"istio"},
		"self.provider in ['istio', 'nginx']":     {"istio", "nginx"},
		"self.provider.startsWith('gatewayapi:')": {"gatewayapi"},
		"self.provider == 'istio' || self.provider.startsWith('gatewayapi:') || self.provider.startsWith('smi:')": {"gatewayapi", "istio", "smi"},
	} {
		if got := isOneOf(families); got != want {
			t.Errorf("%v: got %s", families, got)
		}
	}
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := and(words); got != want {
			t.Errorf("%v: got %s", words, got)
		}
	}
}
