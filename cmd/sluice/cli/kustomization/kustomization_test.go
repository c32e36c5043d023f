// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/manifest"
	"github.com/sluice-cd/sluice/internal/kinds"
)

const fluxKustomization = `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: apps}
spec:
  interval: 1h
  path: ./overlay
  prune: true
  targetNamespace: shop
  sourceRef: {kind: GitRepository, name: fleet}
  commonMetadata: {labels: {team: web}}
  postBuild:
    substitute: {COLOUR: blue}
    substituteFrom: [{kind: ConfigMap, name: more}]
`

// inCheckout writes files into a Git checkout, in which the test then works.
func inCheckout(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

// offline runs sluice build kustomization without a cluster.
func offline(t *testing.T, args ...string) (string, error) {
	t.Helper()
	parent := &cobra.Command{Use: "build"}
	cmd := BuildCommand(cluster.AddFlags(parent, "test"))
	parent.AddCommand(cmd)
	parent.SetArgs(append([]string{"kustomization", "--dry-run"}, args...))
	parent.SilenceErrors, parent.SilenceUsage = true, true
	var out bytes.Buffer
	parent.SetOut(&out)
	parent.SetErr(&out)
	err := parent.ExecuteContext(t.Context())
	return out.String(), err
}

var overlay = map[string]string{
	"ks.yaml":                    fluxKustomization,
	"base/kustomization.yaml":    "resources: [cm.yaml]\n",
	"base/cm.yaml":               "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {colour: '${COLOUR}'}\n",
	"overlay/kustomization.yaml": "resources: [../base, secret.yaml]\n",
	"overlay/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n" +
		"stringData: {password: 'ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]'}\n" +
		"sops: {mac: 'ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]'}\n",
}

func TestABuildIsOfTheCheckout(t *testing.T) {
	const want = `the variables of ConfigMap/more are left out: what has neither another value nor a default is empty
apiVersion: v1
data:
  colour: blue
kind: ConfigMap
metadata:
  labels:
    kustomize.toolkit.fluxcd.io/name: app
    kustomize.toolkit.fluxcd.io/namespace: apps
    team: web
  name: cm
  namespace: shop
---
apiVersion: v1
kind: Secret
metadata:
  labels:
    kustomize.toolkit.fluxcd.io/name: app
    kustomize.toolkit.fluxcd.io/namespace: apps
    team: web
  name: s
  namespace: shop
stringData:
  password: '**SOPS**'
---
`
	for name, args := range map[string][]string{
		"by the path of the spec": {"app", "-f", "ks.yaml"},
		"by a path":               {"app", "-f", "ks.yaml", "--path", "./overlay"},
	} {
		t.Run(name, func(t *testing.T) {
			inCheckout(t, overlay)
			if got, err := offline(t, args...); got != want || err != nil {
				t.Errorf("got %v\n%s", err, got)
			}
		})
	}
}

func TestABuildFetchesWhatIsElsewhere(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: remote}\n"))
	}))
	defer server.Close()
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	inCheckout(t, map[string]string{"ks.yaml": fluxKustomization, "overlay/kustomization.yaml": "resources: [" + server.URL + "/cm.yaml]\n"})
	printed, err := offline(t, "app", "-f", "ks.yaml")
	if err != nil || !strings.Contains(printed, "name: remote") {
		t.Errorf("printed %s, %v", printed, err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Where no cluster is asked, nobody knows them, and the build failed; flux build leaves them empty.
func TestVariablesOfTheClusterAreEmptyInADryRun(t *testing.T) {
	inCheckout(t, map[string]string{"ks.yaml": fluxKustomization, "overlay/cm.yaml": "apiVersion: v1\nkind: ConfigMap\n" +
		"metadata: {name: cm}\ndata: {colour: '${COLOUR}', cluster: 'in-${cluster_name}', zone: '${zone:=a}'}\n"})
	got, err := offline(t, "app", "-f", "ks.yaml")
	if err != nil || !strings.Contains(got, "cluster: in-\n  colour: blue\n  zone: a\n") ||
		!strings.Contains(got, "of ConfigMap/more are left out") {
		t.Errorf("got %v\n%s", err, got)
	}
	got, err = offline(t, "app", "-f", "ks.yaml", "--strict-substitute")
	if err == nil || !strings.Contains(err.Error(), `not set (strict mode): "cluster_name"`) {
		t.Errorf("with --strict-substitute: %v\n%s", err, got)
	}
	whole := strings.ReplaceAll(fluxKustomization, "    substituteFrom: [{kind: ConfigMap, name: more}]\n", "")
	inCheckout(t, map[string]string{
		"ks.yaml": whole, "overlay/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {a: '${x}'}\n",
	})
	if got, err := offline(t, "app", "-f", "ks.yaml"); err == nil {
		t.Errorf("without substituteFrom all is known: %s", got)
	}
}

func TestABuildLeavesTheDirectoryAsItIs(t *testing.T) {
	dir := inCheckout(t, map[string]string{"ks.yaml": fluxKustomization, "overlay/cm.yaml": overlay["base/cm.yaml"]})
	if _, err := offline(t, "app", "-f", "ks.yaml"); err != nil {
		t.Fatal(err)
	}
	if found, err := os.ReadDir(filepath.Join(dir, "overlay")); err != nil || len(found) != 1 {
		t.Errorf("the directory has %v, %v", found, err)
	}
}

func TestWhatCannotBeBuilt(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		args  []string
		want  string
	}{
		"without a file":    {overlay, []string{"app"}, "name its file with --kustomization-file"},
		"another name":      {overlay, []string{"other", "-f", "ks.yaml"}, "ks.yaml has no Kustomization other"},
		"no directory":      {overlay, []string{"app", "-f", "ks.yaml", "--path", "none"}, "none"},
		"a file for a path": {overlay, []string{"app", "-f", "ks.yaml", "--path", "ks.yaml"}, "ks.yaml is no directory"},
		"an older version": {
			map[string]string{"ks.yaml": strings.Replace(fluxKustomization, "/v1", "/v1beta2", 1)},
			[]string{"app", "-f", "ks.yaml"}, "change it to kustomize.toolkit.fluxcd.io/v1",
		},
		"a field that there is none of": {
			map[string]string{"ks.yaml": fluxKustomization + "  prunes: true\n"}, []string{"app", "-f", "ks.yaml"}, "prunes",
		},
		"a variable without a value": {
			map[string]string{"ks.yaml": fluxKustomization, "overlay/cm.yaml": strings.Replace(overlay["base/cm.yaml"], "COLOUR", "MISSING", 1)},
			[]string{"app", "-f", "ks.yaml", "--strict-substitute"}, `"MISSING" has no value and no default`,
		},
		"what leads out of the checkout": {
			map[string]string{"ks.yaml": fluxKustomization, "overlay/kustomization.yaml": "resources: [../../outside]\n"},
			[]string{"app", "-f", "ks.yaml"}, "outside",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCheckout(t, tc.files)
			if got, err := offline(t, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\n%s", err, got)
			}
		})
	}
}

