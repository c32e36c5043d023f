// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/provider"
)

// checkStep holds a step to what it was decided from, before it is performed.
func (w *simulation) checkStep(seen situation, decision Decision) {
	before := seen.deepCopy()
	if again, err := Decide(seen.State, seen.Observation, w.now); err != nil || !reflect.DeepEqual(again, decision) {
		w.fatalf("decides otherwise when asked again: %+v", again)
	}
	if !reflect.DeepEqual(before, seen) {
		w.fatalf("what was seen is changed: %+v", seen)
	}
	w.checkCommand(seen, decision)
	w.checkHold(seen, decision)
	w.checkEnd(seen, decision)
	w.checkFailedPromotion(seen, decision)
	w.checkProgress(seen, decision)
	w.checkMaintenance(seen, decision)
	w.checkHistory(seen, decision)
	w.checkCookies(decision)
	w.checkHealth(seen, decision)
	w.checkJudged(seen, decision)
}

// checkJudged: nobody gets more of a canary that the judge found worse, and nobody leaves the last step in
// which it can be compared before it was passed, or somebody does without that.
func (w *simulation) checkJudged(seen situation, decision Decision) {
	said, plan := seen.JudgeResult, w.plan
	same := seen.State.Applied == decision.State.Applied && seen.Target.Revision == seen.State.Applied
	if plan.Judge == nil || plan.Skip || !same || w.commanded[seen.State.Applied] || !analysing(seen.State.Phase) || seen.Primary.Failing() ||
		seen.Primary.Revision == seen.State.Applied || seen.Primary.Revision == "" || seen.State.Fallback != nil {
		return
	}
	further := plan.position(decision.State) > plan.position(seen.State) || decision.State.Phase == flaggerv1.CanaryPhasePromoting
	if said.Outcome == judge.Fail && !said.ThresholdsOnly && further && analysing(decision.State.Phase) {
		w.fatalf("users get more of a canary that is worse")
	}
	without := decision.State.History.current().Unjudged || said.ThresholdsOnly && len(plan.Metrics) > 0
	passed := said.Outcome == judge.Pass && !said.ThresholdsOnly
	if further && plan.position(seen.State) == plan.lastJudged() && !passed && !without {
		w.fatalf("leaves the last step that can be judged, and the judge says %q", said.Outcome)
	}
}

// checkHealth: it is said when nobody answers, and nothing begins that could not be
// moved or measured.
func (w *simulation) checkHealth(seen situation, decision Decision) {
	dead := seen.Primary.Exists && seen.Primary.Replicas > 0 && !seen.Primary.Serves() && !seen.Target.Serves()
	if dead && decision.State.Phase != initial && !promoting(decision.State.Phase) &&
		decision.State.Phase != flaggerv1.CanaryPhaseInitializing && decision.Problem == "" {
		w.fatalf("nobody answers, and %s says nothing", decision.State.Phase)
	}
	begins := ended(seen.State.Phase) && analysing(decision.State.Phase) && !w.plan.Skip && !w.commanded[seen.Target.Revision]
	if begins && (seen.RouteRefused && w.plan.Routed || seen.Unmeasurable != "") {
		w.fatalf("begins although %q %q", seen.RouteReason, seen.Unmeasurable)
	}
}

// checkCommand: each is carried out once, says so, and names who.
func (w *simulation) checkCommand(seen situation, decision Decision) {
	last := decision.State.LastCommand
	if seen.Command != nil && seen.Command.Verb == flaggerv1.CommandPromote {
		w.commanded[seen.Target.Revision] = true
	}
	if last == nil || seen.State.LastCommand != nil && last.Same(*seen.State.LastCommand) {
		return
	}
	switch {
	case seen.Command == nil || !last.Same(*seen.Command):
		w.fatalf("carried out %v, which nobody wants", last)
	case last.Outcome == "":
		w.fatalf("%v has no outcome", last)
	case !strings.Contains(messages(decision.Events), last.By):
		w.fatalf("%v is nowhere told: %q", last, messages(decision.Events))
	}
}

func holding(s State, kinds ...string) bool {
	return s.Hold != nil && slices.Contains(kinds, s.Hold.Kind) && !s.Hold.Approved
}

