package canary

import (
	"cmp"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// unaccepted reports whether users may not be where the routes say, so that no check
// tells anything about the canary, and no step moves anybody. Pods that are released
// in place are their own route, and have a deadline of their own.
func (t *turn) unaccepted() bool { return t.RoutePending && !t.Plan.InPlace }

// awaited says for whom the route waits.
func (t *turn) awaited() string { return cmp.Or(t.RouteReason, "waiting for the route to be accepted") }

// holdBack stays in the stage because somebody else has to act first, until the
// deadline: a release that nobody can move on is given up.
func (t *turn) holdBack(why string) {
	if t.overdue() || t.Primary.Stuck {
		t.warn("Rolling back %s.%s progress deadline exceeded %s", t.Canary, t.Namespace, why)
		t.alert(flaggerv1.SeverityError)
		t.rollback("progress deadline exceeded: " + why)
		return
	}
	t.warn("Halt %s.%s advancement %s", t.Canary, t.Namespace, why)
	t.State.At = t.now
	t.wait("%s; holding, %s", t.progress(), why)
}

// overdue reports whether the check that ends the stage should have been long ago.
func (t *turn) overdue() bool {
	release := t.release()
	since := release.StartedAt.Time
	if n := len(release.Steps); n > 0 {
		since = release.Steps[n-1].At.Time
	}
	return t.now.Sub(since) > t.Plan.Interval+t.deadline()
}

func (t *turn) deadline() time.Duration {
	return cmp.Or(t.Plan.Deadline, flaggerv1.DefaultProgressDeadline)
}
