// SPDX-License-Identifier: Apache-2.0

package tenants

import (
	"fmt"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// neighbours are attempts to use or read what belongs to the other tenant.
func (s *stage) neighbours() map[string]attack {
	return map[string]attack{
		"a commit with somebody's credentials": {objects: `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: theirs}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: app, namespace: <.Victim>}
  git: {commit: {author: {name: bot, email: bot@example.com}}}
`, want: []string{"can't access"}, stalled: true},
		"somebody's list of tags": {objects: `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: theirs}
spec:
  imageRepositoryRef: {name: app, namespace: <.Victim>}
  policy: {semver: {range: 1.x}}
`, want: []string{"cannot access"}, stalled: true},
		"somebody's source": {operator: true, files: map[string]string{"a.yaml": "a: b\n"}, objects: `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: theirs}
spec:
  interval: 1h
  prune: true
  serviceAccountName: tenant
  sourceRef: {kind: GitRepository, name: app, namespace: <.Victim>}
`, want: []string{"can't access"}, stalled: true},
		"what somebody's object says": {
			operator: true, before: s.tellSomething,
			files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: health}\n"},
			objects: s.kustomization("health", `  timeout: 5s
  healthChecks: [{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, name: told, namespace: <.Victim>}]
`), want: []string{"told"}},
		"values of a Secret in an error": {operator: true, files: map[string]string{
			"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: masked}\ndata:\n  a: ${VALUE}\nbinaryData: {x: \"${VALUE}\"}\n"},
			objects: s.kustomization("masked", `  postBuild: {substituteFrom: [{kind: Secret, name: values}]}
`) + `---
apiVersion: v1
kind: Secret
metadata: {name: values, namespace: <.Tenant>}
stringData: {VALUE: '[{"` + secret("value") + `": 987654321}]'}
`, want: []string{"ConfigMap", "masked", "building", "YAML", "yaml", "json"}},
	}
}

// tellSomething makes an object of the other tenant's whose status tells a secret.
func (s *stage) tellSomething(t *testing.T, _ *stage) {
	told := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: s.Victim, Name: "told"},
		Spec: sourcev1.GitRepositorySpec{URL: "https://git.example.com/a", Suspend: true, Interval: metav1.Duration{Duration: 1 << 40}}}
	if err := s.Client.Create(t.Context(), told); err != nil {
		t.Fatal(err)
	}
	told.Status.ObservedGeneration = told.Generation
	told.Status.Conditions = []metav1.Condition{
		{Type: "Ready", Status: metav1.ConditionFalse, Reason: "Failed", LastTransitionTime: metav1.Now(),
			Message: "login with " + secret("status"), ObservedGeneration: told.Generation},
		{Type: "Stalled", Status: metav1.ConditionTrue, Reason: "Failed", LastTransitionTime: metav1.Now(),
			Message: "login with " + secret("status"), ObservedGeneration: told.Generation},
	}
	if err := s.Client.Status().Update(t.Context(), told); err != nil {
		t.Fatal(err)
	}
}

// routes are attempts to keep others from a server that both use.
func (s *stage) routes() map[string]attack {
	hanging, silent := "", ""
	for i := range 16 {
		hanging += fmt.Sprintf(`---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: hanging-%d}
spec: {url: "<.Silent.URL>/hang-%d.git", interval: 1h, timeout: 999m}
`, i, i)
		silent += fmt.Sprintf(`---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: hanging-%d}
spec: {image: <.Silent.Host>/hang/x%d, interval: 1h, timeout: 999m, insecure: true}
`, i, i)
	}
	return map[string]attack{
		"the registry of both says later, through a proxy": {objects: with(`apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: later}
spec: {image: <.Registry>/<.Victim>/app, interval: 1h, insecure: true, proxySecretRef: {name: later}}
`, "later")},
		"Git servers that never answer": {objects: strings.TrimPrefix(hanging, "---\n")},
		"registries that never answer":  {objects: strings.TrimPrefix(silent, "---\n")},
		"a server that repeats what it is told": {objects: `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: echo}
spec: {image: <.Evil.Host>/x/echo, interval: 1h, insecure: true, secretRef: {name: echo}}
---
apiVersion: v1
kind: Secret
metadata: {name: echo}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths":{"<.Evil.Host>":{"username":"u","password":"` + secret("registry") + `"}}}'}
`, want: []string{"x/echo"}},
		"a Git server that repeats what it is told": {objects: `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: echo}
spec: {url: "<.Evil.URL>/echo.git", interval: 1h, secretRef: {name: git-echo}}
---
apiVersion: v1
kind: Secret
metadata: {name: git-echo}
stringData: {username: u, password: ` + secret("git") + `}
`, want: []string{"echo.git", "authoriz", "authentic", "403", "denied"}},
	}
}