// ended reports whether nothing is being released.
func ended(phase flaggerv1.CanaryPhase) bool {
	switch phase {
	case flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed:
		return true
	}
	return false
}

// checkHold: what holds a release does hold it.
func (w *simulation) checkHold(seen situation, decision Decision) {
	fix := decision.State.Phase == flaggerv1.CanaryPhaseFailed && seen.Target.Revision != decision.State.Applied
	if decision.State.Hold != nil && !fix && (ended(decision.State.Phase) ||
		decision.State.Phase == initial || decision.State.Phase == flaggerv1.CanaryPhaseInitializing) {
		w.fatalf("%s is held", decision.State.Phase)
	}
	stopped := holding(seen.State, flaggerv1.HoldHalt, flaggerv1.HoldPause) && holding(decision.State, flaggerv1.HoldHalt, flaggerv1.HoldPause)
	further := decision.State.stepWeight() > seen.State.stepWeight() || w.plan.position(decision.State) > w.plan.position(seen.State)
	if stopped && seen.Target.Revision == seen.State.Applied && analysing(decision.State.Phase) && further {
		w.fatalf("a release that is halted goes on")
	}
	if holding(seen.State, flaggerv1.HoldHalt, flaggerv1.HoldPause) &&
		seen.Command == nil && decision.State.Phase == flaggerv1.CanaryPhasePromoting &&
		seen.Primary.Revision != seen.State.Applied {
		w.fatalf("a release that is halted is promoted")
	}
	if seen.Command == nil && w.heldFor == seen.Target.Revision && holding(seen.State, flaggerv1.HoldPause) &&
		holding(decision.State, flaggerv1.HoldPause) && !Due(seen.State, seen.Observation, w.now).None() {
		w.fatalf("asks %+v about a release that is paused", Due(seen.State, seen.Observation, w.now))
	}
}

// passed reports whether a gate was open in this observation.
func (w *simulation) passed(gate flaggerv1.HookType, seen situation) bool {
	held := seen.State.Hold
	approved := held != nil && held.Kind == flaggerv1.HoldGate && held.Gate == gate && w.heldFor == seen.Target.Revision &&
		(held.Approved || seen.Command != nil && seen.Command.Verb == flaggerv1.CommandApprove)
	if approved || w.commanded[seen.Target.Revision] {
		return true
	}
	// As in Flagger, webhooks are asked for more users only when they move step by
	// step.
	asked := w.plan.Hooks[gate] && (gate != flaggerv1.ConfirmTrafficIncreaseHook || w.plan.progressive())
	return !slices.Contains(w.plan.Gates, gate) && (!asked || seen.Answers[gate].OK)
}

// good reports whether a check was made, and nothing spoke against the canary.
func (w *simulation) good(seen situation) bool {
	if len(seen.Measured) != len(w.plan.Metrics) || w.plan.Hooks[flaggerv1.RolloutHook] && !seen.Answers[flaggerv1.RolloutHook].OK {
		return false
	}
	for i, m := range seen.Measured {
		if m.NoValues || m.Err != "" || !w.plan.Metrics[i].inRange(m.Value) {
			return false
		}
	}
	return true
}

// checkProgress: a release goes on only where it may, and one stage at a time.
func (w *simulation) checkProgress(seen situation, decision Decision) {
	was, next := seen.State, decision.State
	if (ended(was.Phase) || was.Phase == flaggerv1.CanaryPhaseWaiting) && next.Phase == flaggerv1.CanaryPhaseProgressing &&
		!w.passed(flaggerv1.ConfirmRolloutHook, seen) {
		w.fatalf("started without approval")
	}
	if next.Phase == flaggerv1.CanaryPhasePromoting && !promoting(was.Phase) {
		w.checkPromotion(seen, next.Applied)
	}
	switch fresh := next.Applied != was.Applied && analysing(next.Phase); {
	case fresh && next.Weight > 0 && seen.Primary.Ready:
		w.fatalf("users are left on pods that nobody looked at")
	case fresh && (next.stepWeight() > 0 || next.Iterations > 0) && was.Promoted != "" && next.Fallback != nil:
		w.fatalf("begins in the step of another revision")
	case fresh && next.Applied == was.Promoted:
		w.fatalf("analyses what users have")
	}
	if !analysing(was.Phase) || seen.Target.Revision != was.Applied {
		return
	}
	if !analysing(next.Phase) || w.plan.position(next) <= w.plan.position(was) && next.stepWeight() <= was.stepWeight() {
		return
	}
	switch {
	case w.plan.position(next) > w.plan.position(was)+1:
		w.fatalf("skipped a stage")
	case next.stepWeight() > was.stepWeight() && was.Phase != flaggerv1.CanaryPhaseWaitingPromotion &&
		!w.passed(flaggerv1.ConfirmTrafficIncreaseHook, seen):
		w.fatalf("users are sent to the canary without approval")
	case !was.Started() && w.plan.Hooks[flaggerv1.PreRolloutHook] && !seen.Answers[flaggerv1.PreRolloutHook].OK:
		w.fatalf("started before what has to come first")
	case was.Started() && !w.good(seen):
		w.fatalf("went on after a bad check: %v %v", seen.Measured, seen.Answers)
	}
}

