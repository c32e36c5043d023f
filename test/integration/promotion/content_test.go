// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"

	"github.com/sluice-cd/sluice/test/harness"
)

// What stages have, and whether that is Ready, whoever applies it.

// downstream are those who fetch and apply.
var downstream = map[string]func() (*environment, error){"Sluice's own Kustomizations": sluices, "Flux's own": fluxes}

func TestStagingStaysReadyWhenProductionLandsAfterIt(t *testing.T) {
	for whose, in := range downstream {
		t.Run(whose, func(t *testing.T) {
			s := newScenarioIn(t, "shared-main", in)
			s.begin(byCommits)
			statuses := s.watch()
			s.push("1.1.0")
			verified := false
			for p := range statuses {
				staging := statusOf(p, "staging")
				if now := hasVerified(p, "staging", "1.1.0"); verified && (!now || staging.Targets[0].Ready == metav1.ConditionFalse) {
					t.Fatalf("staging was verified with 1.1.0 before: %s", standing(p))
				} else if now {
					verified = true
				}
				if verified && hasVerified(p, "production", "1.1.0") {
					break
				}
			}
			if !verified {
				t.Fatalf("the watch ended: %s", standing(s.pipeline()))
			}
			s.fetch() // and so it stays when nothing goes on any more
			s.stands("1.1.0", "1.1.0")
		})
	}
}

