package canary

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// gates are the types of webhooks that hold a release without failing it, and what
// it then does.
var gates = map[flaggerv1.HookType]string{
	flaggerv1.ConfirmRolloutHook:         "waiting for approval",
	flaggerv1.ConfirmTrafficIncreaseHook: "waiting for traffic increase approval",
	flaggerv1.ConfirmPromotionHook:       "waiting for promotion approval",
}

// answered reports whether the webhooks of all these types have been called, and
// asks for those that have not. A type without webhooks has no answer to wait for.
func (t *turn) answered(hooks ...flaggerv1.HookType) bool {
	all := true
	for _, hook := range hooks {
		if _, known := t.Answers[hook]; !known && t.Plan.Hooks[hook] {
			t.step.due.Hooks = append(t.step.due.Hooks, hook)
			all = false
		}
	}
	return all
}

// agrees reports whether the webhooks of a type, which have been called, let the
// release go on. Without webhooks nobody objects.
func (t *turn) agrees(hook flaggerv1.HookType) bool {
	return !t.Plan.Hooks[hook] || t.Answers[hook].OK
}

// wanted reports whether a rollback webhook asks for a rollback.
func (t *turn) wanted() bool {
	return t.Plan.Hooks[flaggerv1.RollbackHook] && t.Answers[flaggerv1.RollbackHook].OK
}

// open reports whether a gate lets the release pass. A closed one becomes what
// holds it; one whose webhooks have not been asked does so now.
func (t *turn) open(gate flaggerv1.HookType) bool {
	switch {
	case t.approved(gate):
		return true
	case slices.Contains(t.Plan.Gates, gate):
		t.shut(gate, "annotation "+flaggerv1.GatesAnnotation, Answer{})
		return false
	case !t.answered(gate):
		return false
	case !t.agrees(gate):
		answer := t.Answers[gate]
		t.shut(gate, answer.Webhook, answer)
		return false
	}
	t.passed(gate)
	t.pass(gate)
	return true
}

// passed tells which webhooks of a type have agreed.
func (t *turn) passed(hook flaggerv1.HookType) {
	title := strings.ToUpper(string(hook[:1])) + string(hook[1:])
	for _, name := range t.Answers[hook].Agreed {
		t.say("%s check %s passed", title, name)
	}
}

// approved reports whether a person has opened the gate.
func (t *turn) approved(gate flaggerv1.HookType) bool {
	h := t.State.Hold
	return h != nil && h.Kind == flaggerv1.HoldGate && h.Gate == gate && h.Approved
}

// shut notes that a gate is closed. It is news only the first time.
func (t *turn) shut(gate flaggerv1.HookType, by string, answer Answer) {
	h := t.State.Hold
	if h != nil && h.Kind == flaggerv1.HoldGate && h.Gate == gate && h.By == by {
		return
	}
	t.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: gate, By: by, Since: metav1.NewTime(t.now)}
	t.warn("Halt %s.%s advancement %s %s", t.Canary, t.Namespace, gates[gate], by)
	if !answer.Muted {
		t.alert(flaggerv1.SeverityWarn)
	}
}

// pass forgets that a gate was closed. What a person approved holds until the
// promotion: it is asked for once, whatever the number of steps behind the gate.
func (t *turn) pass(gate flaggerv1.HookType) {
	if h := t.State.Hold; h != nil && h.Kind == flaggerv1.HoldGate && h.Gate == gate {
		t.State.Hold = nil
	}
}

// held reports whether a person keeps the release where it is.
func (t *turn) held() bool {
	return t.State.Hold != nil && t.State.Hold.Kind != flaggerv1.HoldGate
}

// paused reports whether a person wants nothing to be judged.
func (t *turn) paused() bool {
	return t.State.Hold != nil && t.State.Hold.Kind == flaggerv1.HoldPause
}

// holding says what holds the release, and how it is released.
func (t *turn) holding() string {
	h := t.State.Hold
	switch {
	case h == nil:
		return ""
	case h.Kind == flaggerv1.HoldGate && h.Approved:
		return fmt.Sprintf("; %s approved", h.Gate)
	case h.Kind == flaggerv1.HoldGate:
		return fmt.Sprintf("; %s by %s, or `sluice canary approve %s`", gates[h.Gate], h.By, t.Canary)
	default:
		return fmt.Sprintf("; %s by %s until `sluice canary approve %s`", holdWords[h.Kind], somebody(h.By), t.Canary)
	}
}

var holdWords = map[string]string{flaggerv1.HoldHalt: "halted", flaggerv1.HoldPause: "paused"}

func somebody(name string) string {
	if name == "" {
		return "somebody"
	}
	return name
}
