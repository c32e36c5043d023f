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

// gatekeeper knows which gates of a stage are closed.
type gatekeeper struct{ stage *stage }

// gates are those that are closed in front of a bundle that was chosen. A rollback that
// nobody asked for waits only for windows that are about rollbacks.
func (k gatekeeper) gates(w desiredBundle) []sluicev1.Gate {
	var closed []sluicev1.Gate
	add := func(g *sluicev1.Gate) {
		if g != nil {
			closed = append(closed, *g)
		}
	}
	scope := sluicev1.WindowPromotes
	if w.kind == sluicev1.LandingRollback {
		scope = sluicev1.WindowRollsBack
	} else {
		add(k.stateGate())
		add(k.holdGate())
		add(k.approvalGate(w))
		add(k.contentGate())
		add(k.missingGate(w))
	}
	if !k.overridden(w.bundle.ID) {
		add(k.windowGate(scope))
		add(k.freezeGate(scope))
	}
	if k.stage.seen.Problem != "" {
		closed = append(closed, gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", k.stage.seen.Problem))
	}
	return closed
}

// contentGate waits for people to mend what cannot be read: what would be written to it
// could not be seen either.
func (k gatekeeper) contentGate() *sluicev1.Gate {
	problem := k.stage.problem()
	if problem == "" {
		return nil
	}
	g := gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", problem)
	return &g
}

// missingGate waits for the objects that the next targets are judged by: what a stage is
// given while one does not exist could not be verified.
func (k gatekeeper) missingGate(w desiredBundle) *sluicev1.Gate {
	missing := k.stage.missing(next(k.stage, w))
	if missing == "" {
		return nil
	}
	g := gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", missing)
	return &g
}

func (k gatekeeper) stateGate() *sluicev1.Gate {
	if !k.stage.transition.State.Lost {
		return nil
	}
	g := gate(sluicev1.GateState, time.Time{}, time.Time{},
		"the state branch is gone, or back at an older commit, and with it what was in quarantine: "+
			"`sluice pipeline lift` confirms that promotions may go on")
	return &g
}

func (k gatekeeper) holdGate() *sluicev1.Gate {
	hold := k.stage.state.Hold
	if hold == nil {
		return nil
	}
	until := time.Time{}
	if hold.Until != nil {
		until = *hold.Until
		k.stage.requeueAt(until)
	}
	g := gate(sluicev1.GateHold, hold.At, until, "held by %s%s; `sluice pipeline resume` lets it go on", hold.By, because(hold.Reason))
	return &g
}

// approvalGate counts the people who agreed. Who asked for a promotion is not one of
// them.
func (k gatekeeper) approvalGate(w desiredBundle) *sluicev1.Gate {
	a := k.stage.spec.Approval
	if a == nil || a.Required != nil && !*a.Required {
		return nil
	}
	need, agreed := int(max(a.MinApprovals, 1)), []string{}
	for _, c := range k.stage.state.Approvals {
		if c.Bundle != w.bundle.ID || !c.inForce(k.stage.now) || c.By == w.by || slices.Contains(agreed, c.By) {
			continue
		}
		agreed = append(agreed, c.By)
		if c.Until != nil {
			k.stage.requeueAt(*c.Until)
		}
	}
	if len(agreed) >= need {
		return nil
	}
	g := gate(sluicev1.GateApproval, time.Time{}, time.Time{}, "%d of %d approvals of %s; `sluice pipeline approve` gives one",
		len(agreed), need, Describe(w.bundle))
	return &g
}

// overridden reports whether a person opened windows and freezes for a bundle.
func (k gatekeeper) overridden(bundle string) bool {
	return slices.ContainsFunc(k.stage.state.Overrides, func(c Consent) bool { return c.Bundle == bundle && c.inForce(k.stage.now) })
}

func (k gatekeeper) windowGate(scope sluicev1.WindowScope) *sluicev1.Gate {
	calendar, err := ParseCalendar(k.stage.spec.Windows)
	if err != nil {
		g := gate(sluicev1.GateWindow, time.Time{}, time.Time{}, "%s", err)
		return &g
	}
	return k.calendarGate(calendar, scope, sluicev1.GateWindow, "window %s")
}

func (k gatekeeper) freezeGate(scope sluicev1.WindowScope) *sluicev1.Gate {
	for _, f := range k.stage.transition.seen.Freezes {
		if !f.isAbout(k.stage.spec.Name) {
			continue
		}
		calendar, err := ParseCalendar(f.Windows)
		if err != nil {
			g := gate(sluicev1.GateFreeze, time.Time{}, time.Time{}, "freeze %s: %s", f.Name, err)
			return &g
		}
		if g := k.calendarGate(calendar, scope, sluicev1.GateFreeze, "freeze "+f.Name+because(f.Reason)+" (%s)"); g != nil {
			return g
		}
	}
	return nil
}

// calendarGate is the gate of a calendar, nil if it is open. The stage is looked at again
// when that changes.
func (k gatekeeper) calendarGate(c Calendar, scope sluicev1.WindowScope, kind sluicev1.GateType, format string) *sluicev1.Gate {
	opening := c.At(k.stage.now, scope)
	if !opening.Next.IsZero() {
		k.stage.requeueAt(opening.Next)
	}
	if opening.Open {
		return nil
	}
	opens := c.NextOpen(k.stage.now, scope)
	when := "does not open again"
	if !opens.IsZero() {
		when = "opens at " + opens.UTC().Format(time.RFC3339)
	}
	g := gate(kind, time.Time{}, opens,
		format+" %s; `sluice pipeline promote --override` does not wait for it", cmp.Or(opening.Window, "-"), when)
	return &g
}
