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
	"window-of-the-past", "windows-of-nothing", "no-metric-template", "kind-not-installed", "no-kubeconfig",
}

// mistakes are what is wrong with such a Pipeline, and what is said of it: each names the
// object, the field and what helps.
var mistakes = map[string]struct {
	old, new string // what is right, and what is written instead
	want     string
}{
	"misspelt-stage":      {"[staging]", "[stagin]", `stages[].after.stages names a stage that is not in stages: correct the name, or add the stage`},
	"circle":              {"- name: staging\n", "- name: staging\n    after: {stages: [production]}\n", `spec.stages[staging].after.stages: the stage comes after itself: staging after production after staging: leave one of them out`},
	"after-itself":        {"after: {stages: [staging]}", "after: {stages: [production]}", `spec.stages[production].after.stages: the stage comes after itself: production after production: leave one of them out`},
	"no-policy":           {"imagePolicyRef: {name: NAME}", "imagePolicyRef: {name: nowhere}", `ImagePolicy NAMESPACE/nowhere does not exist: create it, or correct its name in spec.artifacts[].imagePolicyRef`},
	"policy-not-ready":    {"imagePolicyRef: {name: NAME}", "imagePolicyRef: {name: NAME-empty}", "artifact app: ImagePolicy NAMESPACE/NAME-empty is not Ready"},
	"no-oci-repository":   {"imagePolicyRef: {name: NAME}", "ociRepositoryRef: {name: nowhere}", `spec.stages[staging].write.setters: markers are of ImagePolicies: artifact app, of an OCIRepository, needs a setter`},
	"no-repository":       {"sourceRef: {kind: GitRepository, name: NAME}", "sourceRef: {kind: GitRepository, name: nowhere}", `spec.sourceRef: reading GitRepository NAMESPACE/nowhere: GitRepository.source.toolkit.fluxcd.io "nowhere" not found: create what is not found, or correct its name`},
	"source-of-no-kind":   {"sourceRef: {kind: GitRepository, name: NAME}", "sourceRef: {kind: Bucket, name: NAME}", `spec.sourceRef.kind: Unsupported value: "Bucket": supported values: "GitRepository"`},
	"no-source":           {"sourceRef: {kind: GitRepository, name: NAME}", "", `sourceRef is required unless every stage writes a tag`},
	"no-such-path":        {"path: ./CASE/production", "path: ./CASE/prod", `spec.stages[production].write.path: looking for markers in "./CASE/prod": open CASE/prod: file does not exist: create it, or correct the path`},
	"path-outside":        {"path: ./CASE/production", "path: ../CASE/production", `spec.stages[production].write.path: "../CASE/production" leads out of the repository: name a folder below its root`},
	"no-marker":           {"path: ./CASE/production", "path: ./bare", `spec.stages[production].write.path: no field has a marker of the policies, or is named by a setter below "./bare": give the field a marker, or name it in write.setters`},
	"no-such-branch":      {"path: ./CASE/production", "path: ./CASE/production, branch: nowhere", `spec.stages[production].write.branch: GitRepository NAMESPACE/NAME has no branch nowhere: create it, or correct the name`},
	"one-path-twice":      {"path: ./CASE/production", "path: ./CASE/staging", `spec.stages[production].write.path: stage staging writes the markers of ImagePolicy NAMESPACE/NAME`},
	"no-kustomization":    {"path: ./CASE/production}", "path: ./CASE/production}\n    ready: [{kind: Kustomization, name: nowhere}]", `Kustomization NAMESPACE/nowhere does not exist: create it, or correct its name in spec.stages[production].ready`},
	"misspelt-kind":       {"path: ./CASE/production}", "path: ./CASE/production}\n    ready: [{kind: Kustomisation, name: nowhere}]", `spec.stages[production].ready[0]: apiVersion is required for the kind Kustomisation: only `},
	"kind-not-installed":  {"path: ./CASE/production}", "path: ./CASE/production}\n    ready: [{kind: Widget, apiVersion: example.com/v1, name: nowhere}]", `the API server does not have the kind Widget of example.com/v1: install its CRD, or correct apiVersion`},
	"no-canary":           {"path: ./CASE/production}", "path: ./CASE/production}\n    verify: [{canary: {name: nowhere}}]", `Canary NAMESPACE/nowhere does not exist: create it, or correct its name in spec.stages[production].verify`},
	"no-metric-template":  {"path: ./CASE/production}", "path: ./CASE/production}\n    verify: [{metrics: {interval: 10s, for: 1m, checks: [{name: errors, templateRef: {name: nowhere}, thresholdRange: {max: 1}}]}}]", `MetricTemplate`},
	"metrics-no-range":    {"path: ./CASE/production}", "path: ./CASE/production}\n    verify: [{metrics: {interval: 10s, for: 1m, checks: [{name: errors, query: up}]}}]", `spec.stages[production].verify[0].metrics.checks[0].thresholdRange: min or max is required`},
	"job-no-template":     {"path: ./CASE/production}", "path: ./CASE/production}\n    verify: [{job: {template: {spec: {}}}}]", `spec.stages[production].verify[0].job.template: spec.template.spec.containers: there is none`},
	"no-kubeconfig":       {"path: ./CASE/production}", "path: ./CASE/production}\n    ready: [{kind: Kustomization, name: NAME, kubeConfig: {secretRef: {name: nowhere}}}]", `Kustomization NAMESPACE/NAME: the kubeConfig cannot be used: Secret NAMESPACE/nowhere does not exist`},
	"unknown-forge":       {"write: {commit: {}, path: ./CASE/production}", "write: {pullRequest: {}, path: ./CASE/production}", `spec.forge.provider: invalid configuration: which forge is at host 127.0.0.1 is not known: name it in field provider`},
	"no-forge-secret":     {"write: {commit: {}, path: ./CASE/production}", "write: {pullRequest: {}, path: ./CASE/production}\n  forge: {provider: gitea, secretRef: {name: nowhere}}", `spec.forge.secretRef: reading secret NAMESPACE/nowhere: secrets "nowhere" not found`},
	"forge-url-no-secret": {"write: {commit: {}, path: ./CASE/production}", "write: {pullRequest: {}, path: ./CASE/production}\n  forge: {provider: gitea, url: https://git.example.com}", `spec.forge.secretRef: spec.forge.url needs a Secret of the pipeline`},
	"unknown-provider":    {"write: {commit: {}, path: ./CASE/production}", "write: {pullRequest: {}, path: ./CASE/production}\n  forge: {provider: githug}", `spec.forge.provider: Unsupported value: "githug": supported values: "github"`},
	"two-ways":            {"write: {commit: {}, path: ./CASE/production}", "write: {commit: {}, pullRequest: {}, path: ./CASE/production}", `spec.stages[1].write: Invalid value: exactly one of commit, pullRequest and tag is required`},
	"no-way":              {"write: {commit: {}, path: ./CASE/production}", "write: {path: ./CASE/production}", `spec.stages[1].write: Invalid value: exactly one of commit, pullRequest and tag is required`},
	"branch-prefix":       {"write: {commit: {}, path: ./CASE/production}", "write: {pullRequest: {branchPrefix: 'a b'}, path: ./CASE/production}", `spec.stages[1].write.pullRequest.branchPrefix`},
	"tag-with-scheme":     {"write: {commit: {}, path: ./CASE/production}", "write: {tag: {repository: 'https://registry.example.com/app', tag: live}}", `spec.stages[production].write.tag.repository: "https://registry.example.com/app" is no repository of a registry, which has no scheme, tag or digest`},
	"message-template":    {"write: {commit: {}, path: ./CASE/production}", "write: {commit: {messageTemplate: '{{ .Bundel }}'}, path: ./CASE/production}", `spec.stages[production].write.commit.messageTemplate`},
	"template-syntax":     {"write: {commit: {}, path: ./CASE/production}", "write: {commit: {messageTemplate: '{{ .Bundle '}, path: ./CASE/production}", `spec.stages[production].write.commit.messageTemplate:1: unclosed action`},
	"setter-artifact":     {"path: ./CASE/production", "path: ./CASE/production, setters: [{artifact: api, file: app.yaml, yaml: data.tag, part: tag}]", `spec.stages[production].write.setters[0].artifact: there is no artifact api in spec.artifacts`},
	"setter-file":         {"path: ./CASE/production", "path: ./CASE/production, setters: [{artifact: app, file: values.yaml, helmValues: {tag: image.tag}}]", `spec.stages[production].write.setters: the setter does not fit its file: setter of artifact app in CASE/production/values.yaml: open CASE/production/values.yaml: file does not exist: correct the setter, or the file`},
	"setter-field":        {"path: ./CASE/production", "path: ./CASE/production, setters: [{artifact: app, file: app.yaml, helmValues: {tag: image.tag}}]", `helmValues.tag image.tag: the file has no such field: correct the setter, or the file`},
	"setter-pattern":      {"path: ./CASE/production", "path: ./CASE/production, setters: [{artifact: app, file: app.yaml, regex: 'tag: ('}]", `spec.stages[production].write.setters[0]`},
	"no-such-zone":        {"path: ./CASE/production}", "path: ./CASE/production}\n    windows: [{name: office, kind: Allow, cron: '0 9 * * *', until: '17:00', timeZone: Europe/Berln}]", `spec.stages[production].windows: invalid window "office": timeZone: unknown time zone Europe/Berln: name one of the IANA's, such as Europe/Zurich`},
	"zone-local":          {"path: ./CASE/production}", "path: ./CASE/production}\n    windows: [{name: office, kind: Allow, cron: '0 9 * * *', until: '17:00', timeZone: Local}]", `the time zone Local is that of some machine: name one, such as Europe/Zurich`},
	"cron-of-no-day":      {"path: ./CASE/production}", "path: ./CASE/production}\n    windows: [{name: office, kind: Allow, cron: '0 9 31 2 *', until: '17:00'}]", `invalid window "office": its cron never comes: correct its day or month, or leave the window out`},
	"cron-of-four":        {"path: ./CASE/production}", "path: ./CASE/production}\n    windows: [{name: office, kind: Allow, cron: '0 9 * *', until: '17:00'}]", `invalid window "office": cron: expected exactly 5 fields, found 4`},
	"window-without-end":  {"path: ./CASE/production}", "path: ./CASE/production}\n    windows: [{name: office, kind: Allow, cron: '0 9 * * *'}]", `spec.stages[1].windows[0]: Invalid value: a window has cron and one of until and duration, or from and to`},
	"window-of-the-past":  {"path: ./CASE/production}", "path: ./CASE/production}\n    windows: [{name: office, kind: Allow, from: '2020-01-01T00:00:00Z', to: '2020-01-02T00:00:00Z'}]", "window office does not open again; `sluice pipeline promote --override` does not wait for it"},
	"window-backwards":    {"path: ./CASE/production}", "path: ./CASE/production}\n    windows: [{name: office, kind: Allow, from: '2020-01-02T00:00:00Z', to: '2020-01-01T00:00:00Z'}]", `invalid window "office": it needs a cron, or a from that is before its to`},
	"windows-of-nothing":  {"path: ./CASE/production}", "path: ./CASE/production}\n    windows: [{name: office, kind: Allow, cron: '0 9 * * *', until: '17:00'}, {name: never, kind: Deny, cron: '0 0 * * *', duration: 24h}]", "window never does not open again; `sluice pipeline promote --override` does not wait for it"},
	"soak-without-unit":   {"after: {stages: [staging]}", "after: {stages: [staging], soak: '10'}", `spec.stages[1].after.soak`},
	"no-approvers":        {"path: ./CASE/production}", "path: ./CASE/production}\n    approval: {required: true, minApprovals: 0}", `spec.stages[1].approval.minApprovals`},
	"misspelt-field":      {"path: ./CASE/production}", "path: ./CASE/production}\n    aproval: {}", `.spec.stages[name="production"].aproval: field not declared in schema`},
	"quarantine-negative": {"path: ./CASE/production}", "path: ./CASE/production}\n    onFailure: {quarantine: -1h}", `spec.stages[1].onFailure.quarantine`},
	"protected-branch":    {"path: ./CASE/production", "path: ./CASE/production, branch: protected", `GH006: Protected branch update failed`},
}

// TestAMistakeIsSaidWithItsFieldAndARemedy makes many mistakes in Pipelines.
func TestAMistakeIsSaidWithItsFieldAndARemedy(t *testing.T) {
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
		manifest := strings.Replace(right, m.old, m.new, 1)
		if manifest == right {
			t.Fatalf("%s is no mistake", name)
		}
		if err := s.p.Apply(t.Context(), []byte(s.fill(strings.ReplaceAll(manifest, "CASE", name)))); err != nil {
			refused[name] = err.Error()
		}
	}
	s.push("1.1.0")
	for name, m := range mistakes {
		want := s.fill(strings.ReplaceAll(m.want, "CASE", name))
		if said := refused[name]; said != "" {
			if !strings.Contains(said, want) || !strings.Contains(said, name) {
				t.Errorf("%s: it is refused with %q, want %q", name, said, want)
			}
			continue
		}
		p := &sluicev1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
		if _, err := harness.Eventually(t.Context(), name+": "+want, patience, func(context.Context) (bool, string) {
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