func TestWhatIsLeftOutOfABuild(t *testing.T) {
	inCheckout(t, map[string]string{
		"ks.yaml": fluxKustomization, "overlay/cm.yaml": overlay["base/cm.yaml"], "overlay/broken.yaml": "{",
	})
	if got, err := offline(t, "app", "-f", "ks.yaml", "--ignore-paths", "broken.yaml"); err != nil || !strings.Contains(got, "colour: blue") {
		t.Errorf("got %v\n%s", err, got)
	}
}

// diffOf is what a comparison prints of an object that becomes another.
func diffOf(t *testing.T, before, after *unstructured.Unstructured) string {
	t.Helper()
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	d := &comparison{cmd: cmd, coloured: true}
	if err := d.print("it changed", before, after); err != nil {
		t.Fatal(err)
	}
	if d.different != (out.Len() > 0) {
		t.Errorf("different = %v", d.different)
	}
	return out.String()
}

func object(kind string, data map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"data": data, "status": map[string]any{"seen": "x"}}}
	u.SetAPIVersion("v1")
	u.SetKind(kind)
	u.SetName("a")
	return u
}

func TestDifferencesAreColouredLines(t *testing.T) {
	got := diffOf(t, object("ConfigMap", map[string]any{"a": "1", "b": "same"}), object("ConfigMap", map[string]any{"a": "2", "b": "same"}))
	want := "\x1b[1mit changed\x1b[0m\n\x1b[31m--- cluster\x1b[0m\n\x1b[32m+++ source\x1b[0m\n\x1b[36m@@ -1,6 +1,6 @@\x1b[0m\n" +
		" apiVersion: v1\n data:\n\x1b[31m-  a: \"1\"\x1b[0m\n\x1b[32m+  a: \"2\"\x1b[0m\n   b: same\n kind: ConfigMap\n metadata:\n"
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	changed := object("ConfigMap", map[string]any{"a": "1"})
	changed.SetResourceVersion("7")
	changed.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "x"}})
	if got := diffOf(t, object("ConfigMap", map[string]any{"a": "1"}), changed); got != "" {
		t.Errorf("what the API server keeps is a difference: %s", got)
	}
}

