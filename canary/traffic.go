// SPDX-License-Identifier: Apache-2.0

package canary

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// traffic is where users are, and which of the two copies could answer them.
//
// A primary that has no pods left is no place for users while the canary has some:
//
//	primary serves nobody, canary serves --> Fallback{weight of the step}, weight 100
//	Fallback, primary ready              --> the weight of the step again
//	Fallback, last step good             --> Promoting: the primary gets what serves
//
// Meanwhile the analysis goes on through its steps. Its checks are as good as ever,
// and a fix for the primary has to pass them like anything else.
type traffic struct {
	routed, inPlace bool // as in Plan
	// weight is the canary's percentage in the last state, and routes is what the
	// route objects say. A step that was lost in a crash makes them differ.
	weight  int
	routes  provider.Weights
	pending bool
	// fallback means that all users are on the canary because the primary is down.
	fallback bool
	// pinned means that the canary has the revision under analysis.
	pinned          bool
	primary, canary Workload
}

func trafficOf(t transition) traffic {
	return traffic{
		routed: t.seen.Plan.Routed, inPlace: t.seen.Plan.InPlace,
		weight: t.prev.Weight, routes: t.seen.Weights, pending: t.seen.RoutePending,
		fallback: t.prev.Fallback != nil, pinned: t.pinned(),
		primary: t.seen.Primary, canary: t.seen.Target,
	}
}

// canaryTrusted reports whether the canary may have users: its pods answer, and they and
// no others are what is under analysis.
func (t traffic) canaryTrusted() bool {
	return t.pinned && (t.inPlace || t.canary.Serves() && !t.canary.Shared)
}

// primaryDown reports whether users are routed to a primary that serves nobody, although
// the canary could serve them.
func (t traffic) primaryDown() bool {
	return !t.fallback && t.routed && !t.inPlace && t.primary.Failing() && t.canaryTrusted()
}

// primaryRecovered reports whether the primary can have back the users that left it.
func (t traffic) primaryRecovered() bool {
	return t.fallback && t.primary.Ready && t.primary.Serves()
}

// canaryMayHaveUsers reports whether there may be users on the canary, by the recorded
// weight or by the routes: a crash may have kept the last weight from being recorded.
// A pending route does not tell.
func (t traffic) canaryMayHaveUsers() bool {
	return t.routed && (t.weight > 0 || t.routes.Canary > 0 || t.pending)
}

// primaryTakesAll reports whether users can leave the canary. They cannot while it is
// the only copy that answers.
func (t traffic) primaryTakesAll() bool {
	onlyCanaryServes := !t.primary.Serves() && t.canary.Serves()
	return !t.primaryDown() && (!onlyCanaryServes || !t.canaryMayHaveUsers())
}

// nobodyAnswers reports whether users get no answer, although they should.
func (t traffic) nobodyAnswers() bool {
	elsewhere := (t.fallback || t.inPlace) && t.canary.Serves()
	return t.primary.Exists && t.primary.Replicas > 0 && t.primary.Failing() && !elsewhere
}

// setWeights sends users where the weights say, which ends a fallback.
func setWeights(w provider.Weights) func(transition) Decision {
	return func(t transition) Decision {
		d := t.unchanged()
		d.State.Weight, d.State.Fallback = w.Canary, nil
		if t.seen.Plan.Routed {
			d.addActions(SetWeights{w})
		}
		return d
	}
}

// routeAllToPrimary takes all users off the canary, unless only the canary can answer
// them. Users of a primary that is down are sent to the canary instead.
func routeAllToPrimary(t transition) Decision {
	switch users := trafficOf(t); {
	case users.primaryDown():
		return fallBack(t)
	case !users.primaryTakesAll():
		return t.unchanged()
	default:
		return setWeights(provider.ToPrimary)(t)
	}
}

// fallBack sends all users to the canary because the primary serves nobody.
func fallBack(t transition) Decision {
	d := t.unchanged()
	d.alert(flaggerv1.SeverityError, "Routing all traffic to canary, %s", t.seen.primaryServesNobody())
	return t.then(d, routeAllToCanary)
}

// routeAllToCanary sends all users to the canary, and records the weight that they
// are to have there once the primary is back.
func routeAllToCanary(t transition) Decision {
	d := t.unchanged()
	if t.prev.Fallback == nil {
		d.State.Fallback = &flaggerv1.CanaryFallback{Weight: t.prev.Weight, Since: metav1.NewTime(t.now)}
	}
	d.State.Weight = 100
	d.addActions(SetWeights{provider.Split(100)})
	return d
}

// setStepWeight gives the canary the weight of a step, or records it while all users
// are there anyway.
func setStepWeight(step Step) func(transition) Decision {
	return func(t transition) Decision {
		if t.prev.Fallback == nil {
			return setWeights(step.weights())(t)
		}
		moved := *t.prev.Fallback
		moved.Weight = step.Weight
		state := t.prev
		state.Fallback = &moved
		return routeAllToCanary(t.from(state))
	}
}

// endFallback leads users where the step wants them, because the primary is ready
// again. The step begins anew: what was measured meanwhile was about other users.
func endFallback(t transition) Decision {
	back := t.prev
	back.Weight, back.Fallback = t.prev.stepWeight(), nil
	d := setWeights(t.seen.Plan.weights(back))(t)
	d.State.At = t.now
	d.alert(flaggerv1.SeverityInfo, "%s is ready again, routing traffic to it", t.seen.primary())
	d.wait(t.interval(), "%s", progress(t.from(d.State)))
	return d
}

// recordedFallback is the fallback of a state that may have been written by Flagger,
// which records none: there is one reason only why users stay on what failed.
func recordedFallback(t transition) *flaggerv1.CanaryFallback {
	leftOnCanary := t.prev.Phase == flaggerv1.CanaryPhaseFailed && t.prev.Weight > 0
	if t.prev.Fallback != nil || !leftOnCanary || !t.seen.Plan.Routed {
		return t.prev.Fallback
	}
	return &flaggerv1.CanaryFallback{Since: metav1.NewTime(t.prev.At)}
}
