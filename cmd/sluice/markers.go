package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/writeback"
)

// What becomes of a marker, in one word; the reason says the rest.
const (
	isCurrent  = "current"
	isOutdated = "outdated"
	isUpdated  = "updated"
	isSkipped  = "skipped"
)

// marker is one marker as the commands print it.
type marker struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Marker  string `json:"marker,omitempty"`
	Current string `json:"current,omitempty"`
	Wanted  string `json:"wanted,omitempty"`
	State   string `json:"state"`
	Why     string `json:"why,omitempty"`

	where string
	of    writeback.Line
}

// skipped is a sentence about a marker that has no effect.
func (m marker) skipped() string {
	line := m.of
	line.Skip = m.Why
	return line.Skipped()
}

// markersOf turns a report into what is printed. changed is what one calls a
// marker whose value is not the wanted one.
func markersOf(report writeback.Report, changed string) []marker {
	var found []marker
	for _, l := range report.Lines() {
		m := marker{
			File: l.File, Line: l.Line, Marker: l.Setter, Current: l.Current, Wanted: l.Wanted,
			State: isCurrent, Why: l.Skip, where: l.Where(), of: l,
		}
		switch {
		case l.Skip != "":
			m.State = isSkipped
		case l.Current != l.Wanted:
			m.State = changed
		}
		found = append(found, m)
	}
	return found
}

// namespace is that of the marker's policy, empty if the marker cannot be read.
func (m marker) namespace() string {
	ns, _, _ := strings.Cut(m.Marker, ":")
	return ns
}

func sortMarkers(markers []marker) {
	slices.SortFunc(markers, func(a, b marker) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// markerTable is for people; old is what they call the value in the file.
func markerTable(markers []marker, old, wanted string) table {
	t := table{columns: []string{"WHERE", "MARKER", old, wanted, "STATE", "WHY"}}
	for _, m := range markers {
		t.add(m.where, m.Marker, m.Current, m.Wanted, m.State, m.Why)
	}
	return t
}

// count is how many markers are in a state.
func count(markers []marker, state string) int {
	n := 0
	for _, m := range markers {
		if m.State == state {
			n++
		}
	}
	return n
}
