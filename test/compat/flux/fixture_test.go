// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/harness"
)

// deployment is what the stories apply; its image is set by a policy.
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: podinfo
spec:
  selector:
    matchLabels: {app: podinfo}
  template:
    metadata:
      labels: {app: podinfo}
    spec:
      containers:
      - name: podinfo
        image: {image}:1.0.0 # {"$imagepolicy": "{ns}:podinfo"}
`

// clone makes the story's Git repository, named as its namespace.
func (s *story) clone(t *testing.T) *harness.Repo {
	t.Helper()
	repo, err := s.NewRepo(t.Context(), s.namespace, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(repo.Bare) })
	s.commit(t, repo, "deploy/podinfo.yaml", s.fill(deployment))
	return repo
}

func (s *story) commit(t *testing.T, repo *harness.Repo, name, content string) {
	t.Helper()
	if _, err := repo.Commit(t.Context(), "A commit", map[string][]byte{name: []byte(content)}); err != nil {
		t.Fatal(err)
	}
}

// push pushes a tag of the story's image.
func (s *story) push(t *testing.T, tag string) {
	t.Helper()
	if _, err := s.PushImage(t.Context(), s.repository, tag, nil); err != nil {
		t.Fatal(err)
	}
}

// kubectl runs a command in the story's namespace and returns what it prints.
func (s *story) kubectl(t *testing.T, command string) string {
	t.Helper()
	said := s.command(t, harness.Patience, s.Kubectl, append(strings.Fields(command), "-n", s.namespace)...)
	if said.code != 0 {
		t.Fatalf("kubectl %s: exit code %d\n%s", command, said.code, said.err)
	}
	return said.out
}

// apply applies manifests into the story's namespace.
func (s *story) apply(t *testing.T, manifests string) {
	t.Helper()
	if err := s.Apply(t.Context(), []byte(s.fill(manifests))); err != nil {
		t.Fatal(err)
	}
}

// source are the first steps of every story that reads Git.
func source() []step {
	return []step{
		{
			does: "create secret git makes credentials",
			run:  "create secret git auth --url={git} --username={git-user} --password={git-password}",
			err:  []string{"git secret 'auth' created in '{ns}' namespace"},
		},
		{
			does: "create source git waits for an artifact",
			run:  "create source git repo --url={git}/{ns}.git --branch=main --secret-ref=auth --interval=1h",
			err: []string{
				"✔ GitRepository source created", "✔ GitRepository source reconciliation completed",
				"✔ fetched revision: main@sha1:",
			},
		},
	}
}

// writeManifests writes a folder of manifests as somebody has it who is about to
// commit it.
func writeManifests(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
	if err := os.WriteFile(filepath.Join(dir, "other.yaml"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
