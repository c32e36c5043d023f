// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// maxNamed bounds how many markers a message names.
const maxNamed = 3

// skippedRemark is what the Ready message says of skipped markers that somebody should
// mend: it names those that are withheld, counts the rest, and says which command lists
// them all. The counts of this run have to be in the status already.
func skippedRemark(a *imagev1.ImageUpdateAutomation, report writeback.Report) string {
	withheld := report.Withheld()
	named := withheld[:min(len(withheld), maxNamed)]
	text := ""
	for _, line := range named {
		text += "; " + line.Sentence()
	}
	rest := -len(named)
	for _, s := range a.Status.Markers.Skipped {
		if !writeback.Elsewhere(edit.Reason(s.Reason)) {
			rest += s.Count
		}
	}
	if rest <= 0 {
		return text
	}
	subject := "marker"
	if len(named) > 0 {
		subject = "more marker"
	}
	return text + "; " + countSkipped(rest, subject) + "; see: " + explainCommand(a)
}

// countSkipped counts markers, by their name in the singular.
func countSkipped(n int, subject string) string {
	if n == 1 {
		return "1 " + subject + " is skipped"
	}
	return fmt.Sprintf("%d %ss are skipped", n, subject)
}

// explainCommand lists all markers of an automation.
func explainCommand(a *imagev1.ImageUpdateAutomation) string {
	return fmt.Sprintf("sluice explain automation %s -n %s", a.Name, a.Namespace)
}

// skippedEvents tell once of markers that are skipped: of those that are withheld by an
// event for each reason, and of all others by one. They tell again when other markers
// are skipped for a reason, and not when there are fewer; what was told is in the status
// of the last run. Markers of policies that are not ready, not selected, or of another
// namespace are no fault, and neither are those that a stage of a pipeline writes, which
// are told of by an event of their own.
func skippedEvents(a *imagev1.ImageUpdateAutomation, report writeback.Report, counts writeback.Counts) []reconciler.Event {
	var events []reconciler.Event
	var others []writeback.Line
	for _, s := range counts.Skipped {
		switch {
		case wasReported(a.Status.Markers, s):
		case s.Reason == writeback.PipelineWrites:
			events = append(events, leftToPipelineEvent(report.SkippedFor(s.Reason)))
		case writeback.Elsewhere(s.Reason):
		case writeback.Withholds(s.Reason):
			events = append(events, markerEvent(imagev1.MarkerHeldReason, report.SkippedFor(s.Reason), ""))
		default:
			others = append(others, report.SkippedFor(s.Reason)...)
		}
	}
	if len(others) > 0 {
		events = append(events, markerEvent(imagev1.MarkerSkippedReason, others, "; see: "+explainCommand(a)))
	}
	return events
}

// wasReported reports whether the status of the last run has the same markers as skipped for
// a reason, or more of them. One of an older version has no digest: the number counts then.
func wasReported(last *imagev1.MarkerCounts, now writeback.SkippedBy) bool {
	if last == nil {
		return false
	}
	return slices.ContainsFunc(last.Skipped, func(s imagev1.SkippedMarkers) bool {
		return s.Reason == string(now.Reason) && (s.Digest == now.Digest || now.Count < s.Count || s.Digest == "" && now.Count == s.Count)
	})
}

// markerEvent names the first of some markers, and their policies.
func markerEvent(reason string, lines []writeback.Line, advice string) reconciler.Event {
	var named []string
	for _, line := range lines[:min(len(lines), maxNamed)] {
		named = append(named, line.Sentence())
	}
	text := strings.Join(named, "; ")
	if more := len(lines) - len(named); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return reconciler.Event{
		Type: corev1.EventTypeWarning, Reason: reason, Message: text + advice,
		Metadata: map[string]string{imagev1.PolicyAnnotation: policiesOf(lines)},
	}
}

// policiesOf are the policies of markers, each once.
func policiesOf(lines []writeback.Line) string {
	var policies []string
	for _, line := range lines {
		if line.Policy != "" && len(policies) < maxListed && !slices.Contains(policies, line.Policy) {
			policies = append(policies, line.Policy)
		}
	}
	return strings.Join(policies, ",")
}
