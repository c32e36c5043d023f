// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// right is a Pipeline in which all is right.
const right = `
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: CASE, namespace: NAMESPACE}
spec:
  artifacts: [{name: app, imagePolicyRef: {name: NAME}}]
  sourceRef: {kind: GitRepository, name: NAME}
  stages:
  - name: staging
    write: {commit: {}, path: ./CASE/staging}
  - name: production
    after: {stages: [staging]}
    write: {commit: {}, path: ./CASE/production}
`

// goesOn are the mistakes with which a pipeline is Ready all the same: what it waits for may
// come, and the rest of it works.
var goesOn = []string{
	"window-of-the-past", "windows-of-nothing",
}

// mistake is one in such a Pipeline: what is written instead of what is right, and what is said
// of it.
type mistake struct{ Name, Right, Wrong, Says string }

func readMistakes(t *testing.T) map[string]mistake {
	t.Helper()
	text, err := os.ReadFile("testdata/mistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var list []mistake
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]mistake{}
	for _, m := range list {
		if all[m.Name] = m; !strings.Contains(right, m.Right) || m.Right == m.Wrong {
			t.Fatalf("%s is no mistake", m.Name)
		}
	}
	return all
}

// TestAMistakeIsSaidWithItsFieldAndARemedy makes many mistakes in Pipelines.
func TestAMistakeIsSaidWithItsFieldAndARemedy(t *testing.T) {
	mistakes := readMistakes(t)
	s := newScenario(t, "mistakes")
	git, ok := s.git.(playgroundGit)
	if !ok {
		t.Fatal("the repository is elsewhere")
	}
	files := map[string]string{"bare/app.yaml": "kind: None\n"}
	for name := range mistakes {
		files[name+"/staging/app.yaml"] = s.stageFile(name, "1.0.0")
		files[name+"/production/app.yaml"] = s.stageFile(name, "1.0.0")
	}
	s.must(s.git.commit(t.Context(), "Begin", files))
	_, err := harness.Git(t.Context(), "-C", git.Bare, "branch", "protected", harness.Branch)
	s.must(err)
	hook := "#!/bin/sh\n[ $1 != refs/heads/protected ] || { echo 'GH006: Protected branch update failed' >&2; exit 1; }\n"
	s.must(os.WriteFile(filepath.Join(git.Bare, "hooks", "update"), []byte(hook), 0o755))
	s.apply(images, strings.ReplaceAll(emptyPolicy, "NAME-empty", s.name+"-empty"))
	refused := map[string]string{}
	for name, m := range mistakes {
		manifest := strings.Replace(right, m.Right, m.Wrong, 1)
		if err := s.p.Apply(t.Context(), []byte(s.fill(strings.ReplaceAll(manifest, "CASE", name)))); err != nil {
			refused[name] = err.Error()
		}
	}
	s.push("1.1.0")
	for name, m := range mistakes {
		want := s.fill(strings.ReplaceAll(m.Says, "CASE", name))
		if said := refused[name]; said != "" {
			if !strings.Contains(said, want) || !strings.Contains(said, name) {
				t.Errorf("%s: it is refused with %q, want %q", name, said, want)
			}
			continue
		}
		p := &sluicev1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
		if _, err := harness.Eventually(t.Context(), name+": "+want, harness.Patience, func(context.Context) (bool, string) {
			err := s.p.Client.Get(t.Context(), client.ObjectKeyFromObject(p), p)
			return err == nil && strings.Contains(standing(p), want) && isReady(p) == slices.Contains(goesOn, name), fmt.Sprint(err, standing(p))
		}); err != nil {
			t.Error(err)
		}
		s.must(s.p.Client.Delete(t.Context(), p))
	}
}

// isReady reports whether a pipeline says that all is well.
func isReady(p *sluicev1.Pipeline) bool {
	return apimeta.IsStatusConditionTrue(p.Status.Conditions, meta.ReadyCondition)
}

// emptyPolicy has no image to choose.
const emptyPolicy = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: NAME-empty, namespace: NAMESPACE}
spec: {imageRepositoryRef: {name: NAME}, policy: {semver: {range: ">=9.0.0"}}}
`