// checkPromotion: users get for good what passed every stage, or what a person
// answers for.
func (w *simulation) checkPromotion(seen situation, applied string) {
	switch {
	case seen.Primary.Revision == applied: // it was promoted before, and that was lost
	case w.plan.Skip, w.commanded[applied]:
	case w.plan.position(seen.State) != len(w.plan.Steps)-1:
		w.fatalf("promoted in stage %d", w.plan.position(seen.State))
	case !w.good(seen):
		w.fatalf("promoted after a bad check: %v %v", seen.Measured, seen.Answers)
	case !w.passed(flaggerv1.ConfirmPromotionHook, seen):
		w.fatalf("promoted without approval")
	}
	w.earned[applied] = true
}

// checkEnd: what is decisive ends the release in the same step, and its end is
// told once.
func (w *simulation) checkEnd(seen situation, decision Decision) {
	was := seen.State
	stands := analysing(was.Phase) && seen.Primary.Exists && seen.Primary.Revision != was.Applied &&
		seen.Target.Revision == was.Applied && was.Applied != was.Promoted
	decisive := seen.Alarm != "" || seen.Answers[flaggerv1.RollbackHook].OK ||
		seen.Command != nil && seen.Command.Verb == flaggerv1.CommandAbort
	other := seen.Command != nil && (seen.Command.Verb == flaggerv1.CommandPromote || seen.Command.Verb == flaggerv1.CommandPause)
	if stands && decisive && !other && !w.commanded[was.Applied] && !holding(was, flaggerv1.HoldPause) &&
		decision.State.Phase != flaggerv1.CanaryPhaseFailed {
		w.fatalf("alarm %q, answers %v, command %v, and it goes on as %s", seen.Alarm, seen.Answers, seen.Command, decision.State.Phase)
	}
	told := slices.Contains(decision.Actions, Action(Notify{flaggerv1.PostRolloutHook}))
	ends := decision.Result == ResultPromoted || decision.Result == ResultSkipped || decision.Result == ResultFailed
	if want := ends && w.plan.Hooks[flaggerv1.PostRolloutHook]; told != want {
		w.fatalf("result %q, but told is %v", decision.Result, told)
	}
}

// checkFailedPromotion: a primary that does not start loses its users to the canary,
// which is healthy and was measured, and gets none back before it is ready.
func (w *simulation) checkFailedPromotion(seen situation, decision Decision) {
	if w.statefulSet != nil || !w.plan.Routed || seen.Command != nil {
		return
	}
	healthy := seen.Target.Ready && seen.Target.Revision == seen.State.Applied
	fails := promoting(seen.State.Phase) && decision.Result == ResultFailed
	if fails && healthy && decision.State.Weight != 100 {
		w.fatalf("the promotion failed, and the healthy canary is left with %d%% of the users", decision.State.Weight)
	}
	carries := seen.State.Phase == flaggerv1.CanaryPhaseFailed && seen.State.Weight == 100
	if carries && healthy && decision.State.Weight < 100 && !seen.Primary.Ready {
		w.fatalf("users go back to a primary that is not ready")
	}
}

