// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"encoding"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
)

// window has x events among n in the canary, and y among m in the primary.
func window(x, n, y, m float64) judge.Window {
	return judge.Window{Canary: judge.Count{Events: x, Exposure: n}, Primary: judge.Count{Events: y, Exposure: m}}
}

func evidenceOf(t *testing.T, windows ...judge.Window) judge.Evidence {
	t.Helper()
	e := judge.NewEvidence(1, 2)
	for _, w := range windows {
		var err error
		if e, err = e.Add(w, 1); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func TestWhatIsImpossibleIsRefused(t *testing.T) {
	for name, w := range map[string]judge.Window{
		"fewer than no errors":       window(-1, 10, 0, 10),
		"an undefined number":        window(math.NaN(), 10, 0, 10),
		"an infinite exposure":       window(0, math.Inf(1), 0, 10),
		"errors of nobody":           window(3, 0, 0, 10),
		"errors of nobody (primary)": window(0, 10, 3, 0),
	} {
		t.Run(name, func(t *testing.T) {
			before := evidenceOf(t, window(5, 1000, 2, 9000))
			after, err := before.Add(w, 1)
			if err == nil {
				t.Fatal("no error")
			}
			if after.LogFail() != before.LogFail() {
				t.Error("the evidence changed all the same")
			}
		})
	}
}

func TestOrderAndRestartsChangeNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	windows := make([]judge.Window, 200)
	for i := range windows {
		n := float64(random.IntN(5000))
		windows[i] = window(float64(random.IntN(20))*min(n, 1), n, float64(random.IntN(20)), 1+float64(random.IntN(9000)))
	}
	once := evidenceOf(t, windows...)
	random.Shuffle(len(windows), func(i, j int) { windows[i], windows[j] = windows[j], windows[i] })
	restarted := judge.NewEvidence(1, 2)
	for _, w := range windows {
		restarted, _ = restarted.Add(w, 1)
		text, err := restarted.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		restarted = judge.Evidence{}
		if err := restarted.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
	}
	for name, of := range map[string]func(judge.Evidence) float64{
		"LogFail": judge.Evidence.LogFail, "LogPass": judge.Evidence.LogPass, "Ratio": judge.Evidence.Ratio,
		"AtLeast": func(e judge.Evidence) float64 { return e.AtLeast(0.01) },
	} {
		if a, b := of(once), of(restarted); math.Abs(a-b) > 1e-9*max(1, math.Abs(a)) {
			t.Errorf("%s is %v, and %v in another order with restarts", name, a, b)
		}
	}
}

func TestWeightsThatChangeDoNotBiasTheEstimate(t *testing.T) {
	// Many errors while the canary has few users, and few while it has many: the same rate in
	// both arms at any time, but not in the totals.
	e := evidenceOf(t, window(100, 1000, 900, 9000), window(5, 5000, 5, 5000))
	if got := e.Ratio(); math.Abs(got-1) > 0.01 {
		t.Errorf("the canary is estimated to be %.2f times as bad, and is as good", got)
	}
	if e.LogFail() > 0 {
		t.Errorf("it speaks against a healthy canary: ln E = %.2f", e.LogFail())
	}
}

func TestABoundIsBelowTheEstimate(t *testing.T) {
	e := evidenceOf(t, window(50, 1000, 100, 9000))
	least, ratio, most := e.AtLeast(0.01), e.Ratio(), e.AtMost(0.01)
	if !(1.5 < least && least < ratio && ratio < most && most < 10) {
		t.Errorf("4.5 times as bad is said to be at least %.2f, %.2f, at most %.2f times as bad", least, ratio, most)
	}
	if none := judge.NewEvidence(1, 2); none.AtLeast(0.01) != 0 || !math.IsInf(none.AtMost(0.01), 1) {
		t.Error("without windows there are bounds")
	}
}

// series is a metric of a case, with a window for each of its bounds.
type series struct {
	name    string
	kind    judge.Kind
	over    []string
	windows []judge.Window
}

func errorsOf(w judge.Window) []series {
	return []series{{name: "errors", kind: judge.Errors, windows: []judge.Window{w}}}
}

func throughputOf(w judge.Window) []series {
	return []series{{name: "throughput", kind: judge.Throughput, windows: []judge.Window{w}}}
}

func TestVerdicts(t *testing.T) {
	settings := judge.Default()
	for name, tc := range map[string]struct {
		series  []series
		split   judge.Window
		metrics int
		want    judge.Outcome
		text    string // of the first finding
		last    string // of the last one
		// noMinimum says that any number of requests is enough
		noMinimum bool
		// findings are the outcomes of all, if they matter
		findings []judge.Outcome
	}{
		"a canary with five times the errors fails": {
			series: errorsOf(window(41, 412, 90, 3700)),
			want:   judge.Fail, text: "errors 4.1 times the primary's (at least 1.8 times, 99 % sure) after 38s and 412 requests",
		},
		"a canary as good as its primary passes": {
			series: errorsOf(window(100, 1000, 900, 9000)),
			want:   judge.Pass, text: "errors not 2 times as bad as the primary's (95 % sure) after 38s and 1000 requests",
		},
		"a bound that the verdict itself is stronger than is not told": {
			series: errorsOf(window(10, 2400, 20, 21600)),
			want:   judge.Fail, text: "errors 4.5 times the primary's (more than is tolerated, 99 % sure) after 38s and 2400 requests",
		},
		"few errors decide nothing": {
			series: errorsOf(window(1, 1000, 3, 9000)),
			want:   judge.Undecided, text: "errors 3 times the primary's, undecided after 38s and 1000 requests: about 74 more errors needed",
		},
		"no errors decide nothing": {
			series: errorsOf(window(0, 1000, 0, 9000)),
			want:   judge.Undecided,
			text:   "errors undecided after 38s and 1000 requests: none in either arm, about 3688 more requests of the canary needed",
		},
		"no errors in thousands of requests are few enough": {
			series: errorsOf(window(0, 4500, 0, 9000)),
			want:   judge.Pass, text: "errors less than 0.1 % of the requests (95 % sure) after 38s and 4500 requests",
		},
		"a few errors in many requests are few enough": {
			series: errorsOf(window(3, 20000, 0, 9000)),
			want:   judge.Pass, text: "errors less than 0.1 % of the requests (95 % sure) after 38s and 20000 requests",
		},
		"what the canary alone has is a failure, be it ever so rare": {
			series: errorsOf(window(12, 20000, 0, 180000)),
			want:   judge.Fail,
		},
		"a metric that has yet to come has its part of alpha": {
			series: errorsOf(window(14, 1000, 36, 9000)),
			want:   judge.Undecided, metrics: 20,
		},
		"without it there would be a verdict": {
			series: errorsOf(window(14, 1000, 36, 9000)),
			want:   judge.Fail,
		},
		"too few requests decide nothing, however bad": {
			series: errorsOf(window(49, 49, 9, 4000)),
			want:   judge.Undecided,
			text:   "errors 444 times the primary's, undecided after 38s and 49 requests, fewer than minSamples (50)",
		},
		"too few requests are what is missing, and not errors": {
			series: errorsOf(window(0, 12, 0, 4000)),
			want:   judge.Undecided, text: "errors undecided after 38s and 12 requests, fewer than minSamples (50)",
		},
		"errors of the canary alone": {
			series: errorsOf(window(30, 400, 0, 3600)),
			want:   judge.Fail, text: "errors of the canary alone: 30, and none of the primary (99 % sure) after 38s and 400 requests",
		},
		"the bound that moved is named": {
			series: []series{{name: "latency", kind: judge.Latency, over: []string{"100ms", "500ms"},
				windows: []judge.Window{window(100, 1000, 900, 9000), window(60, 1000, 90, 9000)}}},
			want: judge.Fail, text: "latency over 500ms 6 times the primary's (at least 3 times, 99 % sure) after 38s and 1000 requests",
		},
		"half of the requests went missing": {
			series: throughputOf(window(300, 380, 5600, 3420)),
			want:   judge.Fail, text: "throughput 0.48 times the primary's (at most 0.6 times, 99 % sure) after 38s and 300 requests",
		},
		"all of the requests went missing": {
			series: throughputOf(window(0, 380, 5600, 3420)),
			want:   judge.Fail, text: "throughput 0 times the primary's (at most 0.033 times, 99 % sure) after 38s and 0 requests",
		},
		"requests that go missing are no mismatch to who asked about them": {
			series: []series{
				{name: "throughput", kind: judge.Throughput, windows: []judge.Window{window(300, 380, 5600, 3420)}},
				{name: "errors", kind: judge.Errors, windows: []judge.Window{window(10, 1000, 90, 9000)}},
			},
			split: window(300, 380, 5600, 3420),
			want:  judge.Fail, findings: []judge.Outcome{judge.Fail, judge.Undecided, judge.Mismatch},
		},
		"more requests than the weight says are one": {
			series: throughputOf(window(1300, 380, 5600, 3420)),
			split:  window(1300, 380, 5600, 3420),
			want:   judge.Mismatch, findings: []judge.Outcome{judge.Undecided, judge.Mismatch},
		},
		"one metric of two that fails is enough": {
			series: []series{
				{name: "errors", kind: judge.Errors, windows: []judge.Window{window(100, 1000, 900, 9000)}},
				{name: "timeouts", kind: judge.Errors, windows: []judge.Window{window(60, 1000, 90, 9000)}},
			},
			want: judge.Fail,
		},
		"one metric of two that passes is not": {
			series: []series{
				{name: "errors", kind: judge.Errors, windows: []judge.Window{window(100, 1000, 900, 9000)}},
				{name: "timeouts", kind: judge.Errors, windows: []judge.Window{window(1, 1000, 3, 9000)}},
			},
			want: judge.Undecided,
		},
		"arms that get other shares than their weights are not compared": {
			series: errorsOf(window(41, 412, 90, 3700)),
			split:  window(412, 38*50, 3700, 38*50),
			want:   judge.Mismatch, findings: []judge.Outcome{judge.Undecided, judge.Mismatch},
			text: "errors 4.1 times the primary's, undecided after 38s and 412 requests: the arms do not get the requests that their weights say",
		},
		"neither a metric that would pass nor one without events has a verdict beside a mismatch": {
			series: []series{
				{name: "errors", kind: judge.Errors, windows: []judge.Window{window(100, 1000, 900, 9000)}},
				{name: "timeouts", kind: judge.Errors, windows: []judge.Window{window(0, 1000, 0, 9000)}},
			},
			split: window(412, 38*50, 3700, 38*50),
			want:  judge.Mismatch, findings: []judge.Outcome{judge.Undecided, judge.Undecided, judge.Mismatch},
		},
		"more requests than its weight says are told": {
			series: throughputOf(window(1300, 380, 5600, 3420)),
			split:  window(1300, 380, 5600, 3420), want: judge.Mismatch,
			text: "throughput 2.1 times the primary's, undecided after 38s and 1300 requests: " +
				"the arms do not get the requests that their weights say",
			last: "the canary got 1.9 times the requests that its weight says: nothing follows from comparing it",
		},
		"none in either arm beside a mismatch": {
			series: errorsOf(window(0, 412, 0, 3700)),
			split:  window(300, 380, 5600, 3420), want: judge.Mismatch,
			text: "errors undecided after 38s and 412 requests: the arms do not get the requests that their weights say",
			last: "the canary got 0.51 times the requests that its weight says: nothing follows from comparing it",
		},
		"a throughput that may be a little lower": {
			series: throughputOf(window(60, 380, 700, 3420)),
			want:   judge.Undecided,
			text:   "throughput 0.77 times the primary's, undecided after 38s and 60 requests: about 371 more requests needed",
		},
		"a throughput of none, of as few as were to be expected": {
			series: throughputOf(window(0, 380, 360, 3420)),
			want:   judge.Undecided, text: "throughput 0 times the primary's, undecided after 38s and 0 requests, fewer than minSamples (50)",
		},
		"neither arm has a request": {
			series: errorsOf(window(0, 0, 0, 0)), noMinimum: true,
			want: judge.Undecided, text: "errors undecided after 38s and 0 requests: none in either arm",
		},
		"errors of the canary alone, as yet": {
			series: errorsOf(window(2, 1000, 0, 9000)),
			want:   judge.Undecided,
			text:   "errors infinitely many times the primary's, undecided after 38s and 1000 requests: about 3 more errors needed",
		},
		"as many requests as are wanted": {
			series: errorsOf(window(40, 50, 9, 4000)),
			want:   judge.Fail,
		},
		"nothing to judge by": {want: judge.Undecided},
	} {
		t.Run(name, func(t *testing.T) {
			settings := settings
			if tc.noMinimum {
				settings.MinSamples = 0
			}
			trial := judge.SequentialTest{Metrics: tc.metrics, Split: judge.NewSplit(), Observed: 38 * time.Second}
			var err error
			for _, s := range tc.series {
				added := settings.NewSeries(s.name, s.kind, s.over...)
				if added, err = added.Add(1, s.windows...); err != nil {
					t.Fatal(err)
				}
				trial.Series = append(trial.Series, added)
			}
			if trial.Split, err = trial.Split.Add(tc.split, 1); err != nil {
				t.Fatal(err)
			}
			got := settings.Judge(trial)
			if got.Outcome != tc.want {
				t.Fatalf("%s, want %s: %+v", got.Outcome, tc.want, got.Findings)
			}
			var outcomes []judge.Outcome
			for _, f := range got.Findings {
				outcomes = append(outcomes, f.Outcome)
			}
			if tc.findings != nil && !slices.Equal(outcomes, tc.findings) {
				t.Errorf("got %s, want %s", outcomes, tc.findings)
			}
			if tc.text != "" && got.Findings[0].Text != tc.text {
				t.Errorf("got  %s\nwant %s", got.Findings[0].Text, tc.text)
			}
			if last := len(got.Findings) - 1; tc.last != "" && got.Findings[last].Text != tc.last {
				t.Errorf("got  %s\nwant %s", got.Findings[last].Text, tc.last)
			}
		})
	}
}

func TestSettingsThatNoVerdictCanBeReachedByAreRefused(t *testing.T) {
	for name, change := range map[string]func(*judge.Settings){
		"alpha of none":                   func(s *judge.Settings) { s.Alpha = 0 },
		"beta of one":                     func(s *judge.Settings) { s.Beta = 1 },
		"an undefined alpha":              func(s *judge.Settings) { s.Alpha = math.NaN() },
		"less than no regression":         func(s *judge.Settings) { s.Tolerated = 0.5 },
		"a regression that is tolerated":  func(s *judge.Settings) { s.Tolerated, s.Regression = 2, 2 },
		"a regression without end":        func(s *judge.Settings) { s.Regression = math.Inf(1) },
		"negligible below none":           func(s *judge.Settings) { s.Negligible = -0.001 },
		"most requests are negligible":    func(s *judge.Settings) { s.Negligible = 0.2 },
		"fewer than no requests":          func(s *judge.Settings) { s.MinSamples = -1 },
		"more requests than can be added": func(s *judge.Settings) { s.MinSamples = math.Inf(1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := judge.Default()
			if err := s.Check(); err != nil {
				t.Fatal("the default: ", err)
			}
			if change(&s); s.Check() == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestTheBoundsOfSettingsAreAccepted(t *testing.T) {
	for name, change := range map[string]func(*judge.Settings){
		"as sure as may be":         func(s *judge.Settings) { s.Alpha, s.Beta = 1e-9, 1e-9 },
		"nothing is negligible":     func(s *judge.Settings) { s.Negligible = 0 },
		"a tenth is negligible":     func(s *judge.Settings) { s.Negligible = 0.1 },
		"any number of requests":    func(s *judge.Settings) { s.MinSamples = 0 },
		"as many as can be counted": func(s *judge.Settings) { s.MinSamples = 1 << 53 },
		"ten times is tolerated":    func(s *judge.Settings) { s.Tolerated, s.Regression = 10, 100 },
	} {
		t.Run(name, func(t *testing.T) {
			s := judge.Default()
			change(&s)
			if err := s.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDispersionOfHalves(t *testing.T) {
	half := func(events, requests float64) judge.Count { return judge.Count{Events: events, Exposure: requests} }
	var even, bursts, uneven judge.Dispersion
	for i := range 100 {
		even = even.Add(half(12, 1000), half(8, 1000))
		if i%2 == 0 {
			bursts = bursts.Add(half(20+math.Sqrt(50), 1000), half(20-math.Sqrt(50), 1000))
		} else {
			bursts = bursts.Add(half(20-math.Sqrt(50), 1000), half(20+math.Sqrt(50), 1000))
		}
		uneven = uneven.Add(half(20, 2000), half(10, 1000))
	}
	none := judge.Dispersion{}.Add(half(0, 10), half(0, 10)).Add(half(3, 10), half(0, 0)).Add(half(math.NaN(), 1), half(1, 1))
	for name, tc := range map[string]struct{ got, want float64 }{
		"nothing seen":                        {none.Factor(), 1},
		"as much as by chance":                {even.Factor(), 0.8 * (1 + 3*math.Sqrt(2*(1-1./20)/100))},
		"five times as much as by chance":     {bursts.Factor(), 5 * (1 + 3*math.Sqrt(2*(1-1./40)/100))},
		"halves of other sizes, in step with": {uneven.Factor(), 1},
		"as it was kept without the most":     {judge.Dispersion{Windows: 1, Sum: 2, Variance: 1}.Factor(), 8},
	} {
		if math.Abs(tc.got-tc.want) > 1e-9 {
			t.Errorf("%s: factor %v, want %v", name, tc.got, tc.want)
		}
	}
}

// A primary of whose requests two had failed, at different times, was taken for one whose errors come in bursts: a
// canary without errors needed three times as many requests, and was rolled back for want of them.
func TestAFewErrorsAreNoBurst(t *testing.T) {
	half := func(events, requests float64) judge.Count { return judge.Count{Events: events, Exposure: requests} }
	for name, tc := range map[string]struct {
		windows [][2]judge.Count
		most    float64
	}{
		"one error": {[][2]judge.Count{{half(1, 300), half(0, 700)}}, 1},
		"errors one by one": {[][2]judge.Count{
			{half(1, 300), half(0, 700)}, {half(1, 400), half(0, 600)}, {half(0.4, 100), half(0, 900)}}, 1},
		"two at once":               {[][2]judge.Count{{half(2, 300), half(0, 700)}}, 2},
		"five at once, and a lone":  {[][2]judge.Count{{half(0, 500), half(5, 500)}, {half(1, 300), half(0, 700)}}, 5},
		"half of one in two halves": {[][2]judge.Count{{half(0.5, 300), half(0.5, 700)}}, 1},
	} {
		var d judge.Dispersion
		for _, w := range tc.windows {
			d = d.Add(w[0], w[1])
		}
		if got := d.Factor(); got < 1 || got > tc.most {
			t.Errorf("%s: evidence counts for %v times less, want at most %v", name, got, tc.most)
		}
		if got := d.Fade().Factor(); got < 1 || got > tc.most {
			t.Errorf("%s, long ago: evidence counts for %v times less, want at most %v", name, got, tc.most)
		}
	}
}

// The bound was halved whenever windows were, while the mean stayed: the next burst counted several times too much, and
// rolled back a canary that had no part in it. What an earlier version had kept never got a bound.
func TestBurstsThatAreRareStayBursts(t *testing.T) {
	half := func(events float64) judge.Count { return judge.Count{Events: events, Exposure: 1000} }
	var bursts judge.Dispersion
	for range 40 {
		bursts = bursts.Add(half(20), half(0))
	}
	before := bursts.Factor()
	for range 4 {
		bursts = bursts.Fade()
	}
	if got := bursts.Factor(); before != 20 || got != before {
		t.Errorf("bursts of 20 errors count for %v times less, and %v long after", before, got)
	}
	kept := judge.Dispersion{Windows: 4, Sum: 80, Variance: 8}
	for n, capped := range []bool{false, false, false, true} {
		if kept = kept.Add(half(6), half(0)); (kept.Factor() <= 6) != capped {
			t.Errorf("after %d windows beside 4 that were kept before, evidence counts for %v times less", n+1, kept.Factor())
		}
		if again := kept.Fade(); (again.Factor() <= 6) != capped {
			t.Errorf("after %d windows that fade: %v", n+1, again.Factor())
		}
	}
}

func FuzzEvidence(f *testing.F) {
	f.Add(5.0, 1000.0, 2.0, 9000.0, 1.0)
	f.Add(0.0, 0.0, 0.0, 0.0, 1.0)
	f.Add(math.MaxFloat64, 1.0, 1.0, 1.0, 1.0)
	f.Add(1e15, 1e15, 0.0, 1e-300, 0.0)
	f.Add(3.0, 5e-324, 7.0, 1e15, math.Inf(1))
	f.Fuzz(func(t *testing.T, x, n, y, m, dispersion float64) {
		e, w := judge.NewEvidence(1, 2), window(x, n, y, m)
		for range 3 {
			var err error
			if e, err = e.Add(w, dispersion); err != nil {
				return
			}
		}
		for name, v := range map[string]float64{"LogFail": e.LogFail(), "LogPass": e.LogPass(), "LogBelow": e.LogBelow(0.001)} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s is %v after %+v", name, v, w)
			}
		}
		if v := e.AtLeast(0.01); math.IsNaN(v) {
			t.Error("no bound")
		}
		var _ encoding.TextMarshaler = e
	})
}

func FuzzEvidenceText(f *testing.F) {
	e := judge.NewEvidence(1, 2)
	e, _ = e.Add(window(5, 1000, 2, 9000), 1)
	text, _ := e.MarshalText()
	f.Add(text)
	f.Add([]byte("AAAA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var e judge.Evidence
		if e.UnmarshalText(text) != nil {
			return
		}
		if math.IsNaN(e.LogFail()) {
			t.Error("an undefined e-value was read")
		}
	})
}

// TestWhatIsNotNegligiblePassesNoMoreOftenThanBeta plays a service without errors, whose canary has as many as are no
// longer negligible: nothing can be compared, and a mean of two bets is one at most.
func TestWhatIsNotNegligiblePassesNoMoreOftenThanBeta(t *testing.T) {
	random, settings, passed := rand.New(rand.NewPCG(4, 2)), judge.Default(), 0
	const runs = 2000
	for range runs {
		series := settings.NewSeries("errors", judge.Errors)
		for range 300 {
			events := 0.0
			for range 100 {
				if random.Float64() < settings.Negligible {
					events++
				}
			}
			var err error
			if series, err = series.Add(1, window(events, 100, 0, 0)); err != nil {
				t.Fatal(err)
			}
			if settings.LogPass(series) >= math.Log(1/settings.Beta) {
				passed++
				break
			}
		}
	}
	if float64(passed) > settings.Beta*runs {
		t.Errorf("%d of %d passed", passed, runs)
	}
}
