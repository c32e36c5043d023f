// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

var epoch = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// simulation is a pipeline with its repository, its clusters and its forge, all in
// memory. What [Decide] decides is carried out at once; what objects and people do is up
// to the test.
type simulation struct {
	t     *testing.T
	spec  sluicev1.PipelineSpec
	state State
	now   time.Time

	newest       map[string]Newest
	places       map[string]*place // by target, as in production/eu
	commits      int
	ready        map[string]Readiness                // by target and version, as in production/@2; Ready if missing
	verification map[string]Verification             // likewise; VerificationPassed if missing
	unwritable   map[string]string                   // why, by stage
	unseen       map[string]bool                     // stages whose repository cannot be reached
	takes        time.Duration                       // how long verifications take
	prs          map[string]*pullrequest.PullRequest // by stage
	bases        map[string]string                   // branches that stages are written to; "" is the usual one
	proposed     map[string]string                   // version by stage, on the branch of its pull request
	proposedTo   map[string][]string                 // targets by stage
	commands     []Command
	guarded      bool
	lost         bool
	freezes      []Freeze

	last   Decision
	told   []string           // the events, warnings with an exclamation mark
	done   []string           // the actions that were not the same as the last of their kind
	wrote  map[string]Writing // by target
	pushed map[string]Pushed  // by stage
	merged int
}

// place is what a target has.
type place struct {
	versions map[string]string // by artifact
	by       string            // who committed them, when and in which commit
	at       time.Time
	commit   string
	problem  string // why they cannot be read
	why      string // what the objects say unless they are Ready
	evidence string // what the verifications say unless they passed
}

// newSimulation is a pipeline of one artifact, with these stages. Every target has
// version 1.
func newSimulation(t *testing.T, stages ...sluicev1.Stage) *simulation {
	t.Helper()
	s := &simulation{
		t: t, now: epoch, guarded: true,
		spec:   sluicev1.PipelineSpec{Artifacts: []sluicev1.Artifact{{Name: "app"}}, Stages: stages},
		newest: map[string]Newest{}, places: map[string]*place{}, unwritable: map[string]string{}, unseen: map[string]bool{},
		ready: map[string]Readiness{}, verification: map[string]Verification{},
		wrote: map[string]Writing{}, pushed: map[string]Pushed{}, prs: map[string]*pullrequest.PullRequest{}, proposed: map[string]string{},
		proposedTo: map[string][]string{}, bases: map[string]string{},
	}
	for _, stage := range stages {
		for _, target := range targetsOf(&stage) {
			s.commit(stage.Name, target.Name, "1", "setup")
		}
	}
	s.release("1")
	return s
}

// targetsOf are the targets of a stage; one without a name if it has none.
func targetsOf(stage *sluicev1.Stage) []sluicev1.Target {
	if len(stage.Targets) == 0 {
		return []sluicev1.Target{{}}
	}
	return stage.Targets
}

// release is a new version of the artifact.
func (s *simulation) release(version string) {
	s.newest[s.artifact()] = Newest{Version: sluicev1.Version{Image: "registry/app", Tag: version}}
}

// artifact is what the first artifact is called.
func (s *simulation) artifact() string { return s.spec.Artifacts[0].Name }

func (s *simulation) releaseOf(artifact, version string) {
	s.newest[artifact] = Newest{Version: sluicev1.Version{Image: "registry/" + artifact, Tag: version}}
}

// commit is what somebody commits to a target.
func (s *simulation) commit(stage, target, version, by string) {
	s.commits++
	key := stage + "/" + target
	if s.places[key] == nil {
		s.places[key] = &place{versions: map[string]string{}}
	}
	p := s.places[key]
	p.versions[s.artifact()], p.by, p.at, p.commit = version, by, s.now, fmt.Sprint(s.commits)
}

// judged is what the objects and the verifications of a target say.
func (s *simulation) judged(key string) (Readiness, Verification) {
	ready, isSet := s.ready[key+"@"+s.places[key].versions[s.artifact()]]
	if !isSet {
		ready = ReadinessReady
	}
	verified, isSet := s.verification[key+"@"+s.places[key].versions[s.artifact()]]
	switch {
	case isSet:
	case s.now.Sub(s.places[key].at) < s.takes:
		verified = VerificationPending
	default:
		verified = VerificationPassed
	}
	return ready, verified
}

// has is the version of a stage's first target.
func (s *simulation) has(stage string) string {
	return s.places[stage+"/"+targetsOf(s.spec.Stage(stage))[0].Name].versions[s.artifact()]
}