// checkMaintenance: what somebody may have changed is put back each time.
func (w *simulation) checkMaintenance(seen situation, decision Decision) {
	if decision.State.Phase == flaggerv1.CanaryPhaseInitializing || decision.State.Phase == initial {
		return
	}
	if slices.Contains(decision.Actions, Action(EnsureScaler{})) != (w.plan.Autoscaled || seen.Edited) {
		w.fatalf("nobody minds the autoscaler")
	}
}

// checkHistory: the releases are there, the newest first, and only the first may
// be under way.
func (w *simulation) checkHistory(seen situation, decision Decision) {
	state := decision.State
	if len(state.History) > flaggerv1.MaxReleases {
		w.fatalf("%d releases", len(state.History))
	}
	for i, r := range state.History {
		open := r.Verdict == ""
		switch {
		case open != r.EndedAt.IsZero():
			w.fatalf("release %+v has an end or a verdict only", r)
		case open && (i > 0 || ended(state.Phase) && seen.Target.Revision == state.Applied):
			w.fatalf("release %d is open in %s", i, state.Phase)
		case len(r.Steps) > flaggerv1.MaxSteps:
			w.fatalf("%d steps", len(r.Steps))
		case i > 0 && state.History[i-1].StartedAt.Before(&r.StartedAt):
			w.fatalf("release %d is older than the next", i-1)
		case !open && r.Verdict != flaggerv1.VerdictPromoted && r.Reason == "":
			w.fatalf("release %+v ended without a reason", r)
		}
	}
	under := analysing(state.Phase) || state.Phase == flaggerv1.CanaryPhasePromoting || state.Phase == flaggerv1.CanaryPhaseFinalising
	if under && (len(state.History) == 0 || state.History[0].Verdict != "" || state.History[0].Revision != state.Applied) {
		w.fatalf("%s of %s is not in the history %+v", state.Phase, state.Applied, state.History)
	}
	if v := decision.Result; v != ResultNone && (len(state.History) == 0 || state.History[0].Verdict != string(v)) {
		w.fatalf("%q is not in the history %+v", v, state.History)
	}
}

// checkCookies: the sessions of one revision do not bind those of another.
func (w *simulation) checkCookies(decision Decision) {
	cookies, applied := decision.State.Cookies, decision.State.Applied
	switch {
	case w.plan.Affinity == nil && cookies != Cookies{}:
		w.fatalf("cookies %+v without session affinity", cookies)
	case w.plan.Affinity == nil:
	case analysing(decision.State.Phase) && decision.State.Weight > 0 && cookies.Canary == "":
		w.fatalf("users of the canary have no cookie")
	case cookies.Canary != "" && w.cookies[cookies.Canary] != "" && w.cookies[cookies.Canary] != applied:
		w.fatalf("%s has the cookie of %s", applied, w.cookies[cookies.Canary])
	case cookies.Canary != "":
		w.cookies[cookies.Canary] = applied
	}
}

// checkWeights holds every change of weights to the promise: nobody is sent to
// pods that cannot answer, nor to a revision that is not under analysis.
func (w *simulation) checkWeights(to provider.Weights, decision Decision) {
	switch {
	case to.Primary+to.Canary != 100 || to.Primary < 0 || to.Canary < 0:
		w.fatalf("weights %v", to)
	case !w.plan.Routed:
		w.fatalf("weights %v, and nobody to route", to)
	case to.Canary > 0 && decision.State.Fallback == nil && w.rolledBack != "" && w.rolledBack == decision.State.Applied:
		w.fatalf("users get %s again, which was rolled back", w.rolledBack)
	case to.Canary > w.weights.Canary && (!w.target.workload().Serves() || w.target.revision != decision.State.Applied):
		w.fatalf("users sent to a canary that cannot have them: %+v", w.target)
	case to.Primary > w.weights.Primary && !w.primary.workload().Serves() && w.target.workload().Serves():
		w.fatalf("users sent to a primary that cannot answer")
	}
}

// noteRollback notes that users left a canary for good, which was not recorded.
func (w *simulation) noteRollback(seen situation, decision Decision) {
	if decision.Result == ResultFailed && seen.State.Weight > 0 && w.plan.Routed && slices.Contains(decision.Actions, Action(StopTarget{})) {
		w.rolledBack = decision.State.Applied
	}
}