func TestNoValueOfASecretIsShown(t *testing.T) {
	got := diffOf(t,
		object("Secret", map[string]any{"changed": "aHVudGVyMg==", "gone": "aHVudGVyMg==", "same": "aHVudGVyMg=="}),
		object("Secret", map[string]any{"changed": "aHVudGVyMw==", "new": "aHVudGVyMg==", "same": "aHVudGVyMg=="}))
	if strings.Contains(got, "aHVudGVy") {
		t.Errorf("a value is shown:\n%s", got)
	}
	for _, want := range []string{
		"-  changed: '***** (before)'", "+  changed: '***** (after)'", "-  gone: '*****'", "+  new: '*****'", "   same: '*****'",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if got := diffOf(t, nil, object("Secret", map[string]any{"new": "aHVudGVyMg=="})); strings.Contains(got, "aHVudGVy") {
		t.Errorf("a value of a new Secret is shown:\n%s", got)
	}
}

// differencesOf is what is printed of manifests beside what is in the cluster, and what
// was asked of the API server.
func differencesOf(t *testing.T, manifests string, live ...client.Object) (out, asked string, err error) {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	documents, err := manifest.Split([]byte(manifests))
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, document := range documents {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, u); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, u)
	}
	var printed, requests bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&printed)
	cmd.SetErr(&printed)
	cmd.SetContext(t.Context())
	rules, err := watch.NewRules(profile, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	recorded := interceptor.Funcs{Apply: func(
		ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, options ...client.ApplyOption,
	) error {
		if err := json.NewEncoder(&requests).Encode(obj); err != nil {
			return err
		}
		return c.Apply(ctx, obj, options...)
	}}
	d := &comparison{
		cmd: cmd, k: k, rules: rules,
		client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(live...).WithInterceptorFuncs(recorded).Build(),
	}
	err = d.compareAll(objects)
	return printed.String(), requests.String(), err
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: apps}
spec:
  replica: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
`

// The controller drops the field, warns and applies; the dry run was asked with it, and refused.
func TestAMisspeltFieldDoesNotEndADiff(t *testing.T) {
	live := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "web"}}
	out, _, err := differencesOf(t, deployment, live)
	if !errors.Is(err, ErrDifferent) || !strings.Contains(out, "Deployment/apps/web changed") || strings.Contains(out, "replica:") {
		t.Errorf("got %v\n%s", err, out)
	}
}

// The dry run emptied what the control plane fills in, so that there were differences for ever.
func TestADiffDoesNotTakeRulesFromTheControlPlane(t *testing.T) {
	const manifests = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}
rules: []
`
	_, asked, _ := differencesOf(t, manifests, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "all"}})
	if !strings.Contains(asked, `"aggregationRule"`) || strings.Contains(asked, `"rules"`) {
		t.Errorf("asked for %s", asked)
	}
}

// Manifests have a line break where another controller puts the bundle, which the API server refuses.
func TestACABundleThatIsNoneIsLeftOutOfADiff(t *testing.T) {
	out, _, err := differencesOf(t, `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {caBundle: Cg==}}}}
`)
	if !errors.Is(err, ErrDifferent) || !strings.Contains(out, "things.example.com created") || strings.Contains(out, "caBundle") {
		t.Errorf("got %v\n%s", err, out)
	}
}

