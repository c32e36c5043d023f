// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func TestAGateIsOpenUnlessSomebodyObjects(t *testing.T) {
	hooks := map[flaggerv1.HookType]bool{confirmTraffic: true}
	answered := func(a Answer) map[flaggerv1.HookType]Answer {
		return map[flaggerv1.HookType]Answer{confirmTraffic: a}
	}
	hold := func(kind string, gate flaggerv1.HookType) *flaggerv1.CanaryHold {
		return &flaggerv1.CanaryHold{Kind: kind, Gate: gate, Approved: kind == flaggerv1.HoldGate}
	}
	closed := []flaggerv1.HookType{confirmPromotion, confirmTraffic}
	for name, tc := range map[string]struct {
		gates gates
		want  gateCheck
	}{
		"nobody is asked":          {gates{}, gateCheck{state: gateOpen}},
		"a webhook was not called": {gates{hooks: hooks}, gateCheck{state: gateUnasked}},
		"a webhook agrees":         {gates{hooks: hooks, answers: answered(yes)}, gateCheck{state: gateOpen}},
		"a webhook objects":        {gates{hooks: hooks, answers: answered(no)}, gateCheck{state: gateClosed, by: "gate"}},
		"it wants no alert": {
			gates{hooks: hooks, answers: answered(Answer{Webhook: "gate", Muted: true})},
			gateCheck{state: gateClosed, by: "gate", muted: true},
		},
		"an answer of a removed webhook": {gates{answers: answered(no)}, gateCheck{state: gateOpen}},
		"an annotation asks no webhook": {
			gates{closed: closed, hooks: hooks},
			gateCheck{state: gateClosed, by: "annotation sluice.dev/gates"},
		},
		"an annotation for another gate": {gates{closed: closed[:1]}, gateCheck{state: gateOpen}},
		"a person opened it": {
			gates{closed: closed, hooks: hooks, hold: hold(flaggerv1.HoldGate, confirmTraffic)},
			gateCheck{state: gateApproved},
		},
		"a person opened another": {
			gates{hooks: hooks, hold: hold(flaggerv1.HoldGate, confirmPromotion)},
			gateCheck{state: gateUnasked},
		},
		"a halt is no approval of any gate": {gates{hooks: hooks, hold: hold(flaggerv1.HoldHalt, confirmTraffic)}, gateCheck{state: gateUnasked}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.gates.check(confirmTraffic), cmp.AllowUnexported(gateCheck{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnlyWebhooksThatExistAreAsked(t *testing.T) {
	g := gates{
		hooks:   map[flaggerv1.HookType]bool{rollout: true, rollbackHook: true, preRollout: true},
		answers: map[flaggerv1.HookType]Answer{preRollout: yes, postRollout: yes},
	}
	if diff := cmp.Diff([]flaggerv1.HookType{
		rollbackHook,
		rollout,
	}, g.unanswered(preRollout, rollbackHook, confirmRollout, rollout)); diff != "" {
		t.Error(diff)
	}
}

func TestARollbackIsRequestedByAWebhookThatExists(t *testing.T) {
	answers := map[flaggerv1.HookType]Answer{rollbackHook: yes}
	if (gates{answers: answers}).rollbackRequested() {
		t.Error("no webhook is there, and it asks for a rollback")
	}
	if !(gates{hooks: map[flaggerv1.HookType]bool{rollbackHook: true}, answers: answers}).rollbackRequested() {
		t.Error("the webhook asks for a rollback in vain")
	}
}

func TestPassingAGateEndsItsHoldUnlessAPersonApproved(t *testing.T) {
	for name, tc := range map[string]struct {
		given    situation
		wantOpen bool
		wantHold string
		wantDue  string
	}{
		"webhooks that agree end the hold": {
			waitingAt(withAnswer(at(flaggerv1.CanaryPhaseProgressing, 20), confirmTraffic, yes), confirmTraffic),
			true,
			"",
			"",
		},
		"the hold of another gate stays": {
			waitingAt(withAnswer(at(flaggerv1.CanaryPhaseProgressing, 20), confirmTraffic, yes), confirmPromotion),
			true,
			"gate confirm-promotion by gate",
			"",
		},
		"an approval is kept for further steps": {
			edited(waitingAt(withHooks(at(flaggerv1.CanaryPhaseProgressing, 20), confirmTraffic), confirmTraffic), func(s *situation) {
				s.State.Hold.Approved = true
			}),
			true,
			"gate confirm-traffic-increase approved",
			"",
		},
		"a closed gate holds": {
			withAnswer(at(flaggerv1.CanaryPhaseProgressing, 20), confirmTraffic, no),
			false,
			"gate confirm-traffic-increase by gate",
			"",
		},
		"a gate closed by somebody else holds": {
			edited(waitingAt(at(flaggerv1.CanaryPhaseProgressing, 20), confirmTraffic), func(s *situation) {
				s.Plan.Gates = []flaggerv1.HookType{confirmTraffic}
			}),
			false,
			"gate confirm-traffic-increase by annotation sluice.dev/gates",
			"",
		},
		"one that was not asked holds nothing": {
			withHooks(at(flaggerv1.CanaryPhaseProgressing, 20), confirmTraffic),
			false,
			"",
			"confirm-traffic-increase",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, open := passGate(tc.given.transition(), confirmTraffic)
			if open != tc.wantOpen || holdText(d.State.Hold) != tc.wantHold {
				t.Errorf("open %v, held %q", open, holdText(d.State.Hold))
			}
			if got := questionNames(d.due); got != tc.wantDue {
				t.Errorf("asks %q", got)
			}
		})
	}
}
