// SPDX-License-Identifier: Apache-2.0

package trial_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/trial"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// window is the at-th one of 10 s.
func window(at int, canary, primary counter.Counts) counter.Increments {
	from := noon.Add(time.Duration(at) * 10 * time.Second)
	return counter.Increments{From: from, To: from.Add(10 * time.Second), Canary: canary, Primary: primary}
}

func add(t *testing.T, r trial.Comparison, weight float64, windows ...counter.Increments) trial.Comparison {
	t.Helper()
	for _, w := range windows {
		var err error
		if r, err = r.Add(w, weight); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func same(n int, canary, primary counter.Counts) []counter.Increments {
	windows := make([]counter.Increments, n)
	for i := range windows {
		windows[i] = window(i, canary, primary)
		if canary.Requests == 0 {
			windows[i].Missing = []counter.Arm{counter.Canary}
		}
	}
	return windows
}

func TestOutcomes(t *testing.T) {
	counts := func(requests, errors float64) counter.Counts {
		return counter.Counts{Requests: requests, Errors: errors}
	}
	for name, tc := range map[string]struct {
		kinds           []judge.Kind
		canary, primary counter.Counts
		weight          float64
		want            judge.Outcome
	}{
		"a tenth of the requests has half of the errors": {[]judge.Kind{judge.Errors}, counts(100, 9), counts(900, 9), 0.1, judge.Fail},
		"errors are as the requests":                     {[]judge.Kind{judge.Errors}, counts(100, 2), counts(900, 18), 0.1, judge.Pass},
		"no errors at all":                               {[]judge.Kind{judge.Errors}, counts(100, 0), counts(900, 0), 0.1, judge.Undecided},
		"no canary":                                      {[]judge.Kind{judge.Errors}, counts(0, 0), counts(900, 9), 0.1, judge.Undecided},
		"the canary gets twice what its weight says":     {[]judge.Kind{judge.Errors}, counts(200, 2), counts(800, 8), 0.1, judge.Mismatch},
		"the weight is not known":                        {[]judge.Kind{judge.Errors}, counts(200, 4), counts(800, 16), 0, judge.Pass},
		"half of the requests are lost":                  {[]judge.Kind{judge.Throughput}, counts(50, 0), counts(900, 0), 0.1, judge.Fail},
		"half of them are, which nobody asked about":     {[]judge.Kind{judge.Errors}, counts(50, 0), counts(900, 0), 0.1, judge.Mismatch},
		"no metric": {nil, counts(100, 9), counts(900, 9), 0.1, judge.Undecided},
	} {
		t.Run(name, func(t *testing.T) {
			r := add(t, trial.Baseline{}.Begin(judge.Default(), tc.kinds...), tc.weight, same(30, tc.canary, tc.primary)...)
			if got := r.Outcome(); got != tc.want {
				t.Errorf("got %s, want %s: %+v", got, tc.want, r.Verdict())
			}
			if r.Test.Observed != 5*time.Minute {
				t.Errorf("observed %s", r.Test.Observed)
			}
		})
	}
}

func TestALatencyIsJudgedOverABoundThatIsUsual(t *testing.T) {
	timed := func(w counter.Increments, bounds ...float64) counter.Increments {
		w.Bounds = bounds
		return w
	}
	counts := func(timed float64, slower ...float64) counter.Counts {
		return counter.Counts{Requests: timed, Timed: timed, Slower: slower}
	}
	var before trial.Baseline
	for i := range 20 {
		w := timed(window(i, counter.Counts{}, counts(1000, 300, 20, 1)), 0.1, 0.5, 2)
		w.Halves = [2]counter.Counts{counts(500, 150, 10, 1), counts(500, 150, 10, 0)}
		before = before.Add(w)
	}
	r := before.Begin(judge.Default(), judge.Latency)
	for i := range 20 {
		r = add(t, r, 0.1, timed(window(20+i, counts(100, 60, 15, 2), counts(900, 270, 18, 1)), 0.1, 0.5, 2))
	}
	verdict := r.Verdict()
	if verdict.Outcome != judge.Fail || !strings.HasPrefix(verdict.Findings[0].Text, "latency over 500ms") {
		t.Errorf("got %+v", verdict)
	}
	if at := r.Test.Series[0].PassBound; at != 1 {
		t.Errorf("Pass is about the bound %d, want that of 500ms, which 2 %% of the requests exceed", at)
	}
	// A release whose histogram lost its bounds has nothing to compare, and is not a failure.
	other := timed(window(0, counts(100, 100), counts(900, 900)), 0.3)
	if r := add(t, before.Begin(judge.Default(), judge.Latency), 0.1, other); r.Outcome() != judge.Undecided {
		t.Errorf("got %+v", r.Verdict())
	}
}

func TestABoundThatNoDurationHasIsTheLongestOne(t *testing.T) {
	w := window(0, counter.Counts{Slower: []float64{0, 0}}, counter.Counts{Slower: []float64{0, 0}})
	w.Bounds = []float64{0.25, 1e300}
	bounds := add(t, trial.Baseline{}.Begin(judge.Default(), judge.Latency), 0.1, w).Test.Series[0].Bounds
	if bounds[0].Over != "250ms" || bounds[1].Over != "2562047h47m16.854775807s" {
		t.Errorf("%s and %s", bounds[0].Over, bounds[1].Over)
	}
}

func TestALatencyThatWasAskedForHasToBeThere(t *testing.T) {
	good := same(30, counter.Counts{Requests: 100, Errors: 2}, counter.Counts{Requests: 900, Errors: 18})
	begin := func(kinds ...judge.Kind) trial.Comparison { return trial.Baseline{}.Begin(judge.Default(), kinds...) }
	if r := add(t, begin(judge.Errors, judge.Latency), 0.1, good...); r.Outcome() != judge.Pass {
		t.Errorf("what is compared if it is there holds the release up: %+v", r.Verdict())
	}
	r := add(t, begin(judge.Errors, judge.Latency).RequireAll(), 0.1, good...)
	v := r.Verdict()
	if last := v.Findings[len(v.Findings)-1]; r.Outcome() != judge.Undecided || v.Outcome != judge.Undecided ||
		last.Text != "latency undecided: "+trial.NoHistogram {
		t.Errorf("got %+v", v)
	}
	bad := same(30, counter.Counts{Requests: 100, Errors: 20}, counter.Counts{Requests: 900, Errors: 18})
	if r := add(t, begin(judge.Errors, judge.Latency).RequireAll(), 0.1, bad...); r.Outcome() != judge.Fail {
		t.Errorf("got %+v", r.Verdict())
	}
	if r := add(t, begin(judge.Errors).RequireAll(), 0.1, good...); r.Outcome() != judge.Pass {
		t.Errorf("got %+v", r.Verdict())
	}
}

func TestEvidenceIsDividedByWhatTheHalvesOfThePrimaryDifferBy(t *testing.T) {
	var before trial.Baseline
	for i := range 60 {
		w := window(i, counter.Counts{}, counter.Counts{Requests: 1000, Errors: 10})
		w.Halves[i%2], w.Halves[1-i%2] = counter.Counts{Requests: 500, Errors: 10}, counter.Counts{Requests: 500}
		before = before.Add(w)
	}
	if got := before.Dispersion(); got < 8 {
		t.Errorf("errors that come ten at a time have the dispersion %v", got)
	}
	if got := before.Traffic(); got.Requests != 100 || got.Rate != 0.01 {
		t.Errorf("the service has %+v", got)
	}
	burst := window(0, counter.Counts{Requests: 100, Errors: 10}, counter.Counts{Requests: 900, Errors: 0})
	if r := add(t, trial.Baseline{}.Begin(judge.Default(), judge.Errors), 0.1, burst); r.Outcome() != judge.Fail {
		t.Errorf("without a baseline got %+v", r.Verdict())
	}
	r := add(t, before.Begin(judge.Default(), judge.Errors), 0.1, burst)
	if r.Outcome() == judge.Fail {
		t.Errorf("one burst fails a release of a service that has bursts: %+v", r.Verdict())
	}
	if fail, pass := r.Evidence(); math.IsNaN(fail) || fail <= pass {
		t.Errorf("the evidence is %v and %v", fail, pass)
	}
}

func TestAWindowThatIsImpossibleIsNamed(t *testing.T) {
	r := trial.Baseline{}.Begin(judge.Default(), judge.Errors)
	after, err := r.Add(window(0, counter.Counts{Errors: 3}, counter.Counts{Requests: 1}), 0.1)
	if err == nil || !strings.Contains(err.Error(), "the window until 2026-06-01T12:00:10Z") || after.Test.Observed != 0 {
		t.Errorf("got %v", err)
	}
}

func TestTheEvidenceIsThatOfTheWorstMetric(t *testing.T) {
	worse := window(0, counter.Counts{Requests: 50, Errors: 5}, counter.Counts{Requests: 950, Errors: 9})
	evidence := func(weight float64, w counter.Increments, kinds ...judge.Kind) (fail, pass float64) {
		return add(t, trial.Baseline{}.Begin(judge.Default(), kinds...), weight, w).Evidence()
	}
	errorsFail, errorsPass := evidence(0.1, worse, judge.Errors)
	throughputFail, throughputPass := evidence(0.1, worse, judge.Throughput)
	for _, kinds := range [][]judge.Kind{{judge.Errors, judge.Throughput}, {judge.Throughput, judge.Errors}} {
		fail, pass := evidence(0.1, worse, kinds...)
		if fail != max(errorsFail, throughputFail) || pass != min(errorsPass, throughputPass) || fail == min(errorsFail, throughputFail) {
			t.Errorf("%v: %v and %v, of errors %v and %v, of throughput %v and %v", kinds, fail, pass,
				errorsFail, errorsPass, throughputFail, throughputPass)
		}
	}
	// Of a window whose weight is not known, or whose counters are not of one time, nothing is said of throughput.
	skewed := worse
	skewed.Skewed = true
	none, _ := evidence(0, worse, judge.Throughput)
	if got, _ := evidence(0.1, skewed, judge.Throughput); got != none || none == throughputFail {
		t.Errorf("the evidence of a skewed window is %v, want %v, and that of a weight %v", got, none, throughputFail)
	}
}

func TestAHistogramThatNobodyAskedAboutIsNotCompared(t *testing.T) {
	for name, before := range map[string]trial.Baseline{
		"of the release": {}, "of the time before": trial.Baseline{}.Add(busy(0)),
	} {
		r := add(t, before.Begin(judge.Default(), judge.Errors), 0.1, busy(1))
		if findings := r.Verdict().Findings; len(findings) != 1 || findings[0].Metric != "errors" {
			t.Errorf("%s: %+v", name, findings)
		}
	}
}

// Where the canary has all users, or none, there is no share to compare requests by.
func TestAWeightOfAllOrNoneSaysNothingAboutRequests(t *testing.T) {
	for _, weight := range []float64{0, 1} {
		r := add(t, trial.Baseline{}.Begin(judge.Default(), judge.Throughput), weight, busy(0))
		if fail, pass := r.Evidence(); fail != 0 || pass != 0 {
			t.Errorf("at the weight %v the evidence is %v and %v", weight, fail, pass)
		}
		if _, differs := r.Test.Split.Mismatch(); differs {
			t.Errorf("at the weight %v there is a mismatch", weight)
		}
	}
}

func TestARequestCountThatIsNoneIsNamedByTheShares(t *testing.T) {
	r, err := trial.Baseline{}.Begin(judge.Default()).Add(window(0, counter.Counts{Requests: math.NaN()}, counter.Counts{Requests: 9}), 0.1)
	if err == nil || !strings.HasPrefix(err.Error(), "the window until 2026-06-01T12:00:10Z: ") || r.Test.Observed != 0 {
		t.Errorf("got %v", err)
	}
}

// The same release, or baseline, may be asked what it would be with one window or with another.
func TestAddingAWindowLeavesWhatWasThereAsItWas(t *testing.T) {
	baseline := trial.Baseline{}.Add(busy(0))
	text, err := baseline.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	release := add(t, baseline.Begin(judge.Default(), judge.Errors, judge.Latency), 0.1, busy(1))
	fail, pass := release.Evidence()
	baseline.Add(busy(2))
	baseline.Fade()
	add(t, release, 0.1, busy(2))
	if again, err := baseline.MarshalText(); err != nil || string(again) != string(text) {
		t.Errorf("the baseline was %s and is %s: %v", text, again, err)
	}
	if f, p := release.Evidence(); f != fail || p != pass {
		t.Errorf("the evidence was %v and %v, and is %v and %v", fail, pass, f, p)
	}
}

func TestTheEvidenceForPassingIsThatOfTheMetric(t *testing.T) {
	settings, w := judge.Default(), busy(0)
	series, err := settings.NewSeries("errors", judge.Errors).Add(1, judge.Window{
		Canary:  judge.Count{Events: w.Canary.Errors, Exposure: w.Canary.Requests},
		Primary: judge.Count{Events: w.Primary.Errors, Exposure: w.Primary.Requests},
	})
	if err != nil {
		t.Fatal(err)
	}
	fail, pass := add(t, trial.Baseline{}.Begin(settings, judge.Errors), 0.1, w).Evidence()
	if fail != series.LogFail() || pass != settings.LogPass(series) {
		t.Errorf("%v and %v, want %v and %v", fail, pass, series.LogFail(), settings.LogPass(series))
	}
}

// What is learned while a release is held counts for the windows after it.
func TestAReleaseGoesOnAfterAnotherBaseline(t *testing.T) {
	var bursts trial.Baseline
	for i := range 60 {
		w := halves(i, 0, 0)
		w.Halves[i%2].Errors = 10
		bursts = bursts.Add(w)
	}
	burst := window(0, counter.Counts{Requests: 100, Errors: 10}, counter.Counts{Requests: 900})
	r := trial.Baseline{}.Begin(judge.Default(), judge.Errors)
	if got := add(t, r, 0.1, burst).Outcome(); got != judge.Fail {
		t.Errorf("without a baseline %s", got)
	}
	if got := add(t, r.After(bursts), 0.1, burst).Outcome(); got == judge.Fail {
		t.Errorf("after bursts %s", got)
	}
	if got := (trial.Baseline{}).Add(busy(0)).Bounds(); !slices.Equal(got, []float64{0.1, 1}) {
		t.Errorf("the bounds are %v", got)
	}
}

func TestNoTrafficWithoutTimeOrRequests(t *testing.T) {
	moment := busy(0)
	moment.To = moment.From
	untimed := busy(0)
	untimed.Primary.Timed = 0
	for name, tc := range map[string]struct {
		baseline trial.Baseline
		want     judge.TrafficProfile
	}{
		"no window":                {trial.Baseline{}, judge.TrafficProfile{Dispersion: 1}},
		"windows without requests": {trial.Baseline{}.Add(window(0, counter.Counts{}, counter.Counts{})), judge.TrafficProfile{Dispersion: 1}},
		"one of no time":           {trial.Baseline{}.Add(moment), judge.TrafficProfile{Rate: 0.02, Dispersion: 1}},
		"one without durations":    {trial.Baseline{}.Add(untimed), judge.TrafficProfile{Requests: 90, Rate: 0.02, Dispersion: 1}},
	} {
		if got := tc.baseline.Traffic(); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
		if slow, over := tc.baseline.Slow(); slow != (judge.TrafficProfile{}) || over != 0 {
			t.Errorf("%s: %+v over %s are slow", name, slow, over)
		}
	}
}

func TestTheUsualBoundIsOneThatAHundredthExceeds(t *testing.T) {
	for name, tc := range map[string]struct {
		slower []float64 // of 1,000 requests, than 100 ms, a second and ten
		want   time.Duration
	}{
		"exactly a hundredth":           {[]float64{300, 10, 9}, time.Second},
		"more than a hundredth":         {[]float64{300, 100, 11}, 10 * time.Second},
		"hardly any, of all bounds":     {[]float64{9, 3, 1}, 100 * time.Millisecond},
		"none of them, of the smallest": {[]float64{0, 0, 0}, 100 * time.Millisecond},
	} {
		w := window(0, counter.Counts{}, counter.Counts{Requests: 1000, Timed: 1000, Slower: tc.slower})
		w.Bounds = []float64{0.1, 1, 10}
		for i := range w.Halves {
			w.Halves[i] = counter.Counts{Requests: 500, Timed: 500, Slower: []float64{0, 0, 0}}
		}
		if _, over := (trial.Baseline{}).Add(w).Slow(); over != tc.want {
			t.Errorf("%s: over %s, want %s", name, over, tc.want)
		}
	}
}
