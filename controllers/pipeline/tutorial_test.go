// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// tutorial is a story of docs/promotion.md, told by the controller.
type tutorial struct {
	*env
	git func(arguments ...string) string // in the repository
	tag func(stage string) string        // that a stage has on main
}

// step is a numbered step of the page: what its commands print.
type step struct{ command, prints string }

// stepsOf are those below a heading of the page, by their numbers.
func stepsOf(t *testing.T, heading string) map[string][]step {
	t.Helper()
	_, section, ok := strings.Cut(read(t, docs+"promotion.md"), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/promotion.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	steps := map[string][]step{}
	for _, part := range strings.Split(section, "\n**")[1:] {
		number, rest, _ := strings.Cut(part, ".")
		for _, block := range strings.Split(rest, "```console\n")[1:] {
			block, _, _ = strings.Cut(block, "\n```")
			for _, one := range strings.Split("\n"+block, "\n$ ")[1:] {
				command, prints, _ := strings.Cut(one, "\n")
				steps[number] = append(steps[number], step{command, prints})
			}
		}
	}
	return steps
}

// commit is a hash of a commit, which is another one each time.
var commit = regexp.MustCompile(`\b[0-9a-f]{7}\b`)

// prints holds the commands of a step to what they print. Those that need more than a
// repository and the Pipeline have no output on the page.
func (s *tutorial) prints(steps []step) {
	s.t.Helper()
	compared := 0
	for _, one := range steps {
		var got string
		if path, ok := strings.CutPrefix(one.command, "kubectl get pipeline shop -o jsonpath="); ok {
			got = s.path(strings.Trim(path, "'"))
		} else if arguments, ok := strings.CutPrefix(one.command, "git "); ok {
			got = s.git(strings.Fields(strings.ReplaceAll(arguments, "origin/", ""))...)
		} else if one.prints == "" {
			continue
		}
		compared++
		want, got := commit.ReplaceAllString(one.prints, "0123456"), commit.ReplaceAllString(strings.TrimSpace(got), "0123456")
		if diff := cmp.Diff(want, got); diff != "" {
			s.t.Errorf("docs/promotion.md, %s (-page +real):\n%s", one.command, diff)
		}
	}
	if compared == 0 {
		s.t.Error("the step shows nothing")
	}
}

// path is what kubectl prints of the pipeline.
func (s *tutorial) path(template string) string {
	s.t.Helper()
	expression := jsonpath.New("page")
	if err := expression.Parse(template); err != nil {
		s.t.Fatal(err)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s.pipeline)
	if err != nil {
		s.t.Fatal(err)
	}
	var text strings.Builder
	if err := expression.Execute(&text, object); err != nil {
		s.t.Fatal(err)
	}
	return text.String()
}

// failedCheck is what a Canary says of a check that fails.
const failedCheck = "Halt app.apps advancement success rate 91.20% < 99%"

// releases has the canary of production come to an end with what Git says.
func (s *tutorial) releases(phase flaggerv1.CanaryPhase, why string) {
	s.t.Helper()
	var d appsv1.Deployment
	s.get("app", &d)
	d.Spec.Template.Spec.Containers[0].Image = "registry/app:" + s.tag("production")
	s.update(&d)
	var c flaggerv1.Canary
	s.get("app", &c)
	c.Status.Phase, c.Status.LastTransitionTime = phase, metav1.NewTime(s.clock.Now())
	if phase == flaggerv1.CanaryPhaseFailed {
		c.Status.History = []flaggerv1.CanaryRelease{{Verdict: flaggerv1.VerdictFailed, Reason: why}}
	}
	s.update(&c)
}

// tutorialFiles are what readers of the page copy, and what the story is told with here.
const tutorialFiles = "../../config/samples/promotion/tutorial/"

// asIn has the Pipeline of a file, with the defaults of the schema.
func asIn(t *testing.T, file string) func(*sluicev1.Pipeline) {
	t.Helper()
	var shown sluicev1.Pipeline
	must(t, yaml.UnmarshalStrict([]byte(read(t, tutorialFiles+file)), &shown))
	return func(p *sluicev1.Pipeline) {
		if p.Name != shown.Name || p.Namespace != shown.Namespace {
			t.Errorf("%s has %s/%s", file, shown.Namespace, shown.Name)
		}
		interval := p.Spec.Interval
		p.Spec = shown.Spec
		p.Spec.Interval = interval
		for i := range p.Spec.Stages {
			p.Spec.Stages[i].VerifyTimeout = metav1.Duration{Duration: 30 * time.Minute}
		}
	}
}

// begins are the files that the story begins with.
func begins(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range files(t, tutorialFiles+"repository/*/*.yaml") {
		name := strings.TrimPrefix(filepath.ToSlash(file), tutorialFiles+"repository/")
		found[name] = strings.ReplaceAll(read(t, file), "${SLUICE_REGISTRY}", "registry")
	}
	return found
}

// tagIn is the tag of the image in a file of a stage.
func tagIn(text string) string {
	_, rest, _ := strings.Cut(text, "image: registry/app:")
	tag, _, _ := strings.Cut(rest, " #")
	return tag
}

// The page shows the Pipeline by commits whole, and what differs by pull requests.
func TestThePageShowsTheFilesOfTheTutorial(t *testing.T) {
	page := read(t, docs+"promotion.md")
	if !strings.Contains(page, "```yaml\n"+read(t, tutorialFiles+"pipeline.yaml")+"```") {
		t.Error("docs/promotion.md does not have pipeline.yaml")
	}
	var byCommits, byPullRequests sluicev1.Pipeline
	must(t, yaml.UnmarshalStrict([]byte(read(t, tutorialFiles+"pull-request.yaml")), &byPullRequests))
	must(t, yaml.UnmarshalStrict([]byte(read(t, tutorialFiles+"pipeline.yaml")), &byCommits))
	_, section, _ := strings.Cut(page, "\n## By pull requests\n")
	_, shown, _ := strings.Cut(section, "```yaml\n")
	shown, _, _ = strings.Cut(shown, "```")
	var differs sluicev1.Pipeline
	must(t, yaml.UnmarshalStrict([]byte(shown), &differs))
	byCommits.Spec.Forge = differs.Spec.Forge
	byCommits.Spec.Stages[1].Write = differs.Spec.Stages[0].Write
	if diff := cmp.Diff(byCommits, byPullRequests); diff != "" {
		t.Errorf("pull-request.yaml differs by more than the page says (-page +file):\n%s", diff)
	}
}

func newTutorial(t *testing.T) *tutorial {
	t.Helper()
	e := newEnv(t, asIn(t, "pipeline.yaml"))
	e.repo.Commit("main", begins(t))
	return begin(&tutorial{env: e, git: e.repo.Git, tag: func(stage string) string {
		return tagIn(e.repo.Git("show", "main:"+stage+"/app.yaml"))
	}})
}

// newPullRequestTutorial is at a real forge, which has another clock.
func newPullRequestTutorial(t *testing.T) (*tutorial, *forgeEnv) {
	t.Helper()
	e := newGitea(t).env(t, asIn(t, "pull-request.yaml"), proposes(never))
	_, err := e.at.Admin.Commit(t.Context(), e.repo, gitea.Commit{Branch: gitea.Branch, Message: "Begin", Files: begins(t)})
	must(t, err)
	return begin(&tutorial{
		env: e.env, tag: func(stage string) string {
			out, err := harness.Git(t.Context(), "-C", e.repo.Local().Bare, "show", "main:"+stage+"/app.yaml")
			must(t, err)
			return tagIn(out)
		},
		git: func(arguments ...string) string {
			out, err := harness.Git(t.Context(), append([]string{"-C", e.repo.Local().Bare}, arguments...)...)
			must(t, err)
			return out
		},
	}), e
}

// begin has 1.4.2 run in both stages, released three days ago.
func begin(s *tutorial) *tutorial {
	s.t.Helper()
	s.clock.SetTime(time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC))
	s.release("1.4.2")
	s.fetch()
	s.apply("staging")
	s.apply("production")
	d, c := make.Deployment("apps", "app", "registry/app:1.4.2"), make.Canary("apps", "app")
	c.Status.Phase, c.Status.LastTransitionTime = flaggerv1.CanaryPhaseSucceeded, metav1.NewTime(s.clock.Now().Add(-72*time.Hour))
	for _, object := range []client.Object{d, c} {
		must(s.t, s.Client.Create(s.t.Context(), object))
	}
	return s
}