// observe is what is seen now.
func (s *simulation) observe() Observation {
	seen := Observation{
		Spec: &s.spec, Newest: s.newest, Stages: map[string]StageObservation{}, Commands: s.commands,
		CommandsGuarded: s.guarded, StateLost: s.lost, Freezes: s.freezes,
	}
	for i := range s.spec.Stages {
		stage := &s.spec.Stages[i]
		in := StageObservation{Pushed: s.pushed[stage.Name], Problem: s.unwritable[stage.Name], Base: s.bases[stage.Name]}
		if s.unseen[stage.Name] {
			seen.Stages[stage.Name] = StageObservation{Pushed: in.Pushed, Problem: "the server is away"}
			continue
		}
		for _, target := range targetsOf(stage) {
			in.Targets = append(in.Targets, s.observeTarget(stage.Name, target))
		}
		if pr := s.prs[stage.Name]; pr != nil {
			shown := *pr
			in.PullRequest = &shown
		}
		seen.Stages[stage.Name] = in
	}
	return seen
}

func (s *simulation) observeTarget(stage string, target sluicev1.Target) TargetObservation {
	key, wrote := stage+"/"+target.Name, ""
	if w := s.state.Stages[stage].Writing; w != nil && !s.wrote[key].At.Before(w.At) {
		wrote = s.wrote[key].Bundle
	}
	p := s.places[key]
	seen := TargetObservation{
		Name: target.Name, Wave: int(target.Wave), Content: Content{Problem: p.problem},
		Commit: p.commit, By: p.by, Ours: p.by == "sluice", Wrote: wrote,
	}
	for artifact, version := range p.versions {
		seen.Content.Versions = append(seen.Content.Versions, sluicev1.Version{Artifact: artifact, Tag: version})
	}
	if seen.Ready, seen.Verification = s.judged(key); seen.Ready != ReadinessReady {
		seen.Why = p.why
	}
	if seen.Verification != VerificationPassed {
		seen.Evidence = p.evidence
	}
	return seen
}

// decide makes one decision and carries it out, and returns whether it did anything.
func (s *simulation) decide() bool {
	before := asJSON(s.state)
	s.last = Decide(s.state, s.observe(), s.now)
	if after := asJSON(s.state); after != before {
		s.t.Errorf("the state that went in was changed from\n%s\nto\n%s", before, after)
	}
	changed := !equal(s.state, s.last.State)
	for _, e := range s.last.Events {
		if e.Warning {
			e.Message = "! " + e.Message
		}
		s.told = append(s.told, e.Message)
	}
	s.state = s.last.State
	acted := false
	for _, action := range s.last.Actions {
		s.note(action)
		acted = s.perform(action) || acted
	}
	return changed || acted
}

// note keeps an action for the test to look at.
func (s *simulation) note(action Action) {
	text := strings.TrimPrefix(fmt.Sprintf("%T", action), "promotion.")
	switch a := action.(type) {
	case Write:
		text += fmt.Sprintf(" %s to %s%v as %s instead of %s for %q: %s", Describe(a.Bundle),
			a.Stage, a.Targets, a.Kind, cmp.Or(s.describe(a.From), "-"), a.By, a.Reason)
	case Propose:
		text += fmt.Sprintf(" %s as #%d, draft %v", Describe(a.Bundle), a.Number, a.Draft)
	case SetStatus:
		text += fmt.Sprintf(" %v on %s: %s", a.Open, a.Head, a.Message)
	case SetDraft:
		text += fmt.Sprintf(" %v", a.Draft)
	case SetAutoMerge:
		text += fmt.Sprintf(" %v", a.On)
	case Merge:
		text += fmt.Sprintf(" #%d at %s, queue %v", a.Number, a.Head, a.Queue)
	case ClosePullRequest:
		text += fmt.Sprintf(" #%d: %s", a.Number, a.Comment)
	case Comment:
		text += fmt.Sprintf(" on #%d: %.25s", a.Number, a.Text)
	case Verify:
		text += fmt.Sprintf(" %s in %s%s since %s", Describe(a.Bundle), a.Stage, a.Target, a.Since.Format("15:04"))
	}
	if len(s.done) == 0 || !slices.Contains(s.done[max(0, len(s.done)-3):], text) {
		s.done = append(s.done, text)
	}
}

func (s *simulation) describe(id string) string {
	b, known := s.state.Bundle(id)
	if !known {
		return ""
	}
	return Describe(b)
}

func equal(a, b State) bool { return asJSON(a) == asJSON(b) }

// asJSON is a state as it is kept, but for the notation, which takes longer.
func asJSON(s State) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// perform reports whether an action changed anything.
func (s *simulation) perform(action Action) bool {
	switch a := action.(type) {
	case Write:
		return s.write(a)
	case Propose:
		return s.push(a)
	case Merge:
		pr := s.prs[a.Stage]
		if !pr.Open || pr.Head != a.Head {
			return false
		}
		s.merge(a.Stage, "sluice")
	case ClosePullRequest:
		pr := s.prs[a.Stage]
		pr.Open, pr.ClosedByUs = false, true
	case SetAutoMerge:
		s.prs[a.Stage].AutoMerge = a.On
	case SetDraft:
		s.prs[a.Stage].Draft = a.Draft
	default:
		return false
	}
	return true
}

