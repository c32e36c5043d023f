// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/sops"
)

// size is how many Kustomizations there are.
const size = 200

// shapes are what Kustomizations apply, folders of testdata/installation, and what is in their specs.
var shapes = []struct{ folder, spec string }{
	{"settings", ""},
	{"variables", "postBuild: {substitute: {COLOUR: blue}, substituteFrom: " +
		"[{kind: ConfigMap, name: variables}, {kind: Secret, name: variables}, {kind: ConfigMap, name: none, optional: true}]}"},
	{"overlay", "targetNamespace: {namespace}, commonMetadata: {labels: {team: web}, annotations: {owner: me}}, nameSuffix: -eu, " +
		`patches: [{target: {kind: Service}, patch: '[{"op": "add", "path": "/metadata/annotations", "value": {"patched": "yes"}}]'}]`},
	{"workload", "wait: true, timeout: 5m, images: [{name: registry.example.com/app, newTag: 1.1.0}]"},
	{"access", "serviceAccountName: applier, targetNamespace: {namespace}"},
	{"secrets", "decryption: {provider: sops, secretRef: {name: age}}"},
	{"jobs", "timeout: 5m, healthChecks: [{apiVersion: batch/v1, kind: Job, name: {name}, namespace: {namespace}}]"},
	{"network", "dependsOn: [{name: {before}}]"},
}

// owned are the kinds of objects that change hands.
var owned = map[string]schema.GroupVersionKind{
	"GitRepository": {Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "GitRepository"},
	"OCIRepository": {Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "OCIRepository"},
	"Kustomization": {Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"},
	"Receiver":      {Group: "notification.toolkit.fluxcd.io", Version: "v1", Kind: "Receiver"},
}

// installation is what people have who run Flux: sources of Git and of a registry, 200 Kustomizations, an Alert and
// a Receiver; and whoever serves them at the moment, Flux's own controllers or Sluice.
type installation struct {
	*harness.Playground
	namespace string
	age       sops.AgeKey
	sources   map[string]*installationSource
	messages  *messages
	owners    *owners
	deletions *deletions
	// crds are the files of Flux's, and dir is where the data of what runs is.
	crds []string
	dir  string
	// running are those processes that run, of all that did.
	running, processes []*harness.Process
	// sluice says that Sluice serves now.
	sluice bool
	// artifacts is where whoever serves has its artifacts, as it is with the Service source-controller, and webhooks where
	// Receivers are served now.
	artifacts, webhooks string
	// request is what all were asked for last, and version what was pushed last.
	request, version string
	// path is the one of the Receiver.
	path string
	// pushed are the sources that the last push was to, and dropped all objects that a push dropped.
	pushed, dropped []string
}

// appName names a Kustomization, and what it applies.
func appName(n int) string { return fmt.Sprintf("app-%03d", n) }

// folderOf is what a Kustomization applies; the first one applies definitions, too.
func folderOf(n int) (folder, spec string) {
	if n == 0 {
		return "definitions", ""
	}
	shape := shapes[n%len(shapes)]
	return shape.folder, shape.spec
}

// newInstallation makes the objects, which nobody serves yet.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	var files []string
	for _, name := range fluxControllers {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(harness.RequireUpstream(t, name)), "crd", "*.yaml"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no CRDs of %s, %v", name, err)
		}
		files = append(files, found...)
	}
	p := harness.Require(t)
	i := &installation{
		Playground: p, namespace: p.NewNamespace(t, "takeover-", nil), age: sops.NewAgeKey(t), messages: receiveMessages(t), version: "1",
		crds: files, dir: t.TempDir(), artifacts: address(t),
	}
	i.installFlux(t)
	i.newSources(t)
	for _, name := range slices.Sorted(maps.Keys(i.sources)) {
		i.sources[name].publish(t, i.version)
	}
	i.apply(t, i.objects())
	i.owners = watchOwners(t, i)
	t.Cleanup(func() { i.release(t) })
	return i
}