// Days before the pipeline was applied a Canary had released what production has. Unless
// all was Ready at the first look, that Canary had "not seen this version yet", and after
// half an hour the version was in quarantine.
func TestWhatWasThereBeforeThePipelineIsNoFault(t *testing.T) {
	s := newTutorial(t)
	s.apply("production", func(k *kustomizev1.Kustomization) { k.Status.Conditions[0].Status = metav1.ConditionUnknown })
	s.reconcile()
	s.apply("production")
	s.reconcile()
	s.clock.Step(time.Hour)
	s.reconcile()
	if got := s.pipeline.Status; len(got.Quarantined) > 0 || got.Stages[1].Phase != sluicev1.StageVerified {
		t.Errorf("production is %+v, in quarantine %+v", got.Stages[1], got.Quarantined)
	}
}

func TestTheTutorialByCommits(t *testing.T) {
	s := newTutorial(t)
	s.told("By commits", []func(){
		func() { s.clock.Step(time.Hour) },
		func() {
			s.clock.SetTime(time.Date(2026, 11, 30, 13, 0, 0, 0, time.UTC))
			s.release("1.5.0")
		},
		func() {
			s.clock.Step(2 * time.Minute)
			s.apply("staging")
		},
		func() {
			s.clock.Step(time.Hour)
			s.reconcile()
			s.apply("production")
			s.releases(flaggerv1.CanaryPhaseProgressing, "")
		},
		func() {
			s.clock.Step(6 * time.Minute)
			s.releases(flaggerv1.CanaryPhaseFailed, failedCheck)
			s.reconcile()
			s.apply("production")
			s.releases(flaggerv1.CanaryPhaseSucceeded, "")
		},
	})
}

