// SPDX-License-Identifier: Apache-2.0

package markers

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// found is what writeback found in two files.
func found() writeback.Report {
	app := edit.Setter{Namespace: "apps", Policy: "app"}
	return writeback.Report{
		{Path: "a.yaml", Outcomes: []edit.MarkerResult{
			{Line: 1, Setter: app, Old: "app:1", New: "app:2"},
			{Line: 2, Setter: app, Old: "app:2", New: "app:2"},
			{Line: 3, Setter: app, Old: "app:1", New: "app:2", Skip: "the field is a list"},
			{Line: 4, Setter: app, Old: "app:1", New: "app:2", Skip: writeback.Reverted},
		}},
		{Path: "b.yaml", Skip: "it is too long"},
	}
}

func TestMarkersAreReported(t *testing.T) {
	for _, replaced := range []report.MarkerState{report.MarkerOutdated, report.MarkerUpdated} {
		want := []report.Marker{
			{File: "a.yaml", Line: 1, Marker: "apps:app", Current: "app:1", Wanted: "app:2", State: replaced},
			{File: "a.yaml", Line: 2, Marker: "apps:app", Current: "app:2", Wanted: "app:2", State: report.MarkerCurrent},
			{File: "a.yaml", Line: 3, Marker: "apps:app", Current: "app:1", State: report.MarkerSkipped, Why: "the field is a list"},
			{
				File:    "a.yaml",
				Line:    4,
				Marker:  "apps:app",
				Current: "app:1",
				Wanted:  "app:2",
				State:   report.MarkerHeld,
				Why:     string(writeback.Reverted),
			},
			{File: "b.yaml", State: report.MarkerSkipped, Why: "it is too long"},
		}
		if diff := cmp.Diff(want, Reports(FromReport(found(), replaced))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if none := Reports(FromReport(nil, report.MarkerOutdated)); none == nil {
		t.Error("no markers are null in JSON")
	}
}

func TestWhySkippedCanBeSaidBetterByTheCaller(t *testing.T) {
	m := FromReport(found(), report.MarkerOutdated)[2]
	m.Why = "nobody wants it"
	if got, want := m.Sentence(), "a.yaml:3: skipped: nobody wants it (marker \"apps:app\" of policy 'app' in namespace 'apps')"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	table := Table(slices.Delete(Reports(FromReport(found(), report.MarkerOutdated)), 3, 4)[2:], "OLD", "NEW")
	if err := table.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := `WHERE      MARKER     OLD     NEW   STATE     WHY
a.yaml:3   apps:app   app:1   -     skipped   the field is a list
b.yaml     -          -       -     skipped   it is too long
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
