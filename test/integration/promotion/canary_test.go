// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// released is the Deployment of production, and what gets users to it.
const released = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  replicas: 1
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
      - name: app
        image: REGISTRY/NAMESPACE/NAME:VERSION # {"$imagepolicy": "NAMESPACE:NAME"}
`

// flaggers is a Canary that a Flagger beside would serve.
const flaggers = `
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  provider: kubernetes
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: NAME}
  service: {port: 80}
  analysis: {interval: 10s, threshold: 1, iterations: 1}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: NAME}
  update: {path: ./production}
  git: {commit: {author: {name: Somebody, email: somebody@example.com}}}
`

// TestAFailedCanaryIsInQuarantineBeforeItsCommitAndStaysOut has a Canary whose phase the
// test says, as a Flagger beside does; with Sluice's own and with users it is
// [github.com/sluice-cd/sluice/test/e2e/promotion].
func TestAFailedCanaryIsInQuarantineBeforeItsCommitAndStaysOut(t *testing.T) {
	s := newScenario(t, "canary")
	manifest := func(version string) string { return s.fill(strings.ReplaceAll(released, "VERSION", version)) }
	s.must(s.git.commit(t.Context(), "Release", map[string]string{"production/app.yaml": manifest("1.0.0")}))
	s.apply(images, kustomizations, byCommits, flaggers)
	t.Cleanup(func() { // before the pipeline: without one the markers are the automation's
		_ = s.p.Client.Delete(context.Background(),
			&imagev1.ImageUpdateAutomation{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name}})
	})
	s.stands("1.0.0", "1.0.0")
	s.stage("production", "{verify: [{canary: {name: NAME}}], onFailure: {quarantine: 3s}}")
	pushes := s.recordPushes()
	s.push("1.1.0")
	s.pipelineBecomes("production has 1.1.0, and asks the canary", func(p *sluicev1.Pipeline) bool {
		has := statusOf(p, "production").Has
		return has != nil && has.Versions[0].Tag == "1.1.0" && statusOf(p, "production").Targets[0].Ready == metav1.ConditionTrue
	})
	s.canarySays(flaggerv1.CanaryPhaseFailed)
	p := s.pipelineBecomes("production has 1.0.0 again", func(p *sluicev1.Pipeline) bool {
		has := statusOf(p, "production").Has
		return has != nil && has.Versions[0].Tag == "1.0.0" && len(p.Status.Quarantined) == 1
	})
	s.canarySays(flaggerv1.CanaryPhaseSucceeded) // of the version that is there again

	// The order at the Git server: what was decided is on its branch first.
	order := pushes()
	rollback := strings.LastIndex(order, "main Roll back production to app 1.0.0")
	quarantine := strings.Index(order, s.state()+" App 1.1.0 failed in production")
	if quarantine < 0 || rollback < quarantine {
		t.Errorf("the pushes were\n%s", order)
	}

	// Nobody bumps it again, neither now nor when the quarantine is over.
	until := p.Status.Quarantined[0].Until
	if until == nil {
		t.Fatalf("the quarantine has no end: %+v", p.Status.Quarantined)
	}
	main := s.headOf("main")
	s.look()
	s.pipelineBecomes("the quarantine is over", func(*sluicev1.Pipeline) bool { return time.Now().After(until.Time) })
	s.look()
	s.look()
	if text, err := s.git.file(t.Context(), "main", "production/app.yaml"); err != nil || text != strings.TrimSpace(manifest("1.0.0")) ||
		s.headOf("main") != main {
		t.Errorf("production has %s, %v: %q", text, err, s.subjects())
	}
}

// canarySays writes the phase of the Canary, as its controller would now.
func (s *scenario) canarySays(phase flaggerv1.CanaryPhase) {
	s.Helper()
	c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name}}
	patch := fmt.Appendf(nil, `{"status":{"phase":%q,"canaryWeight":0,"failedChecks":0,"iterations":0,"lastTransitionTime":%q}}`,
		phase, time.Now().UTC().Format(time.RFC3339))
	s.must(s.p.Client.Status().Patch(s.Context(), c, client.RawPatch(types.MergePatchType, patch)))
}

// recordPushes has the Git server note each branch that is pushed to, with the subject of
// its new head, and returns what reads the notes.
func (s *scenario) recordPushes() func() string {
	s.Helper()
	git, ok := s.git.(playgroundGit)
	if !ok {
		s.Fatal("the repository is elsewhere")
	}
	notes := filepath.Join(s.TempDir(), "pushes")
	hook := "#!/bin/sh\necho \"${1#refs/heads/} $(git show --no-patch --format=%B $3 | tr '\\n' ' ')\" >>" + notes + "\n"
	s.must(os.WriteFile(filepath.Join(git.Bare, "hooks", "update"), []byte(hook), 0o755))
	return func() string {
		s.Helper()
		text, err := os.ReadFile(notes)
		s.must(err)
		return string(text)
	}
}
