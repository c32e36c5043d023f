// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// split50 has half of its users on each copy, both of which answer.
func split50(edit func(*traffic)) traffic {
	t := traffic{routed: true, weight: 50, routes: provider.Split(50), pinned: true, primary: running(v1), canary: running(v2)}
	edit(&t)
	return t
}

func TestTrafficSaysWhereUsersCanGo(t *testing.T) {
	type answers struct{ canaryTrusted, primaryDown, primaryRecovered, canaryMayHaveUsers, primaryTakesAll, nobodyAnswers bool }
	for name, tc := range map[string]struct {
		edit func(*traffic)
		want answers
	}{
		"both copies serve": {func(*traffic) {}, answers{canaryTrusted: true, canaryMayHaveUsers: true, primaryTakesAll: true}},
		"the primary is down": {
			func(t *traffic) { t.primary = gone(v1) },
			answers{canaryTrusted: true, primaryDown: true, canaryMayHaveUsers: true, nobodyAnswers: true},
		},
		"the primary is missing": {
			func(t *traffic) { t.primary = Workload{} },
			answers{canaryTrusted: true, primaryDown: true, canaryMayHaveUsers: true},
		},
		"the primary sleeps": {
			func(t *traffic) { t.primary = gone(v1); t.primary.Idle = true },
			answers{canaryTrusted: true, canaryMayHaveUsers: true},
		},
		"the canary is down": {
			func(t *traffic) { t.canary = gone(v2) },
			answers{canaryMayHaveUsers: true, primaryTakesAll: true},
		},
		"both are down": {
			func(t *traffic) { t.primary, t.canary = gone(v1), gone(v2) },
			answers{canaryMayHaveUsers: true, primaryTakesAll: true, nobodyAnswers: true},
		},
		"pods of others are among the canary's": {
			func(t *traffic) { t.canary.Shared = true }, answers{canaryMayHaveUsers: true, primaryTakesAll: true},
		},
		"so, and the primary is down, too": {
			func(t *traffic) { t.canary.Shared, t.primary = true, gone(v1) }, answers{canaryMayHaveUsers: true, nobodyAnswers: true},
		},
		"pods that are both copies are the users' whatever else is": {
			func(t *traffic) { t.canary.Shared, t.inPlace = true, true },
			answers{canaryTrusted: true, canaryMayHaveUsers: true, primaryTakesAll: true},
		},
		"the canary has another revision": {func(t *traffic) { t.pinned = false }, answers{canaryMayHaveUsers: true, primaryTakesAll: true}},
		"so, and the primary is down": {
			func(t *traffic) { t.pinned, t.primary = false, gone(v1) },
			answers{canaryMayHaveUsers: true, nobodyAnswers: true},
		},
		"users fell back to the canary": {
			func(t *traffic) { t.fallback, t.primary = true, gone(v1) },
			answers{canaryTrusted: true, canaryMayHaveUsers: true},
		},
		"and the primary is back": {
			func(t *traffic) { t.fallback = true },
			answers{canaryTrusted: true, primaryRecovered: true, canaryMayHaveUsers: true, primaryTakesAll: true},
		},
		"and only a part of it is back": {
			func(t *traffic) { t.fallback, t.primary = true, rolling(v1) },
			answers{canaryTrusted: true, canaryMayHaveUsers: true, primaryTakesAll: true},
		},
		"and it is ready without any pod": {
			func(t *traffic) { t.fallback, t.primary = true, Workload{Exists: true, Ready: true} },
			answers{canaryTrusted: true, canaryMayHaveUsers: true},
		},
		"nobody is on the canary": {
			func(t *traffic) { t.weight, t.routes = 0, provider.ToPrimary },
			answers{canaryTrusted: true, primaryTakesAll: true},
		},
		"a step was lost before its record": {
			func(t *traffic) { t.weight = 0 },
			answers{canaryTrusted: true, canaryMayHaveUsers: true, primaryTakesAll: true},
		},
		"the route is not readable": {
			func(t *traffic) { t.weight, t.routes, t.pending = 0, provider.Weights{}, true },
			answers{canaryTrusted: true, canaryMayHaveUsers: true, primaryTakesAll: true},
		},
		"pods are released in place": {
			func(t *traffic) { t.inPlace, t.canary = true, gone(v2) },
			answers{canaryTrusted: true, canaryMayHaveUsers: true, primaryTakesAll: true},
		},
		"in place, and the old pods fail": {
			func(t *traffic) { t.inPlace, t.primary = true, gone(v1) },
			answers{canaryTrusted: true, canaryMayHaveUsers: true},
		},
		"nothing routes users": {
			func(t *traffic) { t.routed, t.weight, t.primary = false, 0, gone(v1) },
			answers{canaryTrusted: true, primaryTakesAll: true, nobodyAnswers: true},
		},
		"the owner scaled the primary to 0": {
			func(t *traffic) { t.primary = stopped(v1) },
			answers{canaryTrusted: true, primaryDown: true, canaryMayHaveUsers: true},
		},
		"a lost step, and the primary fails": {
			func(t *traffic) { t.weight, t.pinned, t.primary = 0, false, gone(v1) },
			answers{canaryMayHaveUsers: true, nobodyAnswers: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			users := split50(tc.edit)
			got := answers{
				users.canaryTrusted(),
				users.primaryDown(),
				users.primaryRecovered(),
				users.canaryMayHaveUsers(),
				users.primaryTakesAll(),
				users.nobodyAnswers(),
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(answers{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMovesOfUsers has what each move makes of the weight, the fallback and the route.
func TestMovesOfUsers(t *testing.T) {
	mirror := provider.Weights{Primary: 100, Mirror: true}
	fallback := func(weight int) *flaggerv1.CanaryFallback { return &flaggerv1.CanaryFallback{Weight: weight} }
	for name, tc := range map[string]struct {
		move         func(transition) Decision
		edit         func(*situation)
		wantWeight   int
		wantFallback *flaggerv1.CanaryFallback
		wantActions  []Action
	}{
		"weights end a fallback": {
			move: setWeights(provider.Split(20)), edit: func(s *situation) { s.State.Fallback = fallback(20) },
			wantWeight: 20, wantActions: []Action{SetWeights{provider.Split(20)}},
		},
		"copies of requests are no users": {
			move: setStepWeight(Step{Mirror: true, Iteration: 1}), edit: func(*situation) {},
			wantActions: []Action{SetWeights{mirror}},
		},
		"nothing is written where nothing routes": {
			move: setWeights(provider.ToPrimary), edit: func(s *situation) { s.Plan.Routed = false },
		},
		"users leave the canary": {
			move: routeAllToPrimary, edit: func(*situation) {}, wantActions: []Action{SetWeights{provider.ToPrimary}},
		},
		"users stay on the only copy that answers": {
			move: routeAllToPrimary, edit: func(s *situation) { s.Primary, s.Target = gone(v1), running(v3) }, wantWeight: 40,
		},
		"users of a primary that is down are sent to the canary": {
			move: routeAllToPrimary, edit: func(s *situation) { s.Primary = gone(v1) },
			wantWeight: 100, wantFallback: fallback(40), wantActions: []Action{SetWeights{provider.Split(100)}},
		},
		"the first fallback keeps its weight": {
			move: routeAllToCanary, edit: func(s *situation) { s.State.Weight, s.State.Fallback = 100, fallback(20) },
			wantWeight: 100, wantFallback: fallback(20), wantActions: []Action{SetWeights{provider.Split(100)}},
		},
		"a step moves users": {
			move: setStepWeight(Step{Weight: 50}), edit: func(*situation) {}, wantWeight: 50, wantActions: []Action{SetWeights{provider.Split(50)}},
		},
		"a step is recorded while all users are on the canary": {
			move: setStepWeight(Step{Weight: 50}), edit: func(s *situation) { s.State.Weight, s.State.Fallback = 100, fallback(40) },
			wantWeight: 100, wantFallback: fallback(50), wantActions: []Action{SetWeights{provider.Split(100)}},
		},
		"the end of a fallback leads users where the step wants them": {
			move: endFallback, edit: func(s *situation) { s.State.Weight, s.State.Fallback = 100, fallback(40) },
			wantWeight: 40, wantActions: []Action{SetWeights{provider.Split(40)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			given := edited(at(flaggerv1.CanaryPhaseProgressing, 40), tc.edit)
			d := tc.move(given.transition())
			if d.State.Fallback != nil {
				fallback := *d.State.Fallback
				fallback.Since = metav1.Time{}
				d.State.Fallback = &fallback
			}
			if diff := cmp.Diff(tc.wantActions, d.Actions); diff != "" || d.State.Weight != tc.wantWeight {
				t.Errorf("weight %d, actions %s", d.State.Weight, diff)
			}
			if diff := cmp.Diff(tc.wantFallback, d.State.Fallback); diff != "" {
				t.Error(diff)
			}
		})
	}
}
