// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"os"
	"path/filepath"
	"testing"
)

// TestArtifactsWithoutGit goes from a folder to the cluster by way of a registry.
func TestArtifactsWithoutGit(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-oci")
	dir := writeManifests(t)
	s.values["{dir}"], s.values["{artifact}"] = dir, "oci://"+s.values["{image}"]
	push := func(tag string) string {
		return "push artifact {artifact}:" + tag + " --path={dir} --source=https://git.example.com/app --revision=main@sha1:" + tag +
			" --insecure-registry"
	}
	s.tell(t, []step{
		{does: "push artifact makes a version", run: push("1.0.0"), err: []string{"✔ artifact successfully pushed to {image}@sha256:"}},
		{
			does: "create source oci waits for an artifact",
			run:  "create source oci app --url={artifact} --tag-semver=1.x --interval=1h --insecure",
			err:  []string{"✔ OCIRepository created", "✔ fetched revision: 1.0.0@sha256:"},
		},
		{
			does: "get sources oci shows the revision", run: "get sources oci",
			out: []string{"NAME REVISION SUSPENDED READY MESSAGE app 1.0.0@sha256:", "False True stored artifact for digest '1.0.0@sha256:"},
		},
		{does: "get sources all shows it by kind", run: "get sources all", out: []string{"ocirepository/app 1.0.0@sha256:"}},
		{
			does: "create kustomization applies it",
			run:  "create kustomization app --source=OCIRepository/app --path=. --prune=true --interval=1h --target-namespace={ns}",
			err:  []string{"✔ Kustomization app is ready", "✔ applied revision 1.0.0@sha256:"},
		},
		{
			does: "trace goes to the artifact and to where it was made of", run: "trace configmap other",
			out: []string{"OCIRepository: app", "URL: {artifact}", "main@sha1:1.0.0"},
		},
		{
			does: "diff artifact finds nothing", run: "diff artifact {artifact}:1.0.0 --path={dir} --insecure-registry",
			err: []string{"no changes detected"},
		},
		{
			does: "another version is pushed", run: push("1.1.0"), err: []string{"✔ artifact successfully pushed"},
			before: func(t *testing.T) {
				t.Helper()
				more := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n"
				if err := os.WriteFile(filepath.Join(dir, "more.yaml"), []byte(more), 0o600); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			does: "list artifacts shows both", run: "list artifacts {artifact} --insecure-registry",
			out: []string{"1.0.0", "1.1.0", "main@sha1:1.1.0"},
		},
		{does: "reconcile source oci fetches", run: "reconcile source oci app", err: []string{"✔ fetched revision 1.1.0@sha256:"}},
		{
			does: "and it is applied", run: "get kustomizations", eventually: true,
			out: []string{"app 1.1.0@sha256:", "True Applied revision: 1.1.0@sha256:"},
		},
		{does: "suspend source oci", run: "suspend source oci app", err: []string{"✔ source oci suspended"}},
		{does: "resume source oci", run: "resume source oci app", err: []string{"✔ fetched revision 1.1.0@sha256:"}},
		{does: "export source oci", run: "export source oci app", out: []string{"kind: OCIRepository", "semver: 1.x"}},
		{does: "delete source oci", run: "delete source oci app --silent", err: []string{"✔ source oci deleted"}},
	})
}
