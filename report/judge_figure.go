// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/replay"
	"github.com/sluice-cd/sluice/canary/judge/simulate"
	"github.com/sluice-cd/sluice/report/plot"
)

// sinceBegin is the axis of time of a release.
var sinceBegin = plot.Axis{Unit: plot.Duration, Label: "since the release began"}

// JudgeDelaysFigure draws how long a verdict takes, by how bad the canary is.
func JudgeDelaysFigure(s judge.Settings, t judge.TrafficProfile, steps []judge.PlannedShare) plot.Figure {
	var whole time.Duration
	for _, step := range steps {
		whole += step.Lasts
	}
	const most, n = 50.0, 120
	fail := plot.Line{Name: "fails", Colour: plot.Red}
	for i := range n + 1 {
		ratio := s.Tolerated * math.Pow(most, float64(i)/n)
		if after, ok := s.Expect(t, steps, ratio, 1); ok && ratio > s.Tolerated {
			fail.Points = append(fail.Points, plot.Point{X: ratio, Y: math.Max(1, after.Seconds())})
		}
	}
	p := plot.Panel{Height: 240,
		X:     plot.Axis{Label: "errors of the canary, as a multiple of the primary's", Log: true, Min: s.Tolerated, Max: s.Tolerated * most},
		Y:     plot.Axis{Label: "time to the verdict, on average", Unit: plot.Duration, Log: true},
		Lines: []plot.Line{fail}, Bounds: []plot.Bound{{Name: "the steps end", At: whole.Seconds(), Colour: plot.Grey}},
		Marks: []plot.Mark{{Name: "regression", At: s.Regression, Colour: plot.Grey}}}
	if after, ok := s.Expect(t, steps, s.Tolerated, 1); ok {
		p.Bounds = append(p.Bounds, plot.Bound{Name: "a canary that is as good passes", At: math.Max(1, after.Seconds()), Colour: plot.Green})
	}
	title := fmt.Sprintf("%g requests a second, %.3g %% errors: how long a verdict takes", t.Requests, 100*t.Rate)
	return plot.Figure{Title: title, Panels: []plot.Panel{p}}
}

// JudgeSimulationFigure draws which part of the simulated releases each rule has rolled back after which time.
func JudgeSimulationFigure(rows []simulate.Row) plot.Figure {
	f := plot.Figure{Title: "Releases that were rolled back"}
	for _, r := range rows {
		p := plot.Panel{Title: r.Scenario.Name, Height: 110, X: sinceBegin,
			Y: plot.Axis{Unit: plot.Percent, Min: 0, Max: 1, Label: "of the releases"}}
		lasts := (time.Duration(r.Scenario.Release.Windows) * r.Scenario.Release.Window).Seconds()
		p.X.Min, p.X.Max = 0, lasts
		for _, rule := range []struct {
			name   string
			colour plot.Colour
			result simulate.Result
		}{
			{"judge", plot.Blue, r.Judge}, {"Flagger", plot.Orange, r.Flagger},
			{"Argo Rollouts", plot.Purple, r.Argo}, {"Kayenta", plot.Grey, r.Kayenta},
		} {
			p.Lines = append(p.Lines, plot.Line{Name: rule.name, Colour: rule.colour, Style: plot.Stepped, Points: cumulated(rule.result, lasts)})
		}
		f.Panels = append(f.Panels, p)
	}
	return f
}

// cumulated is the part of the releases that were rolled back by when.
func cumulated(r simulate.Result, lasts float64) []plot.Point {
	points := []plot.Point{{}}
	for i, after := range r.RolledBackTimes {
		points = append(points, plot.Point{X: after.Seconds(), Y: float64(i+1) / float64(r.Runs)})
	}
	return append(points, plot.Point{X: lasts, Y: points[len(points)-1].Y})
}

// ReplayFigure draws the evidence about a release over time, when the judge and thresholds would have
// decided, and what both arms met.
func ReplayFigure(s judge.Settings, r replay.ReplayedRelease) plot.Figure {
	worse, regression := plot.Line{Name: "it is worse", Colour: plot.Red}, plot.Line{Name: "it is no regression", Colour: plot.Green}
	canary, primary := plot.Line{Name: "canary", Colour: plot.Blue}, plot.Line{Name: "primary", Colour: plot.Grey}
	share := plot.Line{Colour: plot.Blue, Style: plot.Stepped}
	failAt, passAt := float64(max(r.Metrics, 1))/s.Alpha, 1/s.Beta
	low, high := 1/failAt, failAt*failAt
	largest := 0.0
	worse.Points, regression.Points = []plot.Point{{X: 0, Y: 1}}, []plot.Point{{X: 0, Y: 1}}
	for i, p := range r.Points {
		x := p.After.Seconds()
		worse.Points = append(worse.Points, plot.Point{X: x, Y: eValue(p.Fail, low, high)})
		regression.Points = append(regression.Points, plot.Point{X: x, Y: eValue(p.Pass, low, high)})
		canary.Points = append(canary.Points, plot.Point{X: x, Y: p.Canary})
		primary.Points = append(primary.Points, plot.Point{X: x, Y: p.Primary})
		began := 0.0
		if i > 0 {
			began = r.Points[i-1].After.Seconds()
		}
		largest = max(largest, p.Share)
		share.Points = append(share.Points, plot.Point{X: began, Y: p.Share}, plot.Point{X: x, Y: p.Share})
	}
	x := sinceBegin
	x.Min, x.Max = 0, math.Max(1, r.To.Sub(r.From).Seconds())
	bare := plot.Axis{Unit: plot.Duration, Min: x.Min, Max: x.Max}
	return plot.Figure{Title: "The release of " + r.From.UTC().Format("2006-01-02 15:04:05 MST"), Panels: []plot.Panel{
		{Title: "Evidence", X: bare, Y: plot.Axis{Log: true, Label: "a stake of 1 has become"}, Lines: []plot.Line{worse, regression},
			Bounds: []plot.Bound{{Name: fmt.Sprintf("Fail: %.4g", failAt), At: failAt, Colour: plot.Red},
				{Name: fmt.Sprintf("Pass: %.4g", passAt), At: passAt, Colour: plot.Green}},
			Marks: marks(r)},
		{Title: "Requests that failed", Height: 110, X: bare, Y: plot.Axis{Unit: plot.Percent}, Lines: []plot.Line{canary, primary}},
		{Title: "Share of the requests that the canary had", Height: 60, X: x, Y: plot.Axis{Unit: plot.Percent, Max: min(1, largest*1.25)},
			Lines: []plot.Line{share}},
	}}
}

// eValue is the exponential of a logarithm, within what is worth showing.
func eValue(log, low, high float64) float64 {
	return math.Exp(min(max(log, math.Log(low)), math.Log(high)))
}

// marks are when each rule would have acted.
func marks(r replay.ReplayedRelease) []plot.Mark {
	var out []plot.Mark
	for _, rule := range []struct {
		name   string
		colour plot.Colour
		d      replay.RuleResult
	}{{"the judge", plot.Blue, r.Judge}, {"thresholds", plot.Orange, r.Thresholds}} {
		verb := map[replay.ReleaseOutcome]string{replay.RolledBack: "roll back", replay.Promoted: "promote"}[rule.d.Outcome]
		if rule.name == "the judge" {
			verb = map[replay.ReleaseOutcome]string{replay.RolledBack: "fails it", replay.Promoted: "passes it"}[rule.d.Outcome]
		}
		if verb != "" {
			out = append(out, plot.Mark{Name: rule.name + " " + verb, At: rule.d.After.Seconds(), Colour: rule.colour})
		}
	}
	return out
}
