// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/test/harness"
)

// built is the Kustomization of all trees.
const built = `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec:
  interval: 1h
  path: ./app
  prune: true
  sourceRef: {kind: GitRepository, name: fleet}
  targetNamespace: shop
  namePrefix: eu-
  images: [{name: podinfo, newTag: 6.7.0}]
  commonMetadata: {labels: {team: web}, annotations: {owner: "me"}}
  patches:
    - target: {kind: Deployment}
      patch: '[{"op": "add", "path": "/spec/replicas", "value": 3}]'
  postBuild: {substitute: {COLOUR: blue}}
`

const deployed = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {colour: "${COLOUR}"}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "podinfo:6.0.0", args: ["--text=${TEXT:=hello}", "$${KEPT}"]}]}
`

const sealed = "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]"

// nested is a Kustomization among the objects of another one, which is built from the directory
// of its name.
func nested(name, more string) string {
	return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name + ", namespace: flux-system}\n" +
		"spec: {interval: 1h, prune: true, path: ./" + name + ", sourceRef: {kind: GitRepository, name: fleet, namespace: flux-system}, " +
		more + "}\n"
}

// trees are directories to build; the path is app.
var trees = map[string]map[string]string{
	"manifests without a kustomization": {
		"app/a.yaml": deployed + "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n",
		"app/deep/b.yaml": "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: other}, " +
			"data: {text: \"a\\nb\\n\"}}]\n",
		"app/readme.md": "no manifest",
	},
	"an overlay with a base, a component and generators": {
		"base/kustomization.yaml":       "resources: [web.yaml]\nlabels: [{pairs: {tier: front}, includeSelectors: true}]\n",
		"base/web.yaml":                 deployed,
		"components/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches: [{path: patch.yaml}]\n",
		"components/patch.yaml":         "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {revisionHistoryLimit: 2}\n",
		"app/kustomization.yaml": "resources: [../base]\ncomponents: [../components]\nnameSuffix: -1\n" +
			"configMapGenerator: [{name: config, literals: [a=b], files: [file.txt]}]\n" +
			"secretGenerator: [{name: token, literals: [password=hunter2]}]\n",
		"app/file.txt": "some ${COLOUR}\ntext\n",
	},
	"what SOPS encrypted": {
		"app/kustomization.yaml": "resources: [s.yaml]\nsecretGenerator: [{name: file, files: [values.yaml]}]\n",
		"app/values.yaml":        "a: " + sealed + "\nsops: {mac: '" + sealed + "'}\n",
		"app/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: '" + sealed + "'}\nstringData: {b: '" + sealed + "'}\n" +
			"sops: {mac: '" + sealed + "'}\n",
	},
	"Kustomizations with Kustomizations": {
		"app/apps.yaml":   nested("apps", "targetNamespace: web, postBuild: {substitute: {COLOUR: green}}"),
		"app/infra.yaml":  nested("infra", "commonMetadata: {labels: {team: infra}}") + "---\n" + deployed,
		"apps/web.yaml":   deployed,
		"apps/deep.yaml":  nested("deep", "namePrefix: deep-"),
		"deep/b.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {text: a}\n",
		"infra/a.yaml":    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {text: a}\n",
		"other/none.yaml": "nobody: refers to it",
	},
	"credentials of a registry that SOPS encrypted": {
		"app/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/dockerconfigjson\n" +
			"data: {.dockerconfigjson: '" + sealed + "'}\nsops: {mac: '" + sealed + "'}\n",
	},
	"kinds of all sorts": {
		"app/all.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n" +
			"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n" +
			"spec: {group: example.com, names: {kind: Thing, plural: things}, " +
			"scope: Namespaced, versions: [{name: v1, served: true, storage: true, " +
			"schema: {openAPIV3Schema: {type: object}}}]}\n---\n" +
			"apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t, annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}}\n" +
			"spec: {text: \"${COLOUR}\", number: 1.50, none: null, empty: {}}\n---\n" +
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules: []\n",
	},
}

// TestABuildIsThatOfFlux: `sluice build` prints what `flux build` does, byte by byte.
func TestABuildIsThatOfFlux(t *testing.T) {
	t.Parallel()
	for name, files := range trees {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range files {
				at := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			sameBuild(t, dir, filepath.Join(dir, "app"), "--recursive", "--local-sources", "GitRepository/flux-system/fleet="+dir)
		})
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"config/default", "config/beside", "config/samples/promotion/repository/production", "config/samples/demo/repository/podinfo",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			sameBuildOf(t, root, "config", path)
		})
	}
}

// publicTrees are trees that others have published, in modules: a directory, and the paths in it that are built.
var publicTrees = []struct {
	module, directory string
	paths             []string
}{
	{"github.com/stefanprodan/podinfo@v1.8.1-0.20250910200901-e86405a8674e", "kustomize", []string{"."}},
	{
		"github.com/stefanprodan/podinfo@v1.8.1-0.20250910200901-e86405a8674e", "deploy",
		[]string{"overlays/dev", "overlays/production", "overlays/staging", "secure", "webapp"},
	},
	{"github.com/fluxcd/flagger@v1.44.0", "kustomize", []string{
		"kuma", "kubernetes", "contour", "istio", "apisix", "appmesh", "knative", "tester", "gatewayapi", "linkerd", "podinfo",
	}},
	{"github.com/fluxcd/source-controller@v1.9.3", "config", []string{"default"}},
	{"github.com/fluxcd/notification-controller@v1.9.3", "config", []string{"default"}},
	{"github.com/fluxcd/kustomize-controller@v1.9.6", "config", []string{"crd", "rbac", "manager", "testdata/overlays"}},
	{"github.com/fluxcd/flux2/v2@v2.9.5", "manifests", []string{"policies", "rbac"}},
	{"github.com/fluxcd/flux2/v2@v2.9.5", "cmd/flux/testdata/build-kustomization", []string{
		"podinfo", "podinfo-with-my-app", "var-substitution", "delete-service", "configmaps",
	}},
	{"sigs.k8s.io/gateway-api@v1.6.3", "config/crd", []string{".", "experimental"}},
	{"sigs.k8s.io/kwok@v0.8.0", "kustomize", []string{"kwok", "metrics/usage", "metrics/resource", "stage/fast", "rbac", "crd", "kwokctl"}},
}

// TestABuildOfAPublicTreeIsThatOfFlux does the same with trees that people use.
func TestABuildOfAPublicTreeIsThatOfFlux(t *testing.T) {
	t.Parallel()
	for _, published := range publicTrees {
		t.Run(published.module+"/"+published.directory, func(t *testing.T) {
			t.Parallel()
			root := module(t, published.module)
			for _, path := range published.paths {
				t.Run(path, func(t *testing.T) {
					sameBuildOf(t, root, published.directory, filepath.Join(published.directory, path))
				})
			}
		})
	}
}

// module is the directory of a module at a version.
func module(t *testing.T, version string) string {
	t.Helper()
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", version)
	download.Dir = t.TempDir() // outside of ours, whose go.mod knows nothing of it
	download.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	var found struct{ Dir, Error string }
	out, err := download.Output()
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil || found.Dir == "" {
		t.Fatalf("downloading %s: %v\n%s", version, err, out)
	}
	return found.Dir
}

// sameBuildOf is sameBuild of a path in a directory below a root. It builds in a copy: flux build writes into it.
func sameBuildOf(t *testing.T, root, directory, path string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, directory), os.DirFS(filepath.Join(root, directory))); err != nil {
		t.Fatal(err)
	}
	sameBuild(t, dir, filepath.Join(dir, path))
}

func sameBuild(t *testing.T, dir, path string, flags ...string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil { // bases are beside the path
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ks.yaml")
	if err := os.WriteFile(file, []byte(built), 0o600); err != nil {
		t.Fatal(err)
	}
	sluice, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"build", "kustomization", "app", "--path", path, "--kustomization-file", file, "--dry-run"}, flags...)
	const within = harness.Patience
	// Ours first: it leaves the directory as it is.
	ours := the.command(t, within, sluice, append(args, "--strict-substitute=false")...)
	theirs := the.command(t, within, the.cli, args...)
	if ours.code != 0 || theirs.code != 0 {
		t.Fatalf("exit codes %d and %d\n%s\n%s", ours.code, theirs.code, ours.err, theirs.err)
	}
	if diff := cmp.Diff(theirs.out, ours.out); diff != "" {
		t.Errorf("objects (-flux +sluice):\n%s", diff)
	}
}

// TestABuiltArtifactIsThatOfFlux: `sluice build artifact` writes what `flux build artifact`
// does, byte by byte.
func TestABuiltArtifactIsThatOfFlux(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "linked.yaml")
	files := map[string]string{
		filepath.Join(dir, "a.yaml"): "a: 1\n", filepath.Join(dir, "logo.png"): "no", filepath.Join(dir, ".git/config"): "no",
		filepath.Join(dir, "deep/b.yaml"): "b: 1\n", filepath.Join(dir, "deep/kept.yaml"): "kept: 1\n",
		filepath.Join(dir, ".sourceignore"): "/a.yaml\n", outside: "linked: 1\n",
	}
	for at, text := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	links := errors.Join(os.Symlink(outside, filepath.Join(dir, "link.yaml")), os.Symlink(dir, filepath.Join(dir, "deep/above")))
	if err := errors.Join(links, os.Chmod(filepath.Join(dir, "a.yaml"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string][]string{
		"a directory":                 {"--path", dir},
		"a file":                      {"--path", filepath.Join(dir, "a.yaml")},
		"a link to a file":            {"-p", filepath.Join(dir, "link.yaml"), "--resolve-symlinks"},
		"what links lead to":          {"-p", dir, "--resolve-symlinks"},
		"without what is to be left":  {"-p", dir, "--ignore-paths", "/deep/*,!/deep/kept.yaml,.git/"},
		"with what is left otherwise": {"-p", dir, "--ignore-paths", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var written [2][]byte
			for i, program := range []string{the.cli, the.own} {
				file := filepath.Join(t.TempDir(), "artifact.tgz")
				said := the.command(t, harness.Patience, program, append([]string{"build", "artifact", "--output", file}, flags...)...)
				data, err := os.ReadFile(file)
				if said.code != 0 || err != nil {
					t.Fatalf("%s: exit code %d, %v\n%s", program, said.code, err, said.err)
				}
				written[i] = data
			}
			if !bytes.Equal(written[0], written[1]) {
				t.Errorf("flux has written %d bytes, sluice %d, or others", len(written[0]), len(written[1]))
			}
		})
	}
}
