// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"strings"
	"testing"

	apikustomize "github.com/fluxcd/pkg/apis/kustomize"

	"github.com/sluice-cd/sluice/internal/tree"
)

// broken is a tree whose files cannot be read.
type broken struct{ tree.Tree }

func (broken) ReadFile(string) ([]byte, error) { return nil, errors.New("the disk is on fire") }

func TestABuildThatCouldNotReadItsSourceIsTriedAgain(t *testing.T) {
	whole := treeOf(t, map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"})
	_, err := Build(broken{whole}, Spec{})
	if err == nil || IsRefused(err) || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("refused for ever: %v", err)
	}
	if _, err := Build(whole, Spec{}); err != nil {
		t.Fatal(err)
	}
}

func TestAFieldOfTheSpecIsNamedAndNotKustomizesPlugin(t *testing.T) {
	good := apikustomize.Patch{Patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: y}\n"}
	tests := map[string]struct {
		spec Spec
		says string
	}{
		"a patch that is no YAML": {Spec{Patches: []apikustomize.Patch{good, {Patch: "a:\n\tb: c"}}}, "spec.patches[1]: decoding patch: "},
		"a patch that is a word":  {Spec{Patches: []apikustomize.Patch{{Patch: "replicas"}}}, "spec.patches[0]: patch is neither"},
		"operations in brackets that are not JSON": {
			Spec{Patches: []apikustomize.Patch{good, {Patch: "[{op: remove, path: /data}]", Target: &apikustomize.Selector{Name: "a"}}}},
			"spec.patches[1]: a JSON 6902 patch in brackets has to be JSON",
		},
		"operations without a target": {
			Spec{Patches: []apikustomize.Patch{good, good, {Patch: "[{op: remove, path: /data}]"}}},
			"spec.patches[2]: a JSON 6902 patch needs a target",
		},
		"a patch of an object that is not there": {
			Spec{Patches: []apikustomize.Patch{good, {Patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: none}\n"}, good}},
			"kustomize build failed: spec.patches[1]: no resource matches the patch of ConfigMap none: its kind",
		},
		"an operation that does not apply": {
			Spec{Patches: []apikustomize.Patch{good, good, remove("/data/x"), good, remove("/data/none"), good}},
			"kustomize build failed: spec.patches[4]: error in remove for path: '/data/none'",
		},
		"an operation that another patch keeps from applying": {
			Spec{Patches: []apikustomize.Patch{good, remove("/data/x"), remove("/data/x")}},
			"kustomize build failed: spec.patches[2]: error in remove for path: '/data/x'",
		},
		"what fails with and without patches": {
			Spec{Path: "broken", Patches: []apikustomize.Patch{good}}, "broken/kustomization.yaml: resources: the source has no broken/none.yaml",
		},
		"a component that is not there": {Spec{Components: []string{"none"}}, "spec.components[0] (none): the source has no such directory"},
		"a component that is not a path": {
			Spec{Components: []string{"https://example.com/x"}}, "spec.components[0] (https://example.com/x): remote bases",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			source := treeOf(t, map[string]string{
				"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
				"kustomization.yaml": "resources: [a.yaml]\n" +
					"patches: [{patch: '[{\"op\":\"test\",\"path\":\"/kind\",\"value\":\"ConfigMap\"}]', target: {name: a}}]\n",
				"broken/kustomization.yaml": "resources: [none.yaml]\n",
			})
			_, err := Build(source, tc.spec)
			if err == nil || !strings.HasPrefix(err.Error(), tc.says) || !IsRefused(err) {
				t.Errorf("%v, want %s", err, tc.says)
			}
		})
	}
}

func remove(path string) apikustomize.Patch {
	return apikustomize.Patch{Patch: `[{"op": "remove", "path": "` + path + `"}]`, Target: &apikustomize.Selector{Name: "a"}}
}
