// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"strings"
	"testing"

	apikustomize "github.com/fluxcd/pkg/apis/kustomize"
)

// aDeployment is a Deployment with lines of its own in its spec and in its container.
func aDeployment(name, spec, container string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, labels: {app: %s}}
spec:
  selector: {matchLabels: {app: x}}
  %s
  template:
    metadata: {labels: {app: x}}
    spec:
      containers:
      - name: c
        image: ghcr.io/org/web:1.0.0
        %s
`, name, name, spec, container)
}

func TestWhatUpstreamPassesOverIsAWarning(t *testing.T) {
	web := aDeployment("web", "replicas: 1", "tty: true")
	patch := func(target string) string {
		return "resources: [web.yaml]\npatches:\n- target: {" + target + "}\n" +
			"  patch: '[{\"op\": \"test\", \"path\": \"/kind\", \"value\": \"Deployment\"}]'\n"
	}
	replace := func(target string) string {
		return "resources: [web.yaml]\nreplacements:\n- source: {kind: Deployment, name: web, fieldPath: metadata.name}\n" +
			"  targets: [{select: {" + target + "}, fieldPaths: [metadata.name]}]\n"
	}
	images := func(name string) string {
		return "resources: [web.yaml]\nimages: [{name: " + name + ", newTag: \"2\"}]\n"
	}
	for name, tc := range map[string]struct {
		files map[string]string
		spec  Spec
		says  string // "" for no warning
	}{
		"nothing is wrong": {files: map[string]string{"web.yaml": web}},
		"a misspelt field": {
			files: map[string]string{"app/web.yaml": aDeployment("web", "replica: 3", "tty: true")}, spec: Spec{Path: "app"},
			says: "Deployment/web in app/web.yaml: unknown field spec.replica, did you mean replicas? (left out)",
		},
		"a misspelt field of a renamed object in a base": {
			files: map[string]string{
				"base/web.yaml": aDeployment("web", "replica: 3", "tty: true"), "base/kustomization.yaml": "resources: [web.yaml]\n",
				"prod/kustomization.yaml": "resources: [../base]\nnamePrefix: prod-\nnamespace: shop\n",
			}, spec: Spec{Path: "prod"},
			says: "Deployment/shop/prod-web in base/web.yaml: unknown field spec.replica, did you mean replicas?",
		},
		"a longer word for a field of a container": {
			files: map[string]string{"web.yaml": aDeployment("web", "replicas: 1", "environment: []")},
			says:  "unknown field spec.template.spec.containers[0].environment, did you mean env?",
		},
		"a field that belongs elsewhere": {
			files: map[string]string{"web.yaml": aDeployment("web", "imagePullSecrets: [{name: x}]", "tty: true")},
			says:  "unknown field spec.imagePullSecrets, did you mean spec.template.spec.imagePullSecrets?",
		},
		"a field of another kind of Kubernetes": {
			files: map[string]string{"s.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {port: [{port: 80}]}\n"},
			says:  "Service/s in s.yaml: unknown field spec.port, did you mean ports?",
		},
		"a misspelt field of the kustomization file": {
			files: map[string]string{"kustomization.yaml": "resources: [web.yaml]\nresorces: [other.yaml]\n", "web.yaml": web},
			says:  "kustomization.yaml: unknown field resorces, did you mean resources? (left out)",
		},
		"fields of the kustomization file that are wrongly capitalised, and work": {
			files: map[string]string{
				"kustomization.yaml": "resources: [web.yaml]\nnameprefix: a-\npatches: [{Path: p.yaml}]\n", "web.yaml": web,
				"p.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
			},
		},
		"a misspelt field in a patch of the kustomization file": {
			files: map[string]string{
				"kustomization.yaml": "resources: [web.yaml]\npatches: [{pach: x, path: p.yaml}]\n", "web.yaml": web,
				"p.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
			},
			says: "kustomization.yaml: unknown field patches[0].pach, did you mean patch?",
		},
		"a patch of nothing": {
			files: map[string]string{"kustomization.yaml": patch("kind: Deployment, name: wbe"), "web.yaml": web},
			says:  "kustomization.yaml: patches[0]: no object matches its target (kind Deployment, name wbe); correct the target",
		},
		"a patch of a name that is only part of one": {
			files: map[string]string{"kustomization.yaml": patch("name: we"), "web.yaml": web},
			says:  "no object matches its target (name we)",
		},
		"a patch of labels that nothing has": {
			files: map[string]string{"kustomization.yaml": patch("labelSelector: app=api"), "web.yaml": web},
			says:  "no object matches its target (labels app=api)",
		},
		"a patch by labels":    {files: map[string]string{"kustomization.yaml": patch("labelSelector: app=web"), "web.yaml": web}},
		"a patch of a pattern": {files: map[string]string{"kustomization.yaml": patch("kind: Dep.*, name: w.b"), "web.yaml": web}},
		"a patch of an earlier name": {files: map[string]string{
			"kustomization.yaml": "namePrefix: a-\nnameSuffix: -b\n" + patch("name: web"), "web.yaml": web,
		}},
		"a patch of a given namespace": {files: map[string]string{
			"kustomization.yaml": "namespace: shop\n" + patch("namespace: shop"), "web.yaml": web,
		}},
		"a patch of the default namespace, and an object without one": {files: map[string]string{
			"kustomization.yaml": patch("kind: Deployment, name: web, namespace: default"), "web.yaml": web,
		}},
		"a patch of the default namespace, where an object was before it got another": {files: map[string]string{
			"kustomization.yaml": "namespace: shop\n" + patch("name: web, namespace: default"), "web.yaml": web,
		}},
		"a patch of the default namespace, where a generated object was before": {files: map[string]string{
			"kustomization.yaml": "namespace: shop\nconfigMapGenerator: [{name: g, literals: [a=b]}]\npatches:\n" +
				"- target: {name: g, namespace: default}\n  patch: '[{\"op\": \"test\", \"path\": \"/kind\", \"value\": \"ConfigMap\"}]'\n",
		}},
		"a patch of a namespace that nothing is in": {
			files: map[string]string{"kustomization.yaml": patch("name: web, namespace: shop"), "web.yaml": web},
			says:  "no object matches its target (name web, namespace shop)",
		},
		"a patch that deletes": {files: map[string]string{
			"kustomization.yaml": "resources: [web.yaml]\npatches:\n- target: {kind: Deployment}\n  patch: |\n" +
				"    $patch: delete\n    kind: Deployment\n    metadata: {name: x}\n",
			"web.yaml": web,
		}},
		"a patch of a generated object": {files: map[string]string{
			"kustomization.yaml": "configMapGenerator: [{name: g, literals: [a=b]}]\npatches:\n- target: {name: g}\n" +
				"  patch: '[{\"op\": \"test\", \"path\": \"/kind\", \"value\": \"ConfigMap\"}]'\n",
		}},
		"a patch in a component, which is made for many": {files: map[string]string{
			"kustomization.yaml": "resources: [web.yaml]\ncomponents: [c]\n", "web.yaml": web,
			"c/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages: [{name: other, newTag: x}]\n" +
				"patches:\n- target: {kind: Ingress}\n  patch: '[{\"op\": \"test\", \"path\": \"/kind\", \"value\": \"Ingress\"}]'\n",
		}},
		"a patch of the spec": {
			files: map[string]string{"kustomization.yaml": patch("name: web"), "web.yaml": web},
			spec:  Spec{Patches: []apikustomize.Patch{{Patch: `[{"op": "remove", "path": "/a"}]`, Target: &apikustomize.Selector{Name: "nope"}}}},
			says:  "spec.patches[0]: no object matches its target (name nope)",
		},
		"a replacement of nothing": {
			files: map[string]string{"kustomization.yaml": replace("kind: StatefulSet"), "web.yaml": web},
			says:  "kustomization.yaml: replacements[0], targets[0]: no object matches its target (kind StatefulSet)",
		},
		"a replacement": {files: map[string]string{"kustomization.yaml": replace("kind: Deployment"), "web.yaml": web}},
		"an image by the name of its workload": {
			files: map[string]string{"kustomization.yaml": images("web"), "web.yaml": web},
			says:  "kustomization.yaml: images[0]: no container has the image web; write its name as the manifests do",
		},
		"an image with its tag": {
			files: map[string]string{"kustomization.yaml": images("ghcr.io/org/web:1.0.0"), "web.yaml": web}, says: "",
		},
		"an image": {files: map[string]string{"kustomization.yaml": images("ghcr.io/org/web"), "web.yaml": web}},
		"an image that an overlay renames once more": {
			files: map[string]string{
				"kustomization.yaml":      "resources: [base]\nimages: [{name: b.io/x, newName: c.io/x}]\n",
				"base/kustomization.yaml": "resources: [web.yaml]\nimages: [{name: ghcr.io/org/web, newName: b.io/x}]\n", "base/web.yaml": web,
			},
		},
		"an image that is renamed twice more, last in the spec": {
			files: map[string]string{
				"kustomization.yaml":      "resources: [base]\nimages: [{name: b.io/x, newName: c.io/x}]\n",
				"base/kustomization.yaml": "resources: [web.yaml]\nimages: [{name: ghcr.io/org/web, newName: b.io/x}]\n", "base/web.yaml": web,
			}, spec: Spec{Images: []apikustomize.Image{{Name: "c.io/x", NewName: "d.io/x"}}},
		},
		"an image that a component renames first": {
			files: map[string]string{
				"kustomization.yaml":     "resources: [mid]\nimages: [{name: c.io/x, newName: d.io/x}]\n",
				"mid/kustomization.yaml": "resources: [web.yaml]\ncomponents: [c]\nimages: [{name: b.io/x, newName: c.io/x}]\n", "mid/web.yaml": web,
				"mid/c/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" +
					"images: [{name: ghcr.io/org/web, newName: b.io/x}]\n",
			},
		},
		"an image that nothing has, by its own name again": {
			files: map[string]string{"kustomization.yaml": "resources: [web.yaml]\nimages: [{name: b.io/x, newName: b.io/x}]\n", "web.yaml": web},
			says:  "kustomization.yaml: images[0]: no container has the image b.io/x",
		},
		"an image of a volume": {files: map[string]string{
			"kustomization.yaml": "resources: [web.yaml]\nimages: [{name: data.io/x, newTag: \"2\"}]\n",
			"web.yaml":           web + "      volumes: [{name: v, image: {reference: \"data.io/x:1\"}}]\n",
		}},
		"an image of a volume that is renamed and deleted": {files: map[string]string{
			"kustomization.yaml": "resources: [base]\npatches:\n- target: {kind: Deployment}\n  patch: |\n" +
				"    $patch: delete\n    kind: Deployment\n    metadata: {name: x}\n",
			"base/kustomization.yaml": "resources: [web.yaml]\nimages: [{name: data.io/x, newTag: \"2\"}]\n",
			"base/web.yaml":           web + "      volumes: [{name: v, image: {reference: \"data.io/x:1\"}}]\n",
		}},
		"an image of the spec": {
			files: map[string]string{"web.yaml": web}, spec: Spec{Images: []apikustomize.Image{{Name: "nginx", NewTag: "1"}}},
			says: "spec.images[0]: no container has the image nginx",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for how, build := range map[string]func() (*Result, error){
				"here":         func() (*Result, error) { return Build(treeOf(t, tc.files), tc.spec) },
				"in a process": func() (*Result, error) { return isolating(t).Build(t.Context(), owner, treeOf(t, tc.files), tc.spec) },
			} {
				result, err := build()
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprint(result.Warnings); (len(result.Warnings) == 0) != (tc.says == "") || !strings.Contains(got, tc.says) {
					t.Errorf("%s: %s, want %q", how, got, tc.says)
				}
			}
		})
	}
}

func TestAnErrorNamesFileObjectAndRemedy(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		path  string
		says  string
	}{
		"an object is there twice": {
			files: map[string]string{"app/a.yaml": configMap("x"), "app/b.yaml": configMap("y") + "---\n" + configMap("x")}, path: "app",
			says: "ConfigMap x is there twice, of app/a.yaml and app/b.yaml: rename or remove one of them, or list",
		},
		"an object is there twice in one file": {
			files: map[string]string{"a.yaml": configMap("x") + "---\n" + configMap("x")},
			says:  "ConfigMap x is there twice, of a.yaml: remove one of the two objects",
		},
		"a base is used twice": {
			files: map[string]string{
				"base/a.yaml": configMap("x"), "base/kustomization.yaml": "resources: [a.yaml]\n",
				"kustomization.yaml": "resources: [base, ./base]\n",
			},
			says: "ConfigMap x is there twice, of base/a.yaml: remove one of the two objects, or of the paths that lead there",
		},
		"a resource is missing": {
			files: map[string]string{"app/kustomization.yaml": "resources: [deploy.yaml]\n", "app/deployment.yaml": configMap("x")}, path: "app",
			says: "app/kustomization.yaml: resources: the source has no app/deploy.yaml",
		},
		"a resource is misspelt": {
			files: map[string]string{"app/kustomization.yaml": "resources: [deployment.yml]\n", "app/deployment.yaml": configMap("x")}, path: "app",
			says: "the source has no app/deployment.yml, did you mean deployment.yaml?",
		},
		"a patch is missing": {
			files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n", "a.yaml": configMap("x")},
			says:  "kustomization.yaml: patches: the source has no p.yaml",
		},
		"a patch in the old field is missing": {
			files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatchesStrategicMerge: [p.yaml]\n", "a.yaml": configMap("x")},
			says:  "kustomization.yaml: patchesStrategicMerge: the source has no p.yaml",
		},
		"a generator's file is missing": {
			files: map[string]string{"kustomization.yaml": "configMapGenerator: [{name: g, files: [k=f.txt]}]\n"},
			says:  "kustomization.yaml: configMapGenerator: the source has no f.txt",
		},
		"a generator's variables are missing": {
			files: map[string]string{"kustomization.yaml": "secretGenerator: [{name: g, envs: [x.env]}]\n"},
			says:  "kustomization.yaml: secretGenerator: the source has no x.env",
		},
		"a component is missing": {
			files: map[string]string{"app/kustomization.yaml": "components: [../parts]\n"}, path: "app",
			says: "app/kustomization.yaml: components: the source has no parts",
		},
		"YAML is wrong in the second document": {
			files: map[string]string{
				"app/a.yaml": configMap("x") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\n   labels: {}\n",
			}, path: "app",
			says: "decoding app/a.yaml: near line",
		},
		"an object without apiVersion": {
			files: map[string]string{"app/a.yaml": "kind: ConfigMap\nmetadata: {name: x}\n"}, path: "app",
			says: "app/a.yaml: ConfigMap x: an object needs apiVersion",
		},
		"an object without a name": {
			files: map[string]string{"app/a.yaml": "apiVersion: v1\nkind: ConfigMap\n"}, path: "app",
			says: `app/a.yaml: an object has no metadata.name (apiVersion "v1", kind "ConfigMap")`,
		},
		"a patch of an object that is not there": {
			files: map[string]string{
				"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n", "a.yaml": configMap("x"), "p.yaml": configMap("z"),
			},
			says: "no resource matches the patch of ConfigMap z in p.yaml: its kind, name and namespace",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(treeOf(t, tc.files), Spec{Path: tc.path})
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "accumulat") ||
				strings.Contains(err.Error(), "[noNs]") || !IsRefused(err) {
				t.Errorf("%v, want %s", err, tc.says)
			}
		})
	}
}

func TestWarningsOfABuildAreBounded(t *testing.T) {
	files := map[string]string{}
	for i := range 2 * maxWarnings {
		files[fmt.Sprintf("%d.yaml", i)] = aDeployment(fmt.Sprint("d", i), strings.Repeat("x", 1000)+": 1", "replicaz: 1")
	}
	result, err := Build(treeOf(t, files), Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(result.Warnings); n != maxWarnings {
		t.Errorf("%d warnings", n)
	}
	for _, w := range result.Warnings {
		if len(w.Text) > 1000 || !strings.Contains(w.Text, "unknown field with a name of 1005 bytes") {
			t.Fatal(w.Text)
		}
	}
}

func TestAWronglyCapitalisedFieldIsNotLeftOut(t *testing.T) {
	result, err := Build(treeOf(t, map[string]string{
		"kustomization.yaml": "resources: [c.yaml]\nnameprefix: a-\n", "c.yaml": configMap("x"),
	}), Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Objects[0].GetName(); got != "a-x" || len(result.Warnings) > 0 {
		t.Errorf("%s, %v", got, result.Warnings)
	}
}
