// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"strings"
	"testing"
)

// nestedKustomization is one with the given name, source and path.
func nestedKustomization(name, source, path string) string {
	return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name + ", namespace: apps}\n" +
		"spec: {interval: 1h, prune: true, path: " + path + ", sourceRef: {kind: GitRepository, name: " + source + "}}\n"
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: apps}\n"
}

func TestABuildGoesOnWithTheKustomizationsAmongTheObjects(t *testing.T) {
	files := map[string]string{
		"ks.yaml":               nestedKustomization("app", "fleet", "./clusters"),
		"clusters/a.yaml":       nestedKustomization("a", "fleet", "./a"),
		"clusters/self.yaml":    nestedKustomization("app", "fleet", "./clusters"),
		"a/cm.yaml":             configMap("of-a"),
		"a/b.yaml":              nestedKustomization("b", "other", "./b"),
		"clusters/z.yaml":       nestedKustomization("z", "fleet", "./z"),
		"z/cm.yaml":             configMap("of-z"),
		"elsewhere/b/cm.yaml":   configMap("of-b"),
		"elsewhere/b/back.yaml": nestedKustomization("a", "fleet", "./a"),
	}
	const sources = "GitRepository/apps/fleet=.,GitRepository/apps/other=elsewhere"
	for name, tc := range map[string]struct {
		args []string
		want []string // names of objects and of the Kustomization that applies each, in their order
		fail string
	}{
		"not unless it is asked to": {args: []string{"app", "-f", "ks.yaml"}, want: []string{"a app", "app app", "z app"}},
		"each once and before the next one, from the directory of its source": {
			args: []string{"app", "-f", "ks.yaml", "--recursive", "--local-sources", sources},
			want: []string{"a app", "app app", "z app", "b a", "of-a a", "a b", "of-b b", "of-z z"},
		},
		"only if there is a directory for the source": {
			args: []string{"app", "-f", "ks.yaml", "-r", "--local-sources", "GitRepository/apps/fleet=."},
			fail: "building Kustomization apps/b: no directory stands for GitRepository/apps/other: " +
				"add --local-sources GitRepository/apps/other=DIRECTORY",
		},
		"only if the directory is there": {
			args: []string{"app", "-f", "ks.yaml", "-r", "--local-sources", "GitRepository/apps/fleet=nowhere"},
			fail: "building Kustomization apps/a: open nowhere: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCheckout(t, files)
			text, err := offline(t, tc.args...)
			if tc.fail != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.fail) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := applied(text); strings.Join(got, ", ") != strings.Join(tc.want, ", ") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// applied are the objects of a build, each with who applies it.
func applied(text string) []string {
	var found []string
	for _, document := range strings.Split(strings.TrimSuffix(text, "---\n"), "---\n") {
		_, meta, _ := strings.Cut(document, "\nmetadata:\n")
		_, owner, _ := strings.Cut(meta, "kustomize.toolkit.fluxcd.io/name: ")
		_, name, _ := strings.Cut(meta, "\n  name: ")
		owner, _, _ = strings.Cut(owner, "\n")
		name, _, _ = strings.Cut(name, "\n")
		found = append(found, name+" "+owner)
	}
	return found
}
