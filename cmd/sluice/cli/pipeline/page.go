// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"fmt"
	"strings"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/report"
)

func pullRequestRows(pr *sluicev1.PullRequestStatus) [][]string {
	if pr == nil {
		return nil
	}
	text := strings.TrimSpace(fmt.Sprintf("#%d %s %s", pr.Number, pr.State, pr.URL))
	if pr.Frozen != "" {
		text += ", not changed any more: " + pr.Frozen
	}
	return [][]string{{"pull request", text}}
}

// decisions are what people decided about a stage, and what came of commands.
func (w *pageWriter) decisions(s report.PipelineStage) [][]string {
	var rows [][]string
	if s.Hold != nil {
		rows = append(rows, []string{"hold", w.consent(*s.Hold)})
	}
	for _, a := range s.Approvals {
		if concerns(s, a.Bundle) {
			rows = append(rows, []string{"approval", "of " + a.Bundle + " " + w.consent(a)})
		}
	}
	for _, o := range s.Overrides {
		if concerns(s, o.Bundle) {
			rows = append(rows, []string{"override", "for " + o.Bundle + " " + w.consent(o)})
		}
	}
	for _, c := range s.Commands {
		if c.Outcome != sluicev1.CommandDone {
			rows = append(rows, []string{"command", fmt.Sprintf("%s %s ago was %s: %s",
				c.Verb, output.Ago(c.At.Time, w.now), strings.ToLower(string(c.Outcome)), c.Message)})
		}
	}
	for _, c := range s.Pending {
		rows = append(rows,
			[]string{"command", fmt.Sprintf("%s%s was given %s ago and not carried out yet", c.Verb, report.By(c.By), output.Ago(c.At.Time, w.now))})
	}
	return rows
}

// concerns reports whether a stage has a bundle or wants it.
func concerns(s report.PipelineStage, bundle string) bool {
	return s.Has != nil && s.Has.ID == bundle || s.Wants != nil && s.Wants.ID == bundle
}

// consent says who decided, when, for how long and why.
func (w *pageWriter) consent(c sluicev1.Consent) string {
	text := "by " + c.By + " " + output.Ago(c.At.Time, w.now) + " ago"
	if c.Until != nil && w.now.Before(c.Until.Time) {
		text += ", for another " + output.Ago(w.now, c.Until.Time)
	} else if c.Until != nil {
		text += ", expired"
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// matrix is what became of each bundle in each stage.
func (w *pageWriter) matrix(rows []report.BundleRow) {
	if len(rows) == 0 {
		return
	}
	w.page.Section("Bundles")
	head := []string{"BUNDLE", "ID"}
	for _, cell := range rows[0].Stages {
		head = append(head, strings.ToUpper(cell.Stage))
	}
	lines := [][]string{head}
	for _, row := range rows {
		line := []string{promotion.Describe(row.Bundle), row.Bundle.ID}
		for _, cell := range row.Stages {
			line = append(line, w.cell(cell))
		}
		if row.Quarantined {
			line = append(line, "in quarantine")
		}
		lines = append(lines, line)
	}
	w.page.Lines(lines)
}

// cell is what became of a bundle in a stage, in a few words.
func (w *pageWriter) cell(c report.BundleInStage) string {
	if c.Relation == "" {
		return "-"
	}
	text := strings.ToLower(c.Relation)
	if c.Verdict != "" {
		text += ", " + strings.ToLower(c.Verdict)
	}
	if c.At != nil {
		text += ", " + output.Ago(*c.At, w.now) + " ago"
	}
	return text
}

// passedOver says why a stage is not given a bundle that it would be given otherwise.
func (w *pageWriter) passedOver(q *sluicev1.Quarantine) string {
	text := report.NameBundle(q.Bundle) + ", in quarantine for " + output.Ago(q.At.Time, w.now)
	switch {
	case q.Stage != "" && q.Reason != "":
		text += " since it failed in " + q.Stage + ": " + q.Reason
	case q.Reason != "":
		text += ": " + q.Reason
	}
	return text + report.By(q.By)
}

func (w *pageWriter) quarantine(quarantined []sluicev1.Quarantine) {
	if len(quarantined) == 0 {
		return
	}
	w.page.Section("Quarantine")
	rows := [][]string{{"BUNDLE", "FOR", "STAGE", "UNTIL", "WHY"}}
	for _, q := range quarantined {
		until := "it is lifted"
		switch {
		case q.Overridden:
			until = "overridden by a commit"
		case q.Until != nil && w.now.Before(q.Until.Time):
			until = "a person promotes it, in " + output.Ago(w.now, q.Until.Time)
		case q.Until != nil:
			until = "a person promotes it"
		}
		rows = append(rows, []string{
			report.NameBundle(q.Bundle), output.Ago(q.At.Time, w.now), cmp.Or(q.Stage, "-"), until, strings.TrimSpace(q.Reason + report.By(q.By)),
		})
	}
	w.page.Lines(rows)
}
