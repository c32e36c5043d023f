package canary

import (
	"fmt"
	"slices"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// analyse goes through the stages. What comes first matters: whatever ends the
// analysis is looked at before whatever moves it on.
func (t *turn) analyse() {
	switch {
	case !t.restorePrimary():
	case t.promotionBegun():
		t.State.Hold = nil
		t.enter(flaggerv1.CanaryPhasePromoting)
		t.promote()
	case !t.Target.Exists:
		t.land()
		t.step.Problem = t.missingTarget()
	case t.Target.Revision == t.State.Promoted:
		t.revert()
	case !t.pinned():
		t.restart()
	case t.misfit():
		t.say("Strategy edited! Restarting analysis for %s.%s", t.Names.Target, t.Namespace)
		t.land()
		t.pin()
	case t.Target.Stuck:
		t.warn("Rolling back %s.%s progress deadline exceeded %s", t.Canary, t.Namespace, t.targetNotReady())
		t.alert(flaggerv1.SeverityError)
		t.rollback("progress deadline exceeded: " + t.targetNotReady())
	case t.alarmed():
		t.warn("Rolling back %s.%s at once, %s", t.Canary, t.Namespace, t.Alarm)
		t.alert(flaggerv1.SeverityError)
		t.rollback(t.Alarm)
	case t.stranded() && !t.wanted():
		t.fallBack()
		t.message("%s", t.progress())
		t.step.After = soon
	case t.returned():
		t.giveBack()
	default:
		t.try()
	}
}

// alarmed reports whether samples are decisive. It does not matter whether all
// pods are ready: errors often come with pods that are not.
func (t *turn) alarmed() bool {
	return t.Alarm != "" && t.State.Started() && !t.paused() && !t.commanded()
}

// try goes on with a canary that nothing speaks against so far.
func (t *turn) try() {
	switch {
	case t.State.Weight > 0 && !t.Target.Serves() && !t.Plan.InPlace:
		t.withdraw()
	case !t.Target.Ready:
		t.await()
	case t.Plan.Skip, t.commanded():
		t.give()
	case t.paused():
		t.wait("%s", t.progress())
	case !t.State.Started():
		t.start()
	default:
		t.check()
	}
}

// misfit reports whether the users of an A/B or blue/green release are on a canary
// whose strategy was edited meanwhile. Its weight was for chosen users, or came
// after checks that the new strategy would not count: under the new one it would
// be for everybody. A router that finds a route of another strategy reads no weight.
func (t *turn) misfit() bool {
	open := t.openRelease()
	if t.State.Weight == 0 || t.State.Fallback != nil || t.Weights.Canary > 0 || t.RoutePending || !analysing(t.State.Phase) || open == nil || len(open.Steps) == 0 {
		return false
	}
	if last := open.Steps[len(open.Steps)-1]; last.Iteration == 0 || last.Weight == 0 {
		return false
	}
	at := t.Plan.position(t.State)
	return t.Plan.progressive() || at >= 0 && t.Plan.Steps[at].Weight < t.State.Weight
}

// promotionBegun recognises a promotion whose status was lost in a crash: the
// primary has the revision under analysis, and only a good analysis does that.
func (t *turn) promotionBegun() bool {
	return t.State.Applied != "" && t.Primary.Revision == t.State.Applied && t.State.Applied != t.State.Promoted
}

// revert ends an analysis because Git went back to what users have.
func (t *turn) revert() {
	if !t.land() {
		t.wait("Revision reverted, %s", t.primaryNotReady())
		return
	}
	if !t.Plan.InPlace { // its pods may have to go back to what is the target now
		t.do(StopTarget{})
	}
	t.enter(flaggerv1.CanaryPhaseInitialized)
	t.State.Applied = t.State.Promoted
	t.State.FailedChecks, t.State.Iterations = 0, 0
	t.step.Verdict = VerdictReverted
	t.State.Hold = nil
	t.close(flaggerv1.VerdictReverted, wentBack)
	t.say("Revision reverted! Ending analysis of %s.%s without promotion", t.Names.Target, t.Namespace)
	t.message("Revision reverted to the promoted one, analysis ended without promotion.")
}

// restart begins again with another revision. The canary's pods are being
// replaced by ones that nobody looked at, so users leave them at once.
func (t *turn) restart() {
	t.land()
	t.say("New revision detected! Restarting analysis for %s.%s", t.Names.Target, t.Namespace)
	t.pin()
}

// withdraw takes users off a canary that has no pods left, which is a failed
// check. If it recovers, it starts from the first stage.
func (t *turn) withdraw() {
	t.land()
	t.State.Iterations = 0
	t.warn("Halt %s.%s advancement canary has no available pods", t.Canary, t.Namespace)
	t.fail()
}

// await waits for the canary's pods, and asks for them again if somebody else
// scaled them away.
func (t *turn) await() {
	if t.Target.Replicas == 0 {
		t.do(StartTarget{})
	}
	t.wait("%s", t.targetNotReady())
}

// advance enters the next stage, or promotes after the last, if nobody holds the
// release where it is.
func (t *turn) advance() {
	next := t.Plan.position(t.State) + 1
	for _, gate := range t.gatesBefore(next) {
		if t.held() || !t.open(gate) {
			t.stay(gate)
			return
		}
	}
	if t.held() {
		t.stay("")
		return
	}
	if t.unaccepted() {
		t.holdBack(t.awaited())
		return
	}
	if next < len(t.Plan.Steps) {
		t.stage(next)
		return
	}
	t.give()
}

// gatesBefore are the gates between the current stage and the next one. The
// promotion is asked for both before all users of a blue/green release are sent
// to the canary and after.
func (t *turn) gatesBefore(next int) []flaggerv1.HookType {
	var gates []flaggerv1.HookType
	waits := t.approved(flaggerv1.ConfirmPromotionHook) || t.State.Phase == flaggerv1.CanaryPhaseWaitingPromotion
	if !waits && t.increases(next) {
		gates = append(gates, flaggerv1.ConfirmTrafficIncreaseHook)
	}
	if next >= len(t.Plan.Steps) || t.switching(t.Plan.Steps[next]) {
		gates = append(gates, flaggerv1.ConfirmPromotionHook)
	}
	return gates
}

// increases reports whether going on to a stage is to be approved as an increase
// of the canary's users. Flagger calls its webhooks in progressive releases only,
// there for the promotion, too; a gate of our own is closed in every release.
func (t *turn) increases(next int) bool {
	last := next >= len(t.Plan.Steps)
	if t.Plan.progressive() {
		return last || !t.Plan.Steps[next].Mirror
	}
	return !last && t.Plan.Steps[next].Weight > t.State.staged() && slices.Contains(t.Plan.Gates, flaggerv1.ConfirmTrafficIncreaseHook)
}

// stay remains in the stage; checks go on.
func (t *turn) stay(gate flaggerv1.HookType) {
	if !t.step.due.None() {
		t.message("%s", t.progress())
		t.step.After = soon
		return
	}
	if gate == flaggerv1.ConfirmPromotionHook && !t.held() {
		t.enter(flaggerv1.CanaryPhaseWaitingPromotion)
	}
	t.State.At = t.now
	t.wait("%s", t.progress())
}

// stage enters a stage of the plan. While the primary is unfit nobody leaves it for
// the canary, because there would be no way back; who left one that serves nobody
// stays where he is.
func (t *turn) stage(i int) {
	stage := t.Plan.Steps[i]
	if !t.Primary.Ready && !t.Primary.Failing() && t.State.Fallback == nil && stage.Weight > 0 {
		t.holdBack(t.primaryNotReady())
		return
	}
	t.State.At = t.now
	if stage.Iteration > 0 {
		t.State.Iterations = stage.Iteration
	}
	if t.State.Hold != nil && t.State.Hold.Gate == flaggerv1.ConfirmTrafficIncreaseHook {
		t.State.Hold = nil
	}
	if t.State.Phase == flaggerv1.CanaryPhaseWaitingPromotion {
		t.enter(flaggerv1.CanaryPhaseProgressing)
	}
	t.move(stage)
	t.entered(stage)
	t.announce(stage)
	t.wait("%s", t.progress())
}

// announce tells of a stage as Flagger does, and what made it possible.
func (t *turn) announce(stage Step) {
	measured := values(t.Measured)
	last := len(t.Plan.Steps) - 1
	switch {
	case stage.Iteration == 0:
		t.say("Advance %s.%s canary weight %d%s", t.Canary, t.Namespace, stage.Weight, measured)
	case stage.Mirror && last >= 0 && t.Plan.Steps[last].Iteration == 0:
		t.say("Mirroring traffic to %s.%s", t.Canary, t.Namespace)
	case t.switching(stage) && t.Plan.Steps[0].Mirror:
		t.say("Stop traffic mirroring and route all traffic to canary%s", measured)
	case t.switching(stage):
		t.say("Routing all traffic to canary%s", measured)
	default:
		t.say("Advance %s.%s canary iteration %d/%d%s", t.Canary, t.Namespace, stage.Iteration, t.iterations(), measured)
	}
}

// switching reports whether a stage is the one that follows the iterations of a
// blue/green release.
func (t *turn) switching(stage Step) bool { return stage.Iteration > t.iterations() }

// iterations is the number of stages that Flagger counts.
func (t *turn) iterations() int {
	n := 0
	for i, stage := range t.Plan.Steps {
		blueGreenEnd := i > 0 && stage.Weight > 0 && t.Plan.Steps[i-1].Weight == 0
		if stage.Iteration > 0 && !blueGreenEnd {
			n++
		}
	}
	return n
}

// progress says how far the analysis is.
func (t *turn) progress() string {
	at := t.Plan.position(t.State) + 1
	text := fmt.Sprintf("Canary analysis at weight %d, stage %d of %d%s", t.State.staged(), at, len(t.Plan.Steps), t.holding())
	if t.State.Fallback != nil && !t.Primary.Ready {
		text += "; all traffic is on the canary, " + t.primaryServesNobody()
	}
	return text
}
