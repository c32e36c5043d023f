package canary

import flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

// give hands the primary what was measured: the pinned revision, not whatever
// the target has become.
func (t *turn) give() {
	t.say("Copying %s.%s template spec to %s-primary.%s%s",
		t.Names.Target, t.Namespace, t.Names.Target, t.Namespace, values(t.Measured))
	t.do(SetPrimary{t.State.Applied})
	t.State.Hold = nil
	t.enter(flaggerv1.CanaryPhasePromoting)
	t.wait("Canary analysis completed, starting primary rolling update.")
}

// promote waits for the primary to become ready with the pinned revision while
// users stay where they are, then moves them over.
func (t *turn) promote() {
	if !t.restorePrimary() {
		return
	}
	if t.State.Weight > 0 && !t.trusted() {
		t.land() // nobody measured what the canary is now
	}
	if t.stranded() {
		t.fallBack()
	}
	switch {
	case t.Target.Exists && t.Target.Revision == t.State.Promoted:
		t.do(SetPrimary{t.State.Promoted})
		t.revert()
	case t.Primary.Revision != t.State.Applied:
		t.giveAgain()
	case t.Primary.Stuck:
		t.breakOff()
	case !t.Primary.Ready, t.State.Fallback != nil && !t.Primary.Serves():
		t.wait("Canary analysis completed, %s", t.primaryNotReady())
	default:
		t.shift()
	}
}

// giveAgain hands the primary the pinned revision, which it does not have.
func (t *turn) giveAgain() {
	switch {
	case t.have(t.State.Applied):
		t.do(SetPrimary{t.State.Applied})
		t.wait("Canary analysis completed, starting primary rolling update.")
	case t.Target.Exists:
		t.restart() // the pinned revision is lost
	default:
		t.step.Problem = t.missingTarget()
	}
}

// shift moves users to the promoted primary, at once or step by step.
func (t *turn) shift() {
	size := t.Plan.PromotionStep
	if t.State.Weight > 0 && size > 0 && size < t.State.Weight {
		t.shiftStep(t.State.Weight - size)
		return
	}
	if t.Plan.Routed {
		t.say("Routing all traffic to primary")
	}
	t.route(Stable)
	t.enter(flaggerv1.CanaryPhaseFinalising)
	t.message("Canary analysis completed, routing all traffic to primary.")
	t.step.After = soon
	if t.drains() {
		t.step.After = t.Plan.Interval
	}
}

func (t *turn) shiftStep(weight int) {
	t.message("Canary analysis completed, routing all traffic to primary.")
	if left := t.left(); left > 0 {
		t.step.After = left
		return
	}
	t.route(split(weight))
	t.State.At = t.now
	t.step.After = t.Plan.Interval
	t.say("Advance %s.%s primary weight %d", t.Canary, t.Namespace, 100-weight)
}

// drains reports whether users may still be on their way to the canary.
func (t *turn) drains() bool { return t.Plan.Routed && !t.Plan.Skip }

// finalise scales the canary down once its users have left. If the primary
// breaks just now, they go back.
func (t *turn) finalise() {
	if !t.restorePrimary() {
		return
	}
	if !t.Plan.InPlace && t.Plan.Routed && !t.Primary.Serves() && t.pinned() && t.Target.Ready {
		t.fallBack()
		t.enter(flaggerv1.CanaryPhasePromoting)
		t.wait("Canary analysis completed, %s", t.primaryNotReady())
		return
	}
	if left := t.left(); left > 0 && t.drains() {
		t.message("Canary analysis completed, routing all traffic to primary.")
		t.step.After = left
		return
	}
	if !t.land() || !t.Primary.Serves() {
		t.wait("Canary analysis completed, %s", t.primaryNotReady())
		return
	}
	t.succeed()
}

func (t *turn) succeed() {
	if t.pinned() {
		t.do(StopTarget{})
	} else {
		t.step.After = soon // there is another revision already
	}
	t.enter(flaggerv1.CanaryPhaseSucceeded)
	t.State.Promoted = t.State.Applied
	t.State.Iterations = 0
	t.after()
	t.message("Canary analysis completed successfully, promotion finished.")
	if t.Plan.Skip {
		t.step.Verdict = VerdictSkipped
		t.close(flaggerv1.VerdictSkipped, "the analysis was skipped")
		t.say("Promotion completed! Canary analysis was skipped for %s.%s", t.Names.Target, t.Namespace)
		t.alert(flaggerv1.SeverityInfo)
		return
	}
	t.step.Verdict = VerdictPromoted
	t.close(flaggerv1.VerdictPromoted, "all checks passed")
	t.say("Promotion completed! Scaling down %s.%s", t.Names.Target, t.Namespace)
	t.alert(flaggerv1.SeverityInfo)
}
