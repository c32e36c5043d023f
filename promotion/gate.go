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

// gates are those that are closed in front of a bundle that was chosen. A rollback that
// nobody asked for waits only for windows that are about rollbacks.
func (s *stageRound) gates(w want) []sluicev1.Gate {
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
		add(s.stateGate())
		add(s.holdGate())
		add(s.approvalGate(w))
	}
	if !s.overridden(w.bundle.ID) {
		add(s.windowGate(scope))
		add(s.freezeGate(scope))
	}
	if s.seen.Problem != "" {
		closed = append(closed, gate(sluicev1.GateContent, time.Time{}, time.Time{}, "%s", s.seen.Problem))
	}
	return closed
}

func (s *stageRound) stateGate() *sluicev1.Gate {
	if !s.State.Lost {
		return nil
	}
	g := gate(sluicev1.GateState, time.Time{}, time.Time{},
		"the state branch is gone, and with it what was in quarantine: `sluice pipeline lift` confirms that promotions may go on")
	return &g
}

func (s *stageRound) holdGate() *sluicev1.Gate {
	hold := s.state.Hold
	if hold == nil {
		return nil
	}
	until := time.Time{}
	if hold.Until != nil {
		until = *hold.Until
		s.lookAgain(until, s.now)
	}
	g := gate(sluicev1.GateHold, hold.At, until, "held by %s%s; `sluice pipeline resume` lets it go on", hold.By, because(hold.Reason))
	return &g
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// approvalGate counts the people who agreed. Who asked for a promotion is not one of
// them.
func (s *stageRound) approvalGate(w want) *sluicev1.Gate {
	a := s.spec.Approval
	if a == nil || a.Required != nil && !*a.Required {
		return nil
	}
	need, agreed := int(max(a.MinApprovals, 1)), []string{}
	for _, c := range s.state.Approvals {
		if c.Bundle != w.bundle.ID || !c.inForce(s.now) || c.By == w.by || slices.Contains(agreed, c.By) {
			continue
		}
		agreed = append(agreed, c.By)
		if c.Until != nil {
			s.lookAgain(*c.Until, s.now)
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
func (s *stageRound) overridden(bundle string) bool {
	return slices.ContainsFunc(s.state.Overrides, func(c Consent) bool { return c.Bundle == bundle && c.inForce(s.now) })
}

func (s *stageRound) windowGate(scope sluicev1.WindowScope) *sluicev1.Gate {
	calendar, err := ParseCalendar(s.spec.Windows)
	if err != nil {
		g := gate(sluicev1.GateWindow, time.Time{}, time.Time{}, "%s", err)
		return &g
	}
	return s.calendarGate(calendar, scope, sluicev1.GateWindow, "window %s")
}

func (s *stageRound) freezeGate(scope sluicev1.WindowScope) *sluicev1.Gate {
	for _, f := range s.round.seen.Freezes {
		if len(f.Stages) > 0 && !slices.Contains(f.Stages, s.spec.Name) {
			continue
		}
		calendar, err := ParseCalendar(f.Windows)
		if err != nil {
			g := gate(sluicev1.GateFreeze, time.Time{}, time.Time{}, "freeze %s: %s", f.Name, err)
			return &g
		}
		if g := s.calendarGate(calendar, scope, sluicev1.GateFreeze, "freeze "+f.Name+because(f.Reason)+" (%s)"); g != nil {
			return g
		}
	}
	return nil
}

// calendarGate is the gate of a calendar, nil if it is open. The stage is looked at again
// when that changes.
func (s *stageRound) calendarGate(c Calendar, scope sluicev1.WindowScope, kind sluicev1.GateType, format string) *sluicev1.Gate {
	opening := c.At(s.now, scope)
	if !opening.Next.IsZero() {
		s.lookAgain(opening.Next, s.now)
	}
	if opening.Open {
		return nil
	}
	opens := c.NextOpen(s.now, scope)
	when := "does not open again"
	if !opens.IsZero() {
		when = "opens at " + opens.UTC().Format(time.RFC3339)
	}
	g := gate(kind, time.Time{}, opens, format+" %s; `sluice pipeline promote --override` does not wait for it", cmp.Or(opening.Window, "-"), when)
	return &g
}
