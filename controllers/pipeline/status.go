// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"strings"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	notice "github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/promotion"
)

// summary is where the stages stand, in a line.
func summary(d promotion.Decision) string {
	var parts []string
	for _, stage := range d.Stages {
		parts = append(parts, stage.Name+": "+stage.Message)
	}
	return strings.Join(parts, "; ")
}

func eventsOf(decided []promotion.Event) []reconciler.Event {
	var events []reconciler.Event
	for _, e := range decided {
		kind := corev1.EventTypeNormal
		if e.Warning {
			kind = corev1.EventTypeWarning
		}
		events = append(events, reconciler.Event{Type: kind, Reason: e.Reason, Message: e.Message, Metadata: metadataOf(e)})
	}
	return events
}

// metadataOf is what an event is about. That of a bundle that a stage got names the commit by which it got it, on which
// Alerts then show how it stands there.
func metadataOf(e promotion.Event) map[string]string {
	about := map[string]string{sluicev1.EventStage: e.Stage}
	if commit, ok := notice.CommitOf(e.Commit); ok {
		about[eventv1.Group+"/"+eventv1.MetaCommitKey] = commit
		about[sluicev1.EventState] = commitState(e.Verdict)
	}
	return about
}

// commitState is a verdict as a commit status has it.
func commitState(verdict string) string {
	switch verdict {
	case promotion.VerdictVerified:
		return notice.StateSuccess
	case promotion.VerdictFailed:
		return notice.StateFailure
	}
	return notice.StatePending
}

// record notes where the pipeline stands.
func (r *run) record(seen promotion.Observation, d promotion.Decision) {
	p, now := r.pipeline, r.controller.Clock.Now()
	p.Status.Candidate, p.Status.Stages, p.Status.Summary = d.Candidate, withApprovalsSince(p.Status.Stages, d.Stages, now), stagesLine(d)
	p.Status.Quarantined = quarantineOf(d.State)
	recordCarrier(p, r.cache.kept, now)
	recordDecisions(p, seen, d.State)
	recordGuard(p, seen, r.unguarded, now)
}

// withApprovalsSince are the stages of a decision, with since when those that wait for approvals do: the state has no time of it, so
// that it is the time when the status had such a gate for the bundle first. Of one that is there without a time it stays unknown.
func withApprovalsSince(before, stages []sluicev1.StageStatus, now time.Time) []sluicev1.StageStatus {
	found := slices.Clone(stages)
	for i := range found {
		s := &found[i]
		s.Waiting = slices.Clone(s.Waiting)
		for j := range s.Waiting {
			if g := &s.Waiting[j]; g.Type == sluicev1.GateApproval && g.Since == nil {
				g.Since = approvalSince(before, s, now)
			}
		}
	}
	return found
}

func approvalSince(before []sluicev1.StageStatus, s *sluicev1.StageStatus, now time.Time) *metav1.Time {
	for _, was := range before {
		if was.Name != s.Name || was.Wants == nil || s.Wants == nil || was.Wants.ID != s.Wants.ID {
			continue
		}
		for _, g := range was.Waiting {
			if g.Type == sluicev1.GateApproval {
				return g.Since
			}
		}
	}
	return &metav1.Time{Time: now.Truncate(time.Second)}
}

// quarantineOf are the bundles that failed, as a status has them.
func quarantineOf(s promotion.State) []sluicev1.Quarantine {
	var shown []sluicev1.Quarantine
	for _, q := range s.Quarantine {
		b, _ := s.Bundle(q.Bundle)
		entry := sluicev1.Quarantine{
			Bundle: b, Artifacts: q.Artifacts, Stage: q.Stage, Reason: q.Reason, By: q.By, At: metav1.NewTime(q.At), Overridden: q.Overridden != nil,
		}
		if q.Until != nil {
			entry.Until = &metav1.Time{Time: *q.Until}
		}
		shown = append(shown, entry)
	}
	return shown
}

// recordGuard notes whether commands count, if any stage cares; unguarded says why not.
func recordGuard(p *sluicev1.Pipeline, seen promotion.Observation, unguarded string, now time.Time) {
	if !needsGuard(p, seen.Commands) {
		reconciler.RemoveCondition(p, sluicev1.ApprovalsEnforcedCondition)
		return
	}
	c := metav1.Condition{
		Type: sluicev1.ApprovalsEnforcedCondition, Status: metav1.ConditionTrue, Reason: sluicev1.PolicyInstalledReason,
		Message: "commands are guarded by the API server",
	}
	if !seen.CommandsGuarded {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, sluicev1.PolicyMissingReason, "commands in annotations are ignored: "+unguarded
	}
	reconciler.SetCondition(p, now, c)
}

// stagesLine is what each stage has, for a column.
func stagesLine(d promotion.Decision) string {
	var parts []string
	for _, stage := range d.Stages {
		has := "-"
		if stage.Has != nil {
			has = promotion.Describe(*stage.Has)
		}
		parts = append(parts, stage.Name+"="+has)
	}
	return strings.Join(parts, " ")
}
