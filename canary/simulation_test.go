// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/provider"
)

// simulation is a small cluster in which releases happen, pods come and go, people
// and webhooks say what they like, and the controller is killed between any two of
// its writes. Every observation, decision and action is held to the promises of the
// package as it happens.
type simulation struct {
	t      *testing.T
	script []byte // choices of a fuzzer, before those of rng
	rng    *rand.Rand
	log    []func() string

	plan            Plan
	edits           []Plan
	edited          bool
	now             time.Time
	state           State
	target, primary pods
	statefulSet     *statefulSet // both copies, if they are one
	weights         provider.Weights
	everyone        bool // has those weights, and not only who was chosen
	saved           map[string]bool
	behaviour       map[string]behaviour
	revisions       int

	// refused and unmeasurable are for how many observations no Gateway takes the
	// route, and a template is missing.
	refused, unmeasurable int

	// rarity is how seldom something happens; with quiet, nothing surprising does.
	rarity         int
	quiet          bool
	command        *flaggerv1.CanaryCommand // the annotation
	given          int
	pendingAnswers pendingAnswers
	killed         bool // between two writes of one action
	recorded       bool // what was done last
	cutOff         bool // the next SetPrimary is

	// earned are the revisions that users may have for good; commanded those that
	// a person wanted promoted.
	earned, commanded map[string]bool
	heldFor           string            // the revision that was held last
	rolledBack        string            // the revision whose rollback was not recorded
	cookies           map[string]string // of which revision
}

// behaviour is how the pods of a revision behave.
type behaviour struct{ failsChecks, neverStarts, neverStartsAsPrimary bool }

// pods are one copy of the workload.
type pods struct {
	exists              bool
	revision            string
	config              string // the revision whose ConfigMaps and Secrets they read
	replicas, available int32
	rolled              bool // the rollout is complete
	age                 int  // observations since the last change
}

const patience = 6 // observations after which a rollout is stuck

func newSimulation(t *testing.T, plan Plan, seed uint64) *simulation {
	w := &simulation{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), plan: plan, now: noon, weights: provider.ToPrimary,
		rarity: 40, saved: map[string]bool{}, behaviour: map[string]behaviour{},
		earned: map[string]bool{}, commanded: map[string]bool{}, cookies: map[string]string{},
	}
	w.push(behaviour{})
	w.target.replicas, w.target.available, w.target.rolled = 2, 2, true
	return w
}

// pick chooses one of n.
func (w *simulation) pick(n int) int {
	if len(w.script) > 0 {
		choice := int(w.script[0])
		w.script = w.script[1:]
		return choice % n
	}
	return w.rng.IntN(n)
}

// rarely is true once in n times, and never while it is quiet.
func (w *simulation) rarely(n int) bool { return !w.quiet && w.pick(n) == n-1 }

func (w *simulation) logf(format string, args ...any) {
	w.log = append(w.log, func() string { return fmt.Sprintf(format, args...) })
}

func (w *simulation) fatalf(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.log[max(0, len(w.log)-40):] {
		w.t.Log(line())
	}
	w.t.Fatalf("promise broken: "+format, args...)
}

// push is a commit that changes the target.
func (w *simulation) push(f behaviour) {
	w.revisions++
	w.behaviour[revision(w.revisions)] = f
	w.deploy(revision(w.revisions))
}

// revision is the n-th that was pushed.
func revision(n int) string { return fmt.Sprint(DigestPrefix, n) }

func (w *simulation) deploy(revision string) {
	w.logf("git: %s %+v", revision, w.behaviour[revision])
	if w.statefulSet != nil {
		w.statefulSet.template, w.statefulSet.age = revision, 0
	}
	w.target.exists, w.target.revision = true, revision
	w.target.age, w.target.rolled = 0, w.target.replicas == 0
}

// giveCommand is what a person types.
func (w *simulation) giveCommand(verb flaggerv1.CommandVerb) {
	w.given++
	w.command = &flaggerv1.CanaryCommand{Verb: verb, By: fmt.Sprintf("person-%d", w.given), At: metav1.NewMicroTime(w.now)}
	w.logf("%s: %s", w.command.By, verb)
	if verb == flaggerv1.CommandPromote || verb == flaggerv1.CommandRetry {
		w.rolledBack = ""
	}
}

func (p pods) workload() Workload {
	w := Workload{Exists: p.exists, Revision: p.revision, Replicas: p.replicas, Available: p.available, Images: []string{"app:" + p.revision}}
	w.Ready = p.exists && p.rolled && p.replicas > 0 && p.available >= p.replicas
	w.Stuck = p.exists && !w.Ready && p.replicas > 0 && p.age > patience
	if !w.Ready {
		w.Why = "not yet"
	}
	return w
}

// elapse lets time go by, and pods make progress.
func (w *simulation) elapse(least time.Duration) {
	w.now = w.now.Add(least)
	if w.statefulSet != nil {
		w.statefulSet.elapse(w)
		w.primary.revision = w.statefulSet.current
		return
	}
	for _, p := range []*pods{&w.target, &w.primary} {
		p.age++
		f := w.behaviour[p.revision]
		stays := f.neverStarts || p == &w.primary && f.neverStartsAsPrimary
		if p.exists && !stays && p.replicas > 0 && (w.pick(2) == 0 || p.age == patience) {
			p.available, p.rolled = p.replicas, true
		}
	}
}

