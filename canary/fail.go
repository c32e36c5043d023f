package canary

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// rollback gives up the revision under analysis. Users leave it now, not at the
// next check.
func (t *turn) rollback(reason string) {
	if t.land() {
		t.do(StopTarget{})
	} else {
		t.step.After = soon
	}
	t.warn("Canary failed! Scaling down %s.%s", t.Canary, t.Namespace)
	t.lose(reason)
}

// breakOff gives up a promotion because the primary does not start. As long as
// the canary is healthy it serves, while the primary gets its old revision back.
func (t *turn) breakOff() {
	t.warn("Promotion of %s.%s failed, primary not ready: %s", t.Names.Target, t.Namespace, t.Primary.Why)
	t.alert(flaggerv1.SeverityError)
	if t.Plan.Routed && t.pinned() && t.Target.Ready && !t.Plan.InPlace {
		t.divert()
	} else if t.land() {
		t.do(StopTarget{})
	}
	if t.have(t.State.Promoted) {
		t.do(SetPrimary{t.State.Promoted})
	}
	t.lose("promotion failed, primary not ready: " + t.Primary.Why)
	t.step.After = soon
}

func (t *turn) lose(reason string) {
	t.close(flaggerv1.VerdictFailed, reason)
	t.enter(flaggerv1.CanaryPhaseFailed)
	t.State.FailedChecks, t.State.Iterations = 0, 0
	t.State.Hold = nil
	if t.State.Fallback != nil {
		t.State.Fallback = &flaggerv1.CanaryFallback{Since: t.State.Fallback.Since}
	}
	t.after()
	t.step.Verdict = VerdictFailed
	t.messageFailed()
}

// after tells webhooks how the release ended.
func (t *turn) after() {
	if t.Plan.Hooks[flaggerv1.PostRolloutHook] {
		t.do(Notify{flaggerv1.PostRolloutHook})
	}
}

func (t *turn) messageFailed() {
	t.message("Canary analysis failed, %s scaled to zero.", t.Kind)
	if t.State.Weight > 0 {
		t.message("Canary failed, traffic stays on it: %s", t.primaryNotReady())
	}
	if why := t.lost(); why != "" {
		t.message("%s. Reason: %s", strings.TrimSuffix(t.step.Message, "."), why)
	}
}

// lost is why the last revision failed; empty if nobody knows any more.
func (t *turn) lost() string {
	if len(t.State.History) == 0 || t.State.History[0].Verdict != flaggerv1.VerdictFailed {
		return ""
	}
	return t.State.History[0].Reason
}

// fallen brings users back to the last healthy primary, and waits for a new
// revision. A failed revision stays failed; going back to the promoted one is
// noted, so that the failed one can be tried again later.
func (t *turn) fallen() {
	if !t.restorePrimary() {
		return
	}
	t.acknowledge()
	if t.occupied() && !t.Target.Serves() {
		t.land()
	}
	t.messageFailed()
	if t.promotionBegun() && t.have(t.State.Promoted) {
		t.do(SetPrimary{t.State.Promoted})
		t.wait("Promotion failed, restoring %s-primary.%s", t.Names.Target, t.Namespace)
		return
	}
	if t.fresh() {
		t.begin()
		return
	}
	t.withdrawn()
	if t.State.Weight > 0 {
		t.comeBack()
		return
	}
	if t.Target.Exists && t.Target.Revision == t.State.Promoted {
		t.State.Applied = t.State.Promoted
		t.message("Revision reverted to the promoted one.")
	}
	t.idle()
}

// comeBack ends the time in which users were on the canary because the primary
// did not start.
func (t *turn) comeBack() {
	if !t.returned() && t.Target.Serves() {
		t.step.After = max(t.Plan.Interval, time.Second)
		return
	}
	if t.promotionBegun() {
		t.State.Promoted = t.State.Applied // it started after all, and users have it
	}
	t.route(Stable)
	t.do(StopTarget{})
	t.State.At = t.now
	t.warn("Canary failed! Scaling down %s.%s", t.Canary, t.Namespace)
	t.messageFailed()
}

func (n Names) missingTarget() string {
	return fmt.Sprintf("%s %s.%s not found", n.Kind, n.Target, n.Namespace)
}

func (t *turn) primaryNotReady() string {
	return fmt.Sprintf("%s-primary.%s not ready: %s", t.Names.Target, t.Namespace, cmp.Or(t.Primary.Why, "no pod is available"))
}

func (t *turn) targetNotReady() string {
	return fmt.Sprintf("canary %s %s.%s not ready: %s", strings.ToLower(t.Kind), t.Names.Target, t.Namespace, t.Target.Why)
}