// checkRecorded holds the cluster to the promises after a step that nothing cut off.
func (w *simulation) checkRecorded(before State) {
	if w.state.Phase == flaggerv1.CanaryPhaseInitialized {
		w.earned[w.state.Promoted] = true // what the first primary is nobody measures
	}
	if w.statefulSet != nil {
		return
	}
	w.checkConfig()
	canaryDead, primaryServes := !w.target.workload().Serves(), w.primary.workload().Serves()
	if w.plan.Routed && w.weights.Canary > 0 && canaryDead && primaryServes {
		w.fatalf("users are left on a canary without pods: %v", w.weights)
	}
	reached := w.weights.Canary == 100 && w.everyone == (w.plan.ABTest && w.state.Fallback != nil)
	if known := w.state.Promoted != "" && w.target.revision == w.state.Applied &&
		before.Applied == w.state.Applied; known && w.plan.Routed && !canaryDead && !primaryServes && !reached {
		w.fatalf("users are left on a primary without pods: %v, everyone is %v", w.weights, w.everyone)
	}
}

// checkConfig: pods of the primary read the configuration that belongs to their template, but while it
// is being replaced.
func (w *simulation) checkConfig() {
	replaced := promoting(w.state.Phase) || initializing(w.state.Phase) || w.state.promotionBegun(w.primary.workload())
	if w.primary.exists && w.primary.config != w.primary.revision && !replaced {
		w.fatalf("the primary is %s, and reads the configuration of %s in %s", w.primary.revision, w.primary.config, w.state.Phase)
	}
}

// checkSettled: a cluster without disturbance comes to rest, with everybody on the last healthy
// primary, and then it needs no attention any more.
func (w *simulation) checkSettled(calm int) {
	revision, promoted := w.target.revision, w.state.Promoted
	if promoted == "" && w.behaviour[revision].neverStarts || w.behaviour[revision].neverStartsAsPrimary {
		return // there never was a healthy primary
	}
	if w.statefulSet != nil {
		w.statefulSet.checkSettled(w)
	}
	switch {
	case calm == 0:
		w.fatalf("does not come to rest in %s", w.state.Phase)
	case w.command != nil && (w.state.LastCommand == nil || !w.state.LastCommand.Same(*w.command)):
		w.fatalf("%v was never carried out", w.command)
	case w.statefulSet == nil && w.weights != provider.ToPrimary || w.state.Weight != 0:
		w.fatalf("users are left on the canary: %v", w.weights)
	case w.statefulSet == nil && !w.primary.workload().Ready || w.primary.revision != promoted:
		w.fatalf("primary is not the last healthy one: %+v, promoted %s", w.primary, promoted)
	case w.statefulSet == nil && w.primary.config != promoted:
		w.fatalf("primary is %s, and reads the configuration of %s", promoted, w.primary.config)
	case w.statefulSet == nil && w.target.replicas != 0:
		w.fatalf("the target was not scaled down")
	case w.state.Phase == flaggerv1.CanaryPhaseSucceeded, w.state.Phase == flaggerv1.CanaryPhaseInitialized:
		if revision != promoted {
			w.fatalf("%s, but %s is not %s", w.state.Phase, promoted, revision)
		}
	case w.state.Phase == flaggerv1.CanaryPhaseFailed:
		if revision != promoted && w.state.Applied != revision {
			w.fatalf("%s was forgotten", revision)
		}
	default:
		w.fatalf("did not settle: %s", w.state.Phase)
	}
}

// deepCopy copies whatever a decision could change of what it is made from.
func (s situation) deepCopy() situation {
	s.State.Fallback, s.State.Hold = s.State.Fallback.DeepCopy(), s.State.Hold.DeepCopy()
	s.State.LastCommand, s.Command = s.State.LastCommand.DeepCopy(), s.Command.DeepCopy()
	s.State.History = slices.Clone(s.State.History)
	for i, r := range s.State.History {
		s.State.History[i] = *r.DeepCopy()
	}
	s.Snapshots, s.Answers = maps.Clone(s.Snapshots), maps.Clone(s.Answers)
	s.Measured, s.Plan.Steps = slices.Clone(s.Measured), slices.Clone(s.Plan.Steps)
	return s
}
