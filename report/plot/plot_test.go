// SPDX-License-Identifier: Apache-2.0

package plot_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/report/plot"
	"github.com/sluice-cd/sluice/test/golden"
)

func TestFigures(t *testing.T) {
	rising := func(n int, f func(float64) float64) []plot.Point {
		points := make([]plot.Point, n)
		for i := range points {
			points[i] = plot.Point{X: float64(i) * 15, Y: f(float64(i))}
		}
		return points
	}
	for name, f := range map[string]plot.Figure{
		"evidence": {Title: "A release, and what speaks against it", Panels: []plot.Panel{
			{Title: "Evidence", X: plot.Axis{Unit: plot.Duration, Label: "since the release began"}, Y: plot.Axis{Log: true, Label: "e-value"},
				Lines: []plot.Line{
					{Name: "worse", Colour: plot.Red, Points: rising(41, func(x float64) float64 { return math.Exp(x/5 - 1) })},
					{Name: "a regression", Colour: plot.Green, Style: plot.Dashed,
						Points: rising(41, func(x float64) float64 { return math.Exp(-x / 9) })},
				},
				Bounds: []plot.Bound{{Name: "1/alpha", At: 100, Colour: plot.Red}},
				Marks:  []plot.Mark{{Name: "Fail", At: 420, Colour: plot.Red}, {Name: "a long text that does not fit at its right", At: 590}}},
			{Title: "Users", Height: 60, X: plot.Axis{Unit: plot.Duration}, Y: plot.Axis{Unit: plot.Percent, Min: 0, Max: 0.5},
				Lines: []plot.Line{{Name: "canary", Style: plot.Stepped,
					Points: rising(41, func(x float64) float64 { return 0.1 * math.Floor(1+x/10) })}}},
		}},
		"nothing": {Title: "Nothing to show", Panels: []plot.Panel{
			{Lines: []plot.Line{{Name: "empty"}}}, {X: plot.Axis{Log: true}, Y: plot.Axis{Log: true}},
		}},
		"texts are no markup": {Title: `<script>alert("1 & 2")</script>`, Panels: []plot.Panel{{Title: "a < b",
			Lines:  []plot.Line{{Name: "<b>", Points: []plot.Point{{0, 1}, {1, 1}}}},
			Bounds: []plot.Bound{{Name: "</text>", At: 1, Colour: 99}}}}},
		"what is no number interrupts a line": {Panels: []plot.Panel{{Y: plot.Axis{Max: 4},
			Lines: []plot.Line{{Points: []plot.Point{{0, 1}, {1, math.NaN()}, {2, 3}, {3, math.Inf(1)}, {4, 9}, {5, math.Inf(-1)}}}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			svg := f.SVG()
			wellFormed(t, string(svg))
			golden.Compare(t, "testdata/"+strings.ReplaceAll(name, " ", "-")+".svg", svg)
		})
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, "<script") {
		t.Errorf("a number or a text is no SVG:\n%s", svg)
	}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzFigures(f *testing.F) {
	f.Add("a", 0.0, 1.0, 2.0, true, uint8(0))
	f.Add("<", math.Inf(1), -1e300, 1e300, false, uint8(2))
	f.Fuzz(func(t *testing.T, name string, a, b, c float64, log bool, unit uint8) {
		axis := plot.Axis{Label: "x", Log: log, Unit: plot.Unit(unit % 3)}
		svg := plot.Figure{Title: name, Panels: []plot.Panel{{X: axis, Y: axis, Bounds: []plot.Bound{{Name: "bound", At: b}},
			Lines: []plot.Line{{Name: "line", Points: []plot.Point{{a, b}, {b, c}, {c, a}}}}, Marks: []plot.Mark{{Name: "mark", At: c}}}}}.SVG()
		if len(svg) > 1<<16+16*len(name) {
			t.Errorf("%d bytes", len(svg))
		}
		if !strings.Contains(name, "NaN") && !strings.Contains(name, "Inf") {
			wellFormed(t, string(svg))
		}
	})
}
