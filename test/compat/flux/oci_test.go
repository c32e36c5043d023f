// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestArtifactsWithoutGit goes from a folder to the cluster by way of a registry, and from a bucket.
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
	s.tell(t, s.bucketSteps(t))
}

// TestArtifactsOfBothCLIs has each push what the other one takes, and an OCIRepository fetch
// what both have pushed.
func TestArtifactsOfBothCLIs(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-oci-both")
	s.values["{dir}"], s.values["{artifact}"] = writeManifests(t), "oci://"+s.values["{image}"]
	theirs, own := t.TempDir(), t.TempDir()
	s.values["{theirs}"], s.values["{own}"] = theirs, own
	const from = " --path={dir} --source=https://git.example.com/app --revision=main@sha1:c0ffee -a a.example/b=c" +
		" --reproducible --insecure-registry -o json"
	s.tell(t, []step{
		{does: "flux pushes", run: "push artifact {artifact}:1.0.0" + from, out: []string{`"tag": "1.0.0"`}},
		{does: "sluice pushes", ours: true, run: "push artifact {artifact}:1.1.0" + from, out: []string{`"tag": "1.1.0"`}},
		{
			does: "both have made the same artifact", ours: true, run: "list artifacts {artifact} --insecure-registry -o json",
			out: []string{`"source": "https://git.example.com/app", "revision": "main@sha1:c0ffee", "created": "1970-01-01T00:00:00Z"`},
			before: func(t *testing.T) {
				t.Helper()
				if theirs, own := s.digest(t, "1.0.0"), s.digest(t, "1.1.0"); theirs != own {
					t.Errorf("flux made %s, sluice made %s", theirs, own)
				}
			},
		},
		{
			does: "flux tags what sluice has pushed", run: "tag artifact {artifact}:1.1.0 --tag 1.2.0",
			err: []string{"✔ artifact tagged as {image}:1.2.0"},
		},
		{
			does: "sluice tags what flux has pushed", ours: true, run: "tag artifact {artifact}:1.0.0 --tag 1.3.0 --insecure-registry",
			err: []string{"artifact tagged as {image}:1.3.0"},
		},
		{
			does: "flux lists them all", run: "list artifacts {artifact} --insecure-registry",
			out: []string{"{image}:1.3.0", "{image}:1.2.0", "{image}:1.1.0", "{image}:1.0.0", "main@sha1:c0ffee"},
		},
		{
			does: "flux finds that sluice has pushed what is there", run: "diff artifact {artifact}:1.1.0 --path={dir} --insecure-registry",
			err: []string{"✔ no changes detected"},
		},
		{
			does: "sluice finds that of flux", ours: true, run: "diff artifact {artifact}:1.0.0 --path={dir} --insecure-registry",
			err: []string{"no changes detected"},
		},
		{
			does: "flux pulls what sluice has pushed", run: "pull artifact {artifact}:1.1.0 -o {theirs} --insecure-registry",
			err: []string{"✔ source https://git.example.com/app", "✔ revision main@sha1:c0ffee", "✔ digest {image}@sha256:"},
		},
		{
			does: "sluice pulls what flux has pushed", ours: true, run: "pull artifact {artifact}:1.0.0 -o {own} --insecure-registry",
			err: []string{"source https://git.example.com/app", "revision main@sha1:c0ffee", "digest {image}@sha256:"},
		},
		{
			does: "both find that something else is there", run: "diff artifact {artifact}:1.0.0 --path={dir} --insecure-registry", code: 1,
			err: []string{"✗ the remote artifact contents differs from the local one"},
			before: func(t *testing.T) {
				t.Helper()
				for _, dir := range []string{theirs, own} {
					text, err := os.ReadFile(filepath.Join(dir, "other.yaml"))
					if err != nil || !strings.Contains(string(text), "kind: ConfigMap") {
						t.Errorf("pulled %q, %v", text, err)
					}
				}
				if err := os.WriteFile(filepath.Join(s.values["{dir}"], "more.yaml"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			does: "and sluice says what", ours: true, run: "diff artifact {artifact}:1.0.0 --path={dir} --insecure-registry", code: 1,
			out: []string{"+ more.yaml"}, err: []string{"the remote artifact contents differs from the local one"},
		},
		{
			does: "an OCIRepository fetches what flux has pushed",
			run:  "create source oci theirs --url={artifact} --tag=1.0.0 --interval=1h --insecure",
			err:  []string{"✔ fetched revision: 1.0.0@sha256:"},
		},
		{
			does: "and what sluice has pushed",
			run:  "create source oci own --url={artifact} --tag=1.1.0 --interval=1h --insecure",
			err:  []string{"✔ fetched revision: 1.1.0@sha256:"},
		},
	})
}

// digest is that of a tag of the story's image.
func (s *story) digest(t *testing.T, tag string) string {
	t.Helper()
	ref, err := name.NewTag(s.values["{image}"]+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	found, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	return found.Digest.String()
}
