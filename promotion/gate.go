// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// gate is a closed gate; times that are zero are not known.
func gate(kind sluicev1.GateType, since, until time.Time, format string, args ...any) sluicev1.Gate {
	g := sluicev1.Gate{Type: kind, Message: fmt.Sprintf(format, args...)}
	if !since.IsZero() {
		g.Since = &metav1.Time{Time: since}
	}
	if !until.IsZero() {
		g.Until = &metav1.Time{Time: until}
	}
	return g
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// waiting is what is waited for, and when to look again because time goes by; zero is never.
type waiting struct {
	gates     []sluicev1.Gate
	nextCheck time.Time
}

func waitFor(gates ...sluicev1.Gate) waiting { return waiting{gates: gates} }

// and is both: the gates of others come after these.
func (w waiting) and(others ...waiting) waiting {
	for _, other := range others {
		w.gates = slices.Concat(w.gates, other.gates)
		w = w.recheckAt(other.nextCheck)
	}
	return w
}

// recheckAt is the same with a look at this time, unless there is one before it; zero adds none.
func (w waiting) recheckAt(at time.Time) waiting {
	if !at.IsZero() && (w.nextCheck.IsZero() || at.Before(w.nextCheck)) {
		w.nextCheck = at
	}
	return w
}

// gatesBefore are the gates that are closed in front of a bundle that was chosen. A rollback that
// nobody asked for waits only for windows that are about rollbacks.
func gatesBefore(s stageTransition, w desiredBundle) waiting {
	var closed waiting
	scope := sluicev1.WindowRollsBack
	if w.kind != sluicev1.LandingRollback {
		scope = sluicev1.WindowPromotes
		closed = closed.and(
			stateGate(s.pipeline.Lost),
			holdGate(s.prev.Hold),
			approvalGate(s.spec.Approval, s.prev.Approvals, w, s.now),
			contentGate(s.seen.problem()),
			contentGate(missingObject(s.spec.Name, next(s, w))),
		)
	}
	if !overridden(s.prev.Overrides, w.bundle.ID, s.now) {
		closed = closed.and(windowGate(s.spec.Windows, scope, s.now), freezeGate(s.freezes, scope, s.now))
	}
	return closed.and(contentGate(s.seen.Problem))
}

// contentGate waits for people to mend what cannot be read or written, and for the objects that the next
// targets are judged by: what is given to a stage while one does not exist could not be verified. No
// problem is no gate.
func contentGate(problem string) waiting {
	if problem == "" {
		return waiting{}
	}
	return waitFor(gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", problem))
}

// stateGate waits for a person if the state of before was lost.
func stateGate(lost bool) waiting {
	if !lost {
		return waiting{}
	}
	return waitFor(gate(sluicev1.GateState, time.Time{}, time.Time{},
		"the state branch is gone, or back at an older commit, and with it what was in quarantine: "+
			"`sluice pipeline lift` confirms that promotions may go on"))
}

// holdGate waits for whoever holds the stage.
func holdGate(hold *Consent) waiting {
	if hold == nil {
		return waiting{}
	}
	until := time.Time{}
	if hold.Until != nil {
		until = *hold.Until
	}
	return waitFor(gate(sluicev1.GateHold, hold.At, until,
		"held by %s%s; `sluice pipeline resume` lets it go on", hold.By, because(hold.Reason))).recheckAt(until)
}

// approvalGate counts the people who agreed. Who asked for a promotion is not one of
// them.
func approvalGate(a *sluicev1.Approval, given []Consent, w desiredBundle, now time.Time) waiting {
	var waits waiting
	if a == nil || a.Required != nil && !*a.Required {
		return waits
	}
	need, agreed := int(max(a.MinApprovals, 1)), []string{}
	for _, c := range given {
		if c.Bundle != w.bundle.ID || !c.inForce(now) || c.By == w.by || slices.Contains(agreed, c.By) {
			continue
		}
		agreed = append(agreed, c.By)
		if c.Until != nil {
			waits = waits.recheckAt(*c.Until)
		}
	}
	if len(agreed) >= need {
		return waits
	}
	return waits.and(waitFor(gate(sluicev1.GateApproval, time.Time{}, time.Time{},
		"%d of %d approvals of %s; `sluice pipeline approve` gives one", len(agreed), need, Describe(w.bundle))))
}

// overridden reports whether a person opened windows and freezes for a bundle.
func overridden(overrides []Consent, bundle string, now time.Time) bool {
	return slices.ContainsFunc(overrides, func(c Consent) bool { return c.Bundle == bundle && c.inForce(now) })
}

func windowGate(windows []sluicev1.Window, scope sluicev1.WindowScope, now time.Time) waiting {
	calendar, err := ParseCalendar(windows)
	if err != nil {
		return waitFor(gate(sluicev1.GateWindow, time.Time{}, time.Time{}, "%s", err))
	}
	return calendarGate(calendar, sluicev1.GateWindow, scope, now, "window %s")
}

// freezeGate is the gate of the first freeze that is closed.
func freezeGate(freezes []Freeze, scope sluicev1.WindowScope, now time.Time) waiting {
	var waits waiting
	for _, f := range freezes {
		calendar, err := ParseCalendar(f.Windows)
		if err != nil {
			return waits.and(waitFor(gate(sluicev1.GateFreeze, time.Time{}, time.Time{}, "freeze %s: %s", f.Name, err)))
		}
		waits = waits.and(calendarGate(calendar, sluicev1.GateFreeze, scope, now, "freeze "+f.Name+because(f.Reason)+" (%s)"))
		if len(waits.gates) > 0 {
			break
		}
	}
	return waits
}

// calendarGate is the gate of a calendar; nothing is waited for if it is open. The stage is looked at again
// when that changes.
func calendarGate(c Calendar, kind sluicev1.GateType, scope sluicev1.WindowScope, now time.Time, format string) waiting {
	opening := c.At(now, scope)
	if opening.Open {
		return waiting{nextCheck: opening.Next}
	}
	opens := c.NextOpen(now, scope)
	when := "does not open again"
	if !opens.IsZero() {
		when = "opens at " + opens.UTC().Format(time.RFC3339)
	}
	return waitFor(gate(kind, time.Time{}, opens,
		format+" %s; `sluice pipeline promote --override` does not wait for it", cmp.Or(opening.Window, "-"), when)).recheckAt(opening.Next)
}
