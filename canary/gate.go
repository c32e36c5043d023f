// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// gateMessages are the types of webhooks that hold a release without failing it, and
// what the release then does.
var gateMessages = map[flaggerv1.HookType]string{
	flaggerv1.ConfirmRolloutHook:         "waiting for approval",
	flaggerv1.ConfirmTrafficIncreaseHook: "waiting for traffic increase approval",
	flaggerv1.ConfirmPromotionHook:       "waiting for promotion approval",
}

// gates are what webhooks, annotations and people say about a release.
type gates struct {
	closed  []flaggerv1.HookType          // by annotation
	hooks   map[flaggerv1.HookType]bool   // types of the webhooks that there are
	answers map[flaggerv1.HookType]Answer // of the webhooks that were called
	hold    *flaggerv1.CanaryHold
}

func gatesOf(t transition) gates {
	return gates{closed: t.seen.Plan.Gates, hooks: t.seen.Plan.Hooks, answers: t.seen.Answers, hold: t.prev.Hold}
}

// gateState says whether a gate lets a release pass.
type gateState int

const (
	gateUnasked  gateState = iota // its webhooks have not been called yet
	gateClosed                    // an annotation or a webhook keeps it closed
	gateOpen                      // nobody objects
	gateApproved                  // a person opened it
)

// gateCheck is the state of a gate, and by whom a closed one is closed.
type gateCheck struct {
	state gateState
	by    string
	muted bool
}

// check asks who objects to a release that wants to pass a gate.
func (g gates) check(gate flaggerv1.HookType) gateCheck {
	answer := g.answers[gate]
	switch {
	case approved(g.hold, gate):
		return gateCheck{state: gateApproved}
	case slices.Contains(g.closed, gate):
		return gateCheck{state: gateClosed, by: "annotation " + flaggerv1.GatesAnnotation}
	case len(g.unanswered(gate)) > 0:
		return gateCheck{state: gateUnasked}
	case !g.agree(gate):
		return gateCheck{state: gateClosed, by: answer.Webhook, muted: answer.Muted}
	default:
		return gateCheck{state: gateOpen}
	}
}

// unanswered are those of these types whose webhooks have to be called first. A type
// without webhooks has no answer to wait for.
func (g gates) unanswered(hooks ...flaggerv1.HookType) []flaggerv1.HookType {
	var missing []flaggerv1.HookType
	for _, hook := range hooks {
		if _, known := g.answers[hook]; !known && g.hooks[hook] {
			missing = append(missing, hook)
		}
	}
	return missing
}

// agree reports whether the webhooks of a type, which have been called, let the
// release go on. Without webhooks nobody objects.
func (g gates) agree(hook flaggerv1.HookType) bool { return !g.hooks[hook] || g.answers[hook].OK }

// rollbackRequested reports whether a rollback webhook asks for a rollback.
func (g gates) rollbackRequested() bool {
	return g.hooks[flaggerv1.RollbackHook] && g.answers[flaggerv1.RollbackHook].OK
}

// passedChecks says which webhooks of a type agreed.
func (g gates) passedChecks(hook flaggerv1.HookType) []Event {
	title := strings.ToUpper(string(hook[:1])) + string(hook[1:])
	var events []Event
	for _, said := range g.answers[hook].Said {
		if said.Agreed {
			events = append(events, Event{Message: fmt.Sprintf("%s check %s passed", title, said.Name)})
		}
	}
	return events
}

// passGate reports whether a release passes a gate. A closed gate becomes what holds
// the release; a gate whose webhooks have not been called has them called.
func passGate(t transition, gate flaggerv1.HookType) (Decision, bool) {
	d := t.unchanged()
	switch found := gatesOf(t).check(gate); found.state {
	case gateUnasked:
		d.due.Hooks = []flaggerv1.HookType{gate}
		return d, false
	case gateClosed:
		return closeGate(t, gate, found), false
	case gateApproved:
		// The approval holds until the promotion: it is asked for once, whatever
		// the number of steps behind the gate.
		return d, true
	default:
		d.Events = gatesOf(t).passedChecks(gate)
		if heldAt(t.prev.Hold, gate) {
			d.State.Hold = nil
		}
		return d, true
	}
}

// closeGate holds the release at a gate, which is news only the first time.
func closeGate(t transition, gate flaggerv1.HookType, found gateCheck) Decision {
	d := t.unchanged()
	if heldAt(t.prev.Hold, gate) && t.prev.Hold.By == found.by {
		return d
	}
	d.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: gate, By: found.by, Since: metav1.NewTime(t.now)}
	severity := flaggerv1.SeverityWarn
	if found.muted {
		severity = ""
	}
	d.alert(severity, "Halt %s advancement %s %s", t.seen.canary(), gateMessages[gate], found.by)
	return d
}

// heldAt reports whether the release waits at a gate, also if it was opened since.
func heldAt(h *flaggerv1.CanaryHold, gate flaggerv1.HookType) bool {
	return h != nil && h.Kind == flaggerv1.HoldGate && h.Gate == gate
}

// approved reports whether a person has opened a gate.
func approved(h *flaggerv1.CanaryHold, gate flaggerv1.HookType) bool {
	return heldAt(h, gate) && h.Approved
}

// anyApproved reports whether a person has opened the gate that the release waits at,
// whichever it is: then the release need not wait for its next check.
func anyApproved(h *flaggerv1.CanaryHold) bool { return h != nil && h.Approved }

// heldByPerson reports whether a person keeps the release where it is.
func heldByPerson(h *flaggerv1.CanaryHold) bool {
	return h != nil && (h.Kind == flaggerv1.HoldHalt || h.Kind == flaggerv1.HoldPause)
}

// inconclusive reports whether the release waits for a person because the judge has not
// decided, also if it was approved since.
func inconclusive(h *flaggerv1.CanaryHold) bool {
	return h != nil && h.Kind == flaggerv1.HoldInconclusive
}

// paused reports whether a person wants nothing to be checked.
func paused(h *flaggerv1.CanaryHold) bool { return h != nil && h.Kind == flaggerv1.HoldPause }

// holdMessage says what holds the release, and how it is released.
func holdMessage(h *flaggerv1.CanaryHold, canary string) string {
	switch {
	case h == nil:
		return ""
	case h.Kind == flaggerv1.HoldGate && h.Approved:
		return fmt.Sprintf("; %s approved", h.Gate)
	case h.Kind == flaggerv1.HoldGate:
		return fmt.Sprintf("; %s by %s, or `sluice canary approve %s`", gateMessages[h.Gate], h.By, canary)
	case inconclusive(h) && h.Approved:
		return "; approved without a verdict of the judge"
	case inconclusive(h):
		return fmt.Sprintf("; the judge is inconclusive: `sluice canary approve %s` or `sluice canary abort %s`", canary, canary)
	default:
		return fmt.Sprintf("; %s by %s until `sluice canary approve %s`", holdVerbs[h.Kind], orSomebody(h.By), canary)
	}
}

var holdVerbs = map[string]string{flaggerv1.HoldHalt: "halted", flaggerv1.HoldPause: "paused"}

func orSomebody(name string) string {
	if name == "" {
		return "somebody"
	}
	return name
}