func (w *simulation) observe() situation {
	s := situation{
		State: w.state,
		Observation: Observation{Names: names, Plan: w.plan, Target: w.target.workload(), Primary: w.primary.workload(),
			Weights: w.weights, Snapshots: maps.Clone(w.saved), Edited: w.edited, Everyone: w.everyone, Unrecorded: !w.recorded},
	}
	if w.statefulSet != nil {
		w.statefulSet.see(&s.Observation)
	}
	if w.refused--; w.statefulSet == nil && w.refused >= 0 {
		s.Weights, s.RoutePending, s.RouteRefused, s.RouteReason = provider.Weights{}, true, true, "no listener has this host"
	} else if w.rarely(15) {
		s.Weights, s.RoutePending = provider.Weights{}, true
	}
	if w.unmeasurable--; w.unmeasurable >= 0 {
		s.Unmeasurable = "no such template"
	}
	if w.command != nil && (w.state.LastCommand == nil || !w.state.LastCommand.Same(*w.command)) {
		command := *w.command
		s.Command = &command
	}
	if Sampled(s.State, s.Plan) && w.rarely(20) {
		s.Alarm = "lag 7.00 in 3 samples in a row"
	}
	if w.plan.Judges(s.State) {
		s.JudgeResult = w.judge()
	}
	return s
}

// judge says what a judge might. While nothing surprising happens, it is right.
func (w *simulation) judge() JudgeResult {
	said := JudgeResult{Text: "errors 4.1 times the primary's", Since: w.now, ThresholdsOnly: w.rarely(10)}
	bad := w.behaviour[w.state.Applied].failsChecks
	switch {
	case w.quiet && !bad:
		said.Outcome = judge.Pass
	case bad && w.pick(4) == 0, w.rarely(40):
		said.Outcome = judge.Fail
	default:
		said.Outcome = []judge.Outcome{judge.Undecided, judge.Mismatch, "", judge.Pass}[w.pick(4)]
	}
	return said
}

// reconcile takes one step as the controller does. A kill leaves its later
// actions, or its status, undone.
func (w *simulation) reconcile() Decision {
	seen := w.observe()
	complete := w.ask(&seen)
	decision, err := Decide(seen.State, seen.Observation, w.now)
	if err != nil {
		w.fatalf("%v", err)
	}
	w.log = append(w.log, func() string {
		return fmt.Sprintf("%s -> %s/%d: %v %q %s", seen.State.Phase, decision.State.Phase,
			decision.State.Weight, actionNames(decision.Actions), messages(decision.Events), decision.Message)
	})
	w.checkStep(seen, decision)
	w.recorded = false
	for _, action := range decision.Actions {
		if w.rarely(25) {
			w.logf("killed")
			w.pendingAnswers = pendingAnswers{}
			return decision
		}
		if w.perform(seen, decision, action); w.killed {
			w.logf("killed within %T", action)
			w.pendingAnswers, w.killed = pendingAnswers{}, false
			return decision
		}
	}
	if w.rarely(20) {
		w.logf("killed before the status")
		w.noteRollback(seen, decision)
		w.pendingAnswers = pendingAnswers{}
		return decision
	}
	if held := decision.State.Hold; held != nil && held != w.state.Hold && !held.Approved {
		w.heldFor = seen.Target.Revision // also if it came within the same second as the one before
	}
	if holding(decision.State, flaggerv1.HoldHalt, flaggerv1.HoldPause) {
		delete(w.commanded, seen.Target.Revision) // a promotion before a hold is taken back
	}
	w.state, w.edited, w.recorded = decision.State, false, true
	if complete {
		w.pendingAnswers = pendingAnswers{}
	}
	w.checkRecorded(seen.State)
	return decision
}

func (w *simulation) perform(seen situation, decision Decision, action Action) {
	if w.statefulSet != nil {
		w.statefulSet.perform(w, decision, action)
		return
	}
	switch a := action.(type) {
	case SetWeights:
		w.checkWeights(a.Weights, decision)
		w.weights, w.everyone = a.Weights, decision.State.Fallback != nil && w.plan.ABTest
	case Snapshot:
		if a.Revision != seen.Target.Revision {
			w.fatalf("snapshot of %s, but the target is %s", a.Revision, seen.Target.Revision)
		}
		w.saved[a.Revision] = true
	case SetPrimary:
		w.setPrimary(seen, a.Revision)
	case StartTarget:
		if w.target.replicas == 0 {
			w.target.replicas, w.target.age, w.target.rolled = 2, 0, false
		}
	case StopTarget:
		if w.weights.Canary > 0 {
			w.fatalf("scaled down a canary that has users")
		}
		w.target.replicas, w.target.available, w.target.rolled, w.target.age = 0, 0, true, 0
	case Prune:
		kept := map[string]bool{}
		for _, revision := range a.Keep {
			kept[revision] = w.saved[revision]
		}
		w.saved = kept
	}
}

func (w *simulation) setPrimary(seen situation, revision string) {
	if !w.saved[revision] && seen.Target.Revision != revision {
		w.fatalf("primary gets %s, which nobody has", revision)
	}
	if w.state.Promoted != "" && !w.earned[revision] {
		w.fatalf("primary gets %s, which did not earn it", revision)
	}
	w.primary.config = revision
	if w.killed = w.cutOff || w.rarely(25); w.killed {
		w.cutOff = false
		return
	}
	if !w.primary.exists {
		w.primary = pods{config: revision, exists: true, replicas: 2}
	}
	if w.primary.revision != revision {
		w.primary.revision, w.primary.rolled, w.primary.age = revision, false, 0
	}
}
