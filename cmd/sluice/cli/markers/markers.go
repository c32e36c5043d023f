// SPDX-License-Identifier: Apache-2.0

// Package markers converts the markers that package writeback finds in files into those of package report, for the commands
// that print them: explain automation, of a cluster, and update, of a local directory.
package markers

import (
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/writeback"
)

// FromReport reports every marker. Replaced is the state of a marker whose value is not the
// wanted one: outdated, or updated.
func FromReport(found writeback.Report, replaced report.MarkerState) []Entry {
	markers := []Entry{}
	for _, line := range found.Lines() {
		m := Entry{line: line, Marker: report.Marker{
			File: line.File, Line: line.Line, Marker: line.Setter, Current: line.Current, Wanted: line.Wanted,
			State: report.MarkerState(line.State()), Why: line.Why(),
		}}
		if m.State == report.MarkerOutdated {
			m.State = replaced
		}
		markers = append(markers, m)
	}
	return markers
}

// Entry is a marker with what only messages about it say.
type Entry struct {
	report.Marker
	line writeback.Line
}

// Sentence is about a marker that is held or skipped.
func (m Entry) Sentence() string { return m.line.SentenceWith(m.Why) }

// Reports are the markers without what only messages say.
func Reports(markers []Entry) []report.Marker {
	reports := make([]report.Marker, 0, len(markers))
	for _, m := range markers {
		reports = append(reports, m.Marker)
	}
	return reports
}

// Table is for people; current and wanted are what they call the two values. The name
// of a marker is its place.
func Table(markers []report.Marker, current, wanted string) output.Table {
	t := output.Table{Columns: []string{"WHERE", "MARKER", current, wanted, "STATE", "WHY"}}
	for _, m := range markers {
		t.Add(m.Location(), m.Location(), m.Marker, m.Current, m.Wanted, string(m.State), m.Why)
	}
	return t
}
