// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestDiffOfAKustomization: what a directory would change in the cluster is printed, and
// nothing is changed.
func TestDiffOfAKustomization(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		f.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	config := func(value string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {colour: " + value + ", size: '${SIZE}'}\n"
	}
	write("config.yaml", config("blue"))
	write("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: secret}\ndata: {password: aHVudGVyMg==}\n")
	k := &kustomizev1.Kustomization{ObjectMeta: f.named("web"), Spec: kustomizev1.KustomizationSpec{
		Interval: metav1.Duration{Duration: time.Hour}, Path: "./", Prune: true, TargetNamespace: f.ns,
		SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
		PostBuild: &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "sizes"}}},
		Ignore:    []kustomizev1.IgnoreRule{{Paths: []string{"/data/size"}}},
	}}
	f.create(k, &corev1.ConfigMap{ObjectMeta: f.named("sizes"), Data: map[string]string{"SIZE": "large"}})

	diff := func(code int) string {
		t.Helper()
		return f.diff(code, "kustomization", "web", "--path", dir)
	}
	says := func(text string, want ...string) {
		t.Helper()
		f.says(text, want...)
		if strings.Contains(text, "aHVudGVy") {
			t.Errorf("a value of a Secret is shown:\n%s", text)
		}
	}
	says(diff(1), "ConfigMap/"+f.ns+"/config created", "+  colour: blue", "+  size: large",
		"Secret/"+f.ns+"/secret created", "+  password: '*****'")

	built, _ := f.succeed("build", "kustomization", "web", "--path", dir)
	f.applied(built)
	if got := diff(0); got != "" {
		t.Errorf("what was applied differs:\n%s", got)
	}

	write("config.yaml", config("red"))
	write("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: secret}\ndata: {password: aHVudGVyMw==}\n")
	says(diff(1), "ConfigMap/"+f.ns+"/config changed", "-  colour: blue", "+  colour: red", "Secret/"+f.ns+"/secret changed",
		"-  password: '***** (before)'", "+  password: '***** (after)'")

	write("config.yaml", config("blue"))
	f.must(os.Remove(filepath.Join(dir, "secret.yaml")))
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
		{ID: f.ns + "_config__ConfigMap", Version: "v1"}, {ID: f.ns + "_secret__Secret", Version: "v1"},
	}}
	f.must(f.Client.Status().Update(t.Context(), k))
	if got, want := diff(1), "Secret/"+f.ns+"/secret deleted\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	// Somebody else sets what spec.ignore names.
	live := &corev1.ConfigMap{}
	f.must(f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.ns, Name: "config"}, live))
	live.Data["size"] = "small"
	f.must(f.Client.Update(t.Context(), live))
	says(diff(1), "Secret/"+f.ns+"/secret deleted")

	write("config.yaml", config("blue")+"none: of the kind\n")
	says(diff(1), "warning: ConfigMap/"+f.ns+"/config in ", ": unknown field none", "Secret/"+f.ns+"/secret deleted")

	write("config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {no key: x}\n")
	says(diff(2), "ConfigMap/"+f.ns+"/config", "no key")
}

// diff is all that `sluice diff` prints, which has to end with an exit code.
func (f *fixture) diff(code int, args ...string) string {
	f.t.Helper()
	out, errs, err := f.sluice(append([]string{"diff"}, args...)...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	}
	if got != code {
		f.t.Fatalf("exit code %d, want %d:\n%s%s", got, code, out, errs)
	}
	return out + errs
}

// says checks that a text has others in it.
func (f *fixture) says(text string, want ...string) {
	f.t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			f.t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

// TestDiffOfKustomizationsBelowOthers: those among the objects are compared as well, as they are
// there, and what each of them would delete.
func TestDiffOfKustomizationsBelowOthers(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		f.must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		f.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	below := func(name, more string) string {
		return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name + "}\n" +
			"spec: {interval: 1h, prune: true, path: ./" + name + ", targetNamespace: " + f.ns + ", sourceRef: {kind: GitRepository, name: app" +
			", namespace: " + f.ns + "}" + more + "}\n"
	}
	config := func(name, value string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {colour: " + value + "}\n"
	}
	write("top/a.yaml", below("a", ""))
	write("top/far.yaml", below("far", ", kubeConfig: {secretRef: {name: far}}"))
	write("a/b.yaml", below("b", ""))
	write("a/config.yaml", config("of-a", "blue"))
	write("b/config.yaml", config("of-b", "blue"))
	write("far/config.yaml", config("of-far", "blue"))
	f.create(&kustomizev1.Kustomization{ObjectMeta: f.named("web"), Spec: kustomizev1.KustomizationSpec{
		Interval: metav1.Duration{Duration: time.Hour}, Path: "./top", Prune: true, TargetNamespace: f.ns,
		SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
	}})
	args := []string{"kustomization", "web", "--path", filepath.Join(dir, "top"), "--recursive"}
	sources := []string{"--local-sources", "GitRepository/" + f.ns + "/app=" + dir}
	diff := func(code int, flags ...string) string {
		t.Helper()
		return f.diff(code, append(args, flags...)...)
	}
	says := func(text string, want ...string) {
		t.Helper()
		f.says(text, want...)
		if strings.Contains(text, "of-far") {
			t.Errorf("what is for another cluster is compared with this one:\n%s", text)
		}
	}
	says(diff(2), "add --local-sources GitRepository/"+f.ns+"/app=DIRECTORY")
	const elsewhere = "Kustomization far applies to the cluster of its spec.kubeConfig, and is not compared"
	says(diff(1, sources...), "Kustomization/"+f.ns+"/a created", "Kustomization/"+f.ns+"/b created", "ConfigMap/"+f.ns+"/of-a created",
		"ConfigMap/"+f.ns+"/of-b created", elsewhere)

	built, _ := f.succeed(append(append([]string{"build"}, args...), sources...)...)
	f.applied(built)
	if got := diff(0, sources...); strings.TrimSpace(got) != elsewhere {
		t.Errorf("what was applied differs:\n%s", got)
	}
	b := &kustomizev1.Kustomization{}
	f.must(f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.ns, Name: "b"}, b))
	gone := &corev1.ConfigMap{ObjectMeta: f.named("gone")}
	gone.Labels = map[string]string{"kustomize.toolkit.fluxcd.io/name": "b", "kustomize.toolkit.fluxcd.io/namespace": f.ns}
	f.create(gone)
	b.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
		{ID: f.ns + "_of-b__ConfigMap", Version: "v1"}, {ID: f.ns + "_gone__ConfigMap", Version: "v1"},
	}}
	f.must(f.Client.Status().Update(t.Context(), b))
	write("b/config.yaml", config("of-b", "red"))
	write("a/b.yaml", below("b", ", wait: true"))
	says(diff(1, sources...), "ConfigMap/"+f.ns+"/of-b changed", "-  colour: blue", "+  colour: red", "ConfigMap/"+f.ns+"/gone deleted",
		"Kustomization/"+f.ns+"/b changed", "+  wait: true")
}

// applied applies what was built as the controller does.
func (f *fixture) applied(text string) {
	f.t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); err != nil {
			return
		}
		if u.Object != nil {
			f.must(f.Client.Apply(f.t.Context(), client.ApplyConfigurationFromUnstructured(u),
				client.FieldOwner("kustomize-controller"), client.ForceOwnership))
		}
	}
}
