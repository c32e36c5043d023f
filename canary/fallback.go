package canary

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// A primary that has no pods left is no place for users while the canary has some:
//
//	primary serves nobody, canary serves --> Fallback{stage's weight}, weight 100
//	Fallback, primary ready              --> the stage's weight again
//	Fallback, last stage good            --> Promoting: the primary gets what serves
//
// Meanwhile the analysis goes on through its stages. Its checks are as good as ever,
// and a fix for the primary has to pass them like anything else.

// fallback is that of a state which may have been written by somebody who notes none:
// a release that failed keeps its users for one reason only.
func (s Observation) fallback() *flaggerv1.CanaryFallback {
	if f := s.State.Fallback; f != nil || s.State.Phase != flaggerv1.CanaryPhaseFailed || s.State.Weight == 0 || !s.Plan.Routed {
		return f
	}
	return &flaggerv1.CanaryFallback{Since: metav1.NewTime(s.State.At)}
}

// stranded reports whether users are led to a primary that serves nobody, although
// the canary could have them.
func (t *turn) stranded() bool {
	return t.State.Fallback == nil && t.Plan.Routed && !t.Plan.InPlace && t.Primary.Failing() && t.trusted()
}

// fallBack sends all users to the canary.
func (t *turn) fallBack() {
	t.warn("Routing all traffic to canary, %s", t.primaryServesNobody())
	t.alert(flaggerv1.SeverityError)
	t.divert()
}

// divert is to fall back without a word, where it was said already.
func (t *turn) divert() {
	if t.State.Fallback == nil {
		t.State.Fallback = &flaggerv1.CanaryFallback{Weight: t.State.Weight, Since: metav1.NewTime(t.now)}
	}
	t.State.Weight = 100
	t.do(SetWeights{split(100)})
}

// returned reports whether the primary is fit again for those who left it.
func (t *turn) returned() bool {
	return t.State.Fallback != nil && t.Primary.Ready && t.Primary.Serves()
}

// giveBack leads users where the stage wants them. The stage begins again: what was
// measured meanwhile was about other users.
func (t *turn) giveBack() {
	back := t.State
	back.Weight, back.Fallback = t.State.staged(), nil
	t.route(t.Plan.weights(back))
	t.State.At = t.now
	t.say("%s-primary.%s is ready again, routing traffic to it", t.Names.Target, t.Namespace)
	t.alert(flaggerv1.SeverityInfo)
	t.wait("%s", t.progress())
}

// everyone reports whether routes have to lead all users by the weights, although the
// analysis chooses some.
func (t *turn) everyone() bool { return t.State.Fallback != nil && t.Plan.ABTest }

// move gives the canary the weight of a stage, or notes it while everybody is there.
func (t *turn) move(stage Step) {
	if t.State.Fallback == nil {
		t.route(stage.weights())
		return
	}
	moved := *t.State.Fallback
	moved.Weight = stage.Weight
	t.State.Fallback = &moved
	t.divert()
}

// diagnose says what is wrong whatever the phase does about it: nobody answers, or
// the next release cannot begin.
func (t *turn) diagnose() {
	if t.step.Problem != "" || promoting(t.State.Phase) {
		return
	}
	resting, failed := !analysing(t.State.Phase), t.State.Phase == flaggerv1.CanaryPhaseFailed
	switch {
	case failed && t.State.Fallback != nil && !t.fresh():
		t.problem(t.primaryServesNobody())
	case t.down() || resting && t.State.Fallback == nil && t.Primary.Exists && t.Primary.Stuck:
		t.problem(t.primaryNotReady())
	case resting && (!failed || t.fresh()):
		t.diagnoseNext()
	}
}

// diagnoseNext says why the next release cannot begin.
func (t *turn) diagnoseNext() {
	switch {
	case t.Plan.Routed && t.RouteRefused:
		t.problem(t.RouteReason)
	case t.Unmeasurable != "" && !t.Plan.Skip:
		t.problem("metrics cannot be measured: " + t.Unmeasurable)
	case t.Plan.Routed && t.RoutePending && t.RouteReason != "":
		t.step.Settling = true
		t.message("%s %s.", t.step.Message, t.RouteReason)
	}
}

// problem adds to where things stand why that is not well.
func (t *turn) problem(why string) {
	t.step.Problem = why
	if !strings.Contains(t.step.Message, why) && t.step.Message != "" {
		t.step.Problem = strings.TrimSuffix(t.step.Message, ".") + "; " + why
	} else if t.step.Message != "" {
		t.step.Problem = t.step.Message
	}
}

// down reports whether nobody answers users, although somebody should.
func (t *turn) down() bool {
	elsewhere := (t.State.Fallback != nil || t.Plan.InPlace) && t.Target.Serves()
	return t.Primary.Exists && t.Primary.Replicas > 0 && t.Primary.Failing() && !elsewhere
}

// primaryServesNobody says so, and why.
func (t *turn) primaryServesNobody() string {
	if !t.Primary.Exists {
		return t.Names.Target + "-primary." + t.Namespace + " is missing"
	}
	return t.primaryNotReady()
}