// watch tells each status of the pipeline from now on, until [harness.Patience] ends.
func (s *scenario) watch() <-chan *sluicev1.Pipeline {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), harness.Patience)
	s.Cleanup(cancel)
	w, err := s.p.Client.Watch(ctx, &sluicev1.PipelineList{}, client.InNamespace(s.namespace), client.MatchingFields{"metadata.name": s.name})
	s.must(err)
	statuses := make(chan *sluicev1.Pipeline, 100)
	go func() {
		defer close(statuses)
		defer w.Stop()
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*sluicev1.Pipeline); ok {
				select {
				case statuses <- p:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return statuses
}

// TestReadyOnTheOldRevisionIsNotReady has the test say what a Kustomization would, so that
// it says the wrong thing for as long as it has to.
func TestReadyOnTheOldRevisionIsNotReady(t *testing.T) {
	f := newFleet(t, others, "--controllers=image,promotion")
	says := func(commit string) {
		t.Helper()
		f.says(&kustomizev1.Kustomization{}, "staging", fmt.Sprintf(`"lastAppliedRevision":"main@sha1:%s"`, commit))
	}
	head, err := f.repo.Head(t.Context())
	f.must(err)
	says(head)
	f.pipelineBecomes("staging is verified with what it has", func(p *sluicev1.Pipeline) bool { return verified(p, "staging", "1.0.0") })
	f.push("1.1.0")
	f.stagingSays("1.1.0", "has main@"+head[:7]+", which does not have this version")
	says(head) // Ready again, at the old one
	f.look()
	f.stagingSays("1.1.0", "which does not have this version")
	if got := f.pipeline().Status.Stages[0]; got.Verified != nil || got.Targets[0].Ready == metav1.ConditionTrue {
		t.Errorf("staging is %+v", got)
	}
	later, err := f.repo.Commit(t.Context(), "Note something", map[string][]byte{"README.md": []byte("unrelated\n")})
	f.must(err)
	says(later) // which never was the landing, and has its values
	f.pipelineBecomes("staging is verified at a later commit", func(p *sluicev1.Pipeline) bool { return verified(p, "staging", "1.1.0") })
}

func TestTenStagesOnOneBranchLandOnceEach(t *testing.T) {
	s := newScenario(t, "ten")
	const many = 10
	files, pipelines := map[string]string{}, []string{}
	for i := range many {
		files[fmt.Sprintf("stage-%d/app.yaml", i)] = s.stageFile(fmt.Sprintf("stage-%d", i), "1.0.0")
		pipelines = append(pipelines, fmt.Sprintf(`
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: NAME-%d, namespace: NAMESPACE}
spec:
  interval: 1h
  artifacts: [{name: app, imagePolicyRef: {name: NAME}}]
  sourceRef: {kind: GitRepository, name: NAME}
  stages: [{name: stage-%[1]d, write: {commit: {}, path: ./stage-%[1]d}}]
`, i))
	}
	s.must(s.git.commit(t.Context(), "Add ten stages", files))
	s.apply(append([]string{images}, pipelines...)...)
	all := func(version string) {
		t.Helper()
		for i := range many {
			one := *s
			one.name = fmt.Sprintf("%s-%d", s.name, i)
			one.pipelineBecomes("it is verified with "+version, func(p *sluicev1.Pipeline) bool {
				return hasVerified(p, fmt.Sprintf("stage-%d", i), version)
			})
		}
	}
	all("1.0.0")
	s.push("1.1.0")
	for i := range 3 {
		s.must(s.git.commit(t.Context(), fmt.Sprintf("Note %d", i), map[string]string{"notes.txt": fmt.Sprintf("note %d\n", i)}))
	}
	all("1.1.0")
	times := map[string]int{}
	for _, subject := range s.subjects() {
		times[subject]++
	}
	for i := range many {
		stage := fmt.Sprintf("stage-%d", i)
		s.want("main", stage, "1.1.0")
		if n := times["Promote "+stage+" to app 1.1.0"]; n != 1 {
			t.Errorf("%s landed %d times: %v", stage, n, times)
		}
	}
	if len(times) != 2+3+many {
		t.Errorf("the log is %v", times)
	}
}

func TestProductionAdvancesAlthoughBundlesComeFasterThanTheyAreVerified(t *testing.T) {
	s := newScenario(t, "fast")
	s.begin(byCommits)
	s.stage("staging", `verify: [{name: calm, metrics: {for: 2s, interval: 1s, checks: [{name: calm, interval: `+
		`1s, thresholdRange: {min: 1}, query: vector(1)}]}}]`)
	landed, pushed := 0, 0
	for ; landed < 2 && pushed < 100; pushed++ {
		version := fmt.Sprintf("1.%d.0", pushed+1)
		s.push(version)
		p := s.pipelineBecomes("the pipeline knows "+version, func(p *sluicev1.Pipeline) bool {
			return p.Status.Candidate != nil && p.Status.Candidate.Versions[0].Tag == version
		})
		landed = len(statusOf(p, "production").Landings) - 1
	}
	if landed < 2 || pushed < landed+2 {
		t.Errorf("of %d bundles production got %d: %s", pushed, landed, standing(s.pipeline()))
	}
}

// together are an api and a web, which are one bundle.
const together = `
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: NAME-web, namespace: NAMESPACE}
spec: {image: REGISTRY/NAMESPACE/NAME-web, interval: 1h, insecure: true}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: NAME-web, namespace: NAMESPACE}
spec: {imageRepositoryRef: {name: NAME-web}, policy: {semver: {range: ">=1.0.0"}}}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  interval: 1h
  artifacts: [{name: api, imagePolicyRef: {name: NAME}}, {name: web, imagePolicyRef: {name: NAME-web}}]
  together: {waitFor: 1h}
  sourceRef: {kind: GitRepository, name: NAME}
  stages: [{name: staging, write: {commit: {}, path: ./staging}}]
`

func TestNothingIsWrittenUntilAllArtifactsAreThereOrTheTimeIsOver(t *testing.T) {
	s := newScenario(t, "together")
	marker := fmt.Sprintf("  web: 1.0.0 # {\"$imagepolicy\": \"%s:%s-web:tag\"}\n", s.namespace, s.name)
	s.must(s.git.commit(t.Context(), "Add web", map[string]string{"staging/app.yaml": s.stageFile("staging", "1.0.0") + marker}))
	_, err := s.p.PushImage(t.Context(), s.namespace+"/"+s.name+"-web", "1.0.0", nil)
	s.must(err)
	s.apply(images, together)
	s.pipelineBecomes("staging is verified with what it has", func(p *sluicev1.Pipeline) bool { return hasVerified(p, "staging", "1.0.0") })
	before := len(s.subjects())

	s.push("1.1.0")
	s.pipelineBecomes("staging waits for web", func(p *sluicev1.Pipeline) bool {
		return waits(p, "staging", sluicev1.GateUpstream, "api changed: waiting until ")
	})
	s.look()
	if log := s.subjects(); len(log) != before {
		t.Errorf("something was written without web: %q", log)
	}
	s.pushOf(s.name+"-web", "1.1.0")
	s.pipelineBecomes("staging has both", func(p *sluicev1.Pipeline) bool { return hasVerified(p, "staging", "1.1.0") })
	if log := s.subjects(); len(log) != before+1 || log[0] != "Promote staging to api 1.1.0, web 1.1.0" {
		t.Errorf("the log is %q", log)
	}

	s.change(func(p *sluicev1.Pipeline) { p.Spec.Together.WaitFor = &metav1.Duration{Duration: 2 * time.Second} })
	since := time.Now().Truncate(time.Second)
	s.push("1.2.0")
	p := s.pipelineBecomes("staging has the api alone", func(p *sluicev1.Pipeline) bool { return hasVerified(p, "staging", "1.2.0") })
	if at := statusOf(p, "staging").Since.Time; at.Before(since.Add(2 * time.Second)) {
		t.Errorf("it landed at %s, and was pushed after %s", at, since)
	}
	if log := s.subjects(); log[0] != "Promote staging to api 1.2.0, web 1.1.0" {
		t.Errorf("the log is %q", log)
	}
}

func TestASoakedBundleThatWasReplacedInStagingStaysEligible(t *testing.T) {
	s := newScenario(t, "soak")
	s.begin(byCommits + "    windows: []\n")
	s.change(func(p *sluicev1.Pipeline) {
		begin, end := metav1.NewTime(time.Now().Add(-time.Hour)), metav1.NewTime(time.Now().Add(time.Hour))
		p.Spec.Stages[1].Windows = []sluicev1.Window{{Name: "incident", Kind: sluicev1.WindowDeny, From: &begin, To: &end}}
		p.Spec.Stages[1].After.Soak = &metav1.Duration{Duration: 2 * time.Second}
	})
	s.push("1.1.0")
	s.pipelineBecomes("1.1.0 has soaked, and waits for the window", func(p *sluicev1.Pipeline) bool {
		wants := statusOf(p, "production").Wants
		return wants != nil && wants.Versions[0].Tag == "1.1.0" && waits(p, "production", sluicev1.GateWindow, "incident")
	})
	s.suspend("staging", true) // 1.2.0 is there, and never verified
	s.push("1.2.0")
	s.pipelineBecomes("staging has 1.2.0", func(p *sluicev1.Pipeline) bool { return statusOf(p, "staging").Has.Versions[0].Tag == "1.2.0" })
	s.push("1.3.0") // which never is there
	s.pipelineBecomes("1.3.0 waits for the verdict on 1.2.0", func(p *sluicev1.Pipeline) bool {
		return waits(p, "staging", sluicev1.GateVerdict, "1.2.0 is not verified yet")
	})
	s.stage("production", "windows: null")
	s.pipelineBecomes("production has 1.1.0", func(p *sluicev1.Pipeline) bool { return hasVerified(p, "production", "1.1.0") })
	s.look()
	s.want("main", "staging", "1.2.0")
	s.want("main", "production", "1.1.0")
	for _, subject := range s.subjects() {
		if strings.HasPrefix(subject, "Promote production") && subject != "Promote production to app 1.1.0" {
			t.Errorf("there is a commit %q", subject)
		}
	}
}