// installFlux applies Flux's CRDs, and those of Sluice again when the test ends.
func (i *installation) installFlux(t *testing.T) {
	t.Helper()
	if err := i.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	remove, err := i.InstallFlux(t.Context(), fluxControllers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		remove(ctx)
		if err := i.Install(ctx); err != nil {
			t.Error(err)
		}
	})
	i.applyFluxCRDs(t)
}

func (i *installation) applyFluxCRDs(t *testing.T) {
	t.Helper()
	for _, file := range i.crds {
		if err := i.ApplyFile(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
}

func (i *installation) apply(t *testing.T, objects string) {
	t.Helper()
	if err := i.Apply(t.Context(), []byte(objects)); err != nil {
		t.Fatal(err)
	}
}

// objects are what the Kustomizations need, and they themselves.
func (i *installation) objects() string {
	var b strings.Builder
	fmt.Fprintf(&b, `
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: %[1]s}
stringData: {username: %[2]q, password: %[3]q}
---
{apiVersion: v1, kind: Secret, metadata: {name: age, namespace: %[1]s}, stringData: {age.agekey: %[4]q}}
---
{apiVersion: v1, kind: Secret, metadata: {name: hook, namespace: %[1]s}, stringData: {token: letmein}}
---
{apiVersion: v1, kind: Secret, metadata: {name: variables, namespace: %[1]s}, stringData: {TOKEN: s3cret}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: variables, namespace: %[1]s}, data: {REGION: eu}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: applier, namespace: %[1]s}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: applier, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: applier, namespace: %[1]s}]
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: room, namespace: %[1]s}
spec: {type: generic, address: %[5]q}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: all, namespace: %[1]s}
spec:
  providerRef: {name: room}
  eventSources: [{kind: GitRepository, name: "*"}, {kind: OCIRepository, name: "*"}, {kind: Kustomization, name: "*"}]
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: push, namespace: %[1]s}
spec:
  type: generic
  interval: 1h
  secretRef: {name: hook}
  resources:
  - {kind: GitRepository, name: fleet}
  - {kind: GitRepository, name: platform}
  - {kind: OCIRepository, name: apps}
  - {kind: OCIRepository, name: infra}
---
`, i.namespace, i.GitUsername, i.GitPassword, i.age.Private(), i.messages.url)
	for _, name := range slices.Sorted(maps.Keys(i.sources)) {
		b.WriteString(i.sources[name].manifest())
	}
	for n := range size {
		_, spec := folderOf(n)
		if spec != "" {
			spec = ", " + strings.NewReplacer("{namespace}", i.namespace, "{name}", appName(n), "{before}", appName(n-1)).Replace(spec)
		}
		source := i.sourceOf(n)
		fmt.Fprintf(&b, "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: %s, namespace: %s}\n"+
			"spec: {interval: 1h, retryInterval: 5s, prune: true, path: ./apps/%s, sourceRef: {kind: %s, name: %s}%s}\n",
			appName(n), i.namespace, appName(n), source.kind, source.name, spec)
	}
	return b.String()
}

// files are what a Kustomization applies, at a version.
func (i *installation) files(t *testing.T, n int, version string) map[string]string {
	t.Helper()
	folder, _ := folderOf(n)
	root := filepath.Join("testdata", "installation", folder)
	values := strings.NewReplacer("{name}", appName(n), "{namespace}", i.namespace, "{version}", version)
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		text := values.Replace(string(data))
		if entry.Name() == "encrypted.yaml" {
			text = string(i.age.Encrypt(t, sops.File{Name: entry.Name(), Regex: "^(data|stringData)$", Plain: text}))
		}
		name, _ := filepath.Rel(root, path)
		files["apps/"+appName(n)+"/"+name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// release takes the finalizers off what the test leaves behind when it fails: no controller runs any more.
func (i *installation) release(t *testing.T) {
	i.stop()
	if !t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	for _, gvk := range owned {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk)
		if err := i.Client.List(ctx, list, client.InNamespace(i.namespace)); err != nil {
			t.Error(err)
		}
		for n := range list.Items {
			patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
			_ = i.Client.Patch(ctx, &list.Items[n], patch) // gone already
		}
	}
}