func (s *simulation) write(a Write) bool {
	did := false
	for _, target := range a.Targets {
		s.wrote[a.Stage+"/"+target] = Writing{Bundle: a.Bundle.ID, At: s.now}
		versions := map[string]string{}
		for _, v := range a.Bundle.Versions {
			versions[v.Artifact] = v.Tag
		}
		if maps.Equal(s.places[a.Stage+"/"+target].versions, versions) {
			continue
		}
		s.commit(a.Stage, target, versions[s.artifact()], "sluice")
		s.places[a.Stage+"/"+target].versions = versions
		did = true
	}
	return did
}

// push is a push to the branch of a pull request, which is opened if there is none.
func (s *simulation) push(a Propose) bool {
	pr := s.prs[a.Stage]
	if a.Number == 0 {
		number := int64(1)
		if pr != nil {
			number = pr.Number + 1
		}
		pr = &pullrequest.PullRequest{Number: number, Open: true, Base: s.bases[a.Stage]}
		s.prs[a.Stage] = pr
	}
	s.commits++
	pr.Head, pr.HeadOurs, pr.Conflicted, pr.Behind, pr.Retry, pr.Draft = fmt.Sprint("head", s.commits), true, false, false, false, a.Draft
	s.proposed[a.Stage], s.proposedTo[a.Stage] = a.Bundle.Versions[0].Tag, a.Targets
	s.pushed[a.Stage] = Pushed{pr.Head, a.Bundle.ID}
	return true
}

// merge is what happens when somebody merges the pull request of a stage.
func (s *simulation) merge(stage, by string) { s.mergeInTheNameOf(by, stage, by) }

// mergeInTheNameOf is a merge whose commit has another author: one that is squashed has the one
// of the pull request.
func (s *simulation) mergeInTheNameOf(author, stage, by string) {
	pr := s.prs[stage]
	pr.Open, pr.Merged, pr.MergedBy = false, true, by
	s.merged++
	for _, target := range targetsOf(s.spec.Stage(stage)) {
		if slices.Contains(s.proposedTo[stage], target.Name) {
			s.commit(stage, target.Name, s.proposed[stage], author)
		}
	}
}

// settle decides until nothing changes any more.
func (s *simulation) settle() {
	s.t.Helper()
	for range 50 {
		if !s.decide() {
			return
		}
	}
	s.t.Fatalf("it does not come to rest: %+v\n%+v", s.last.Stages, s.last.Actions)
}

// pass lets time go by, in which there are decisions only when they were asked for.
func (s *simulation) pass(d time.Duration) {
	s.t.Helper()
	s.settle()
	for until := s.now.Add(d); ; {
		next := s.now.Add(s.last.After)
		if s.last.After == 0 || next.After(until) {
			s.now = until
			return
		}
		s.now = next
		s.settle()
	}
}

func (s *simulation) command(verb sluicev1.CommandVerb, stage string, change ...func(*Command)) {
	c := Command{Verb: verb, Stage: stage}
	c.By, c.At = "alice", metav1.NewTime(s.now)
	for _, f := range change {
		f(&c)
	}
	s.commands = append(s.commands, c)
}

// status is where a stage stands.
func (s *simulation) status(stage string) sluicev1.StageStatus {
	i := slices.IndexFunc(s.last.Stages, func(st sluicev1.StageStatus) bool { return st.Name == stage })
	return s.last.Stages[i]
}

// bundle is the id of a version.
func (s *simulation) bundle(version string) string {
	return s.state.bundleOf([]sluicev1.Version{{Artifact: s.artifact(), Image: "registry/app", Tag: version}}).ID
}

// want fails the test unless stages have these versions.
func (s *simulation) want(want map[string]string) {
	s.t.Helper()
	for stage, version := range want {
		if got := s.has(stage); got != version {
			s.t.Errorf("%s has %q, want %q: %+v", stage, got, version, s.status(stage))
		}
	}
}

// wantGate fails the test unless the stage waits for such a gate first.
func (s *simulation) wantGate(stage string, kind sluicev1.GateType) {
	s.t.Helper()
	if gates := s.status(stage).Waiting; len(gates) == 0 || gates[0].Type != kind {
		s.t.Errorf("%s waits for %+v, want %s", stage, gates, kind)
	}
}

func minutes(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Minute}
}

func staging() sluicev1.Stage {
	return sluicev1.Stage{Name: "staging", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}}, VerifyTimeout: *minutes(30)}
}

func production() sluicev1.Stage {
	return sluicev1.Stage{
		Name: "production", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}}, VerifyTimeout: *minutes(30),
		After: &sluicev1.After{Stages: []string{"staging"}},
	}
}

func with(stage sluicev1.Stage, change func(*sluicev1.Stage)) sluicev1.Stage {
	change(&stage)
	return stage
}

func pullRequests(stage *sluicev1.Stage) {
	stage.Write = sluicev1.Write{PullRequest: &sluicev1.PullRequest{AutoMerge: sluicev1.AutoMergeSelf}}
}