func TestTheTutorialByPullRequests(t *testing.T) {
	s, e := newPullRequestTutorial(t)
	merge := func() {
		must(t, e.at.Alice.Merge(t.Context(), e.repo, e.newestPull(), gitea.StyleMerge))
		e.look()
		s.apply("production")
	}
	s.told("By pull requests", []func(){
		func() { s.clock.Step(time.Hour) },
		func() {
			s.clock.SetTime(time.Date(2026, 11, 30, 13, 0, 0, 0, time.UTC))
			s.release("1.5.0")
			s.reconcile()
			s.apply("staging")
			s.reconcile()
			s.clock.Step(time.Hour)
		},
		func() {
			merge()
			s.releases(flaggerv1.CanaryPhaseProgressing, "")
		},
		func() {
			s.clock.Step(6 * time.Minute)
			s.releases(flaggerv1.CanaryPhaseFailed, failedCheck)
		},
		func() {
			merge()
			s.releases(flaggerv1.CanaryPhaseSucceeded, "")
		},
	})
}

// told does what is before each step of a section, in their order, and holds the step to it.
func (s *tutorial) told(section string, before []func()) {
	s.t.Helper()
	page := stepsOf(s.t, section)
	s.reconcile()
	for i, do := range before {
		do()
		s.reconcile()
		s.prints(page[strconv.Itoa(i+1)])
	}
}