func TestWhatSOPSEncryptedIsNotComparedWhateverItsKind(t *testing.T) {
	const sealed = "'ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]'"
	live := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "cm"}}
	const plain = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm, namespace: apps}\n"
	for name, manifest := range map[string]string{
		"a whole object":   plain + "data: {a: " + sealed + "}\nsops: {mac: " + sealed + "}\n",
		"none of its data": plain + "data: {a: b}\nsops: {mac: x}\n",
		"a file in it":     plain + "data: {a: " + sealed + "}\n",
	} {
		t.Run(name, func(t *testing.T) {
			out, asked, err := differencesOf(t, manifest, live)
			if err != nil || asked != "" || out != "ConfigMap/apps/cm is encrypted, and is not compared\n" {
				t.Errorf("got %v, asked for %q\n%s", err, asked, out)
			}
		})
	}
	kept := strings.Replace(plain, "namespace: apps", "namespace: apps, annotations: {kustomize.toolkit.fluxcd.io/decrypt: disabled}", 1)
	if _, _, err := differencesOf(t, kept+"data: {a: "+sealed+"}\n", live); !errors.Is(err, ErrDifferent) {
		t.Errorf("what is applied as it is, is not compared: %v", err)
	}
}

func TestAnEncryptedObjectIsNoMistake(t *testing.T) {
	inCheckout(t, map[string]string{"ks.yaml": fluxKustomization, "overlay/cm.yaml": "apiVersion: v1\nkind: ConfigMap\n" +
		"metadata: {name: cm}\ndata: {a: 'ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]'}\nsops: {mac: x}\n"})
	if got, err := offline(t, "app", "-f", "ks.yaml"); err != nil || strings.Contains(got, "warning") {
		t.Errorf("got %v\n%s", err, got)
	}
}

func TestMistakesThatAreOnlyWarnedOfAreNoted(t *testing.T) {
	inCheckout(t, map[string]string{"ks.yaml": fluxKustomization, "overlay/web.yaml": deployment})
	got, err := offline(t, "app", "-f", "ks.yaml")
	if err != nil || !strings.Contains(got, "warning: Deployment/shop/web") ||
		!strings.Contains(got, "unknown field spec.replica, did you mean replicas?") {
		t.Errorf("got %v\n%s", err, got)
	}
}

// What has prune: disabled, or another owner, was called deleted, and the diff failed a check of CI for it.
func TestWhatLeftTheSourceIsDeletedIfTheControllerWould(t *testing.T) {
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	k.Spec.Prune = true
	owned := func(name, owner string, annotations map[string]string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: "apps", Name: name, Annotations: annotations, Labels: profile.Labels(profile.Owner("apps", owner)),
		}}
	}
	live := map[string]client.Object{
		"apps_a__ConfigMap":     owned("a", "app", nil),
		"apps_left__ConfigMap":  owned("left", "app", nil),
		"apps_other__ConfigMap": owned("other", "else", nil),
		"apps_held__ConfigMap":  owned("held", "app", map[string]string{profile.PruneKey: "disabled"}),
		"apps_gone__ConfigMap":  nil,
		"_n__Namespace":         &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}},
		"?":                     nil,
	}
	kept, namespace := object("ConfigMap", nil), object("Namespace", nil)
	kept.SetNamespace("apps")
	namespace.SetName("n")
	deleted := func(ids ...string) (string, bool) {
		t.Helper()
		scheme, err := kinds.Scheme()
		if err != nil {
			t.Fatal(err)
		}
		objects := fake.NewClientBuilder().WithScheme(scheme)
		k.Status.Inventory = &kustomizev1.ResourceInventory{}
		for _, id := range ids {
			k.Status.Inventory.Entries = append(k.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: id, Version: "v1"})
			if live[id] != nil {
				objects.WithObjects(live[id])
			}
		}
		var out bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetContext(t.Context())
		d := &comparison{cmd: cmd, k: k, client: objects.WithObjects(k.DeepCopy()).Build()}
		if err := d.deleted([]*unstructured.Unstructured{kept, namespace}); err != nil {
			t.Fatal(err)
		}
		return out.String(), d.different
	}
	if got, different := deleted("apps_a__ConfigMap", "apps_left__ConfigMap", "_n__Namespace", "?"); !different ||
		got != "ConfigMap/apps/left deleted\n" {
		t.Errorf("got %q, different %v", got, different)
	}
	got, different := deleted("apps_other__ConfigMap", "apps_held__ConfigMap", "apps_gone__ConfigMap")
	if different || strings.Contains(got, "deleted\n") || strings.Contains(got, "gone") ||
		!strings.Contains(got, "ConfigMap/apps/other is not among the objects, and is not deleted: "+
			"it has the labels of Kustomization apps/else") ||
		!strings.Contains(got, "ConfigMap/apps/held is not among the objects, and is not deleted: "+profile.PruneKey+": disabled") {
		t.Errorf("got %q, different %v", got, different)
	}
}
