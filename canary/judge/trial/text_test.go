// SPDX-License-Identifier: Apache-2.0

package trial_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/trial"
)

// busy is a window with everything in it.
func busy(at int) counter.Increments {
	counts := func(requests float64) counter.Counts {
		return counter.Counts{Requests: requests, Errors: requests / 50, Timed: requests, Slower: []float64{requests / 10, requests / 100}}
	}
	w := window(at, counts(100), counts(900))
	w.Bounds, w.Halves = []float64{0.1, 1}, [2]counter.Counts{counts(450), counts(450)}
	return w
}

func TestEvidenceOutlivesARestart(t *testing.T) {
	kinds := []judge.Kind{judge.Errors, judge.Latency, judge.Throughput}
	var baseline trial.Baseline
	for i := range 5 {
		baseline = baseline.Add(busy(i))
	}
	straight := baseline.Begin(judge.Default(), kinds...)
	restarted := straight
	for i := range 20 {
		straight = add(t, straight, 0.1, busy(10+i))
		restarted = add(t, restarted, 0.1, busy(10+i))
		text, err := restarted.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		kept, err := baseline.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again trial.Baseline
		if err := again.UnmarshalText(kept); err != nil {
			t.Fatal(err)
		}
		if restarted, err = again.Restore(text, judge.Default(), kinds...); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(straight.Verdict(), restarted.Verdict(), cmpopts.IgnoreUnexported(judge.Finding{}), cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
}

func TestEvidenceOfAnotherKindIsRefused(t *testing.T) {
	release := add(t, trial.Baseline{}.Add(busy(0)).Begin(judge.Default(), judge.Errors, judge.Latency), 0, busy(1))
	text, err := release.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	const about = `{"settings":{"Alpha":0.01,"Beta":0.05,"Tolerated":1,"Regression":2,"Negligible":0.001,"MinSamples":50},` +
		`"kinds":["errors"],"series":`
	strict := judge.Default()
	strict.Alpha = 0.001
	errorsAndLatency := []judge.Kind{judge.Errors, judge.Latency}
	// with is what was written, with one thing changed.
	with := func(old, replacement string) string {
		if !strings.Contains(string(text), old) {
			t.Fatalf("%s is not in it", old)
		}
		return strings.Replace(string(text), old, replacement, 1)
	}
	for name, tc := range map[string]struct {
		text     string
		settings judge.Settings
		kinds    []judge.Kind
	}{
		"about a bound before the first":  {with(`"PassBound":1`, `"PassBound":-1`), judge.Default(), errorsAndLatency},
		"about one after the last":        {with(`"PassBound":1`, `"PassBound":2`), judge.Default(), errorsAndLatency},
		"about another histogram":         {with(`"bounds":[0.1,1]`, `"bounds":[0.1]`), judge.Default(), errorsAndLatency},
		"errors over bounds":              {with(`"Kind":"latency"`, `"Kind":"errors"`), judge.Default(), errorsAndLatency},
		"a metric that was not asked for": {with(`"Kind":"errors"`, `"Kind":"throughput"`), judge.Default(), errorsAndLatency},
		"of other settings":               {string(text), strict, []judge.Kind{judge.Errors, judge.Latency}},
		"about other metrics":             {string(text), judge.Default(), []judge.Kind{judge.Errors}},
		"no JSON":                         {"evidence", judge.Default(), nil},
		"a series without a bound":        {about + `[{"Kind":"errors"}]}`, judge.Default(), []judge.Kind{judge.Errors}},
		"evidence of no windows": {
			about + `[{"Kind":"errors","Bounds":[{"Evidence":"AAAA"}]}]}`, judge.Default(), []judge.Kind{judge.Errors}},
	} {
		if _, err := (trial.Baseline{}).Restore([]byte(tc.text), tc.settings, tc.kinds...); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	if _, err := (trial.Baseline{}).Restore(text, judge.Default(), errorsAndLatency...); err != nil {
		t.Errorf("what was written: %v", err)
	}
}

func TestABaselineThatNoWindowsLeadToIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want bool
	}{
		"nothing":                        {"", false},
		"of no windows":                  {"{}", true},
		"of two bounds":                  {`{"bounds":[1,2],"slow":[{},{}],"primary":{"Slower":[1,2]}}`, true},
		"of bounds that fall":            {`{"bounds":[2,1],"slow":[{},{}],"primary":{"Slower":[1,2]}}`, false},
		"of a bound without dispersion":  {`{"bounds":[1,2],"slow":[{}],"primary":{"Slower":[1,2]}}`, false},
		"of a bound without a count":     {`{"bounds":[1,2],"slow":[{},{}],"primary":{"Slower":[1]}}`, false},
		"of fewer than no windows":       {`{"windows":-1}`, false},
		"of less than no time":           {`{"seconds":-1}`, false},
		"whose errors vary by less":      {`{"windows":9,"errors":{"Windows":9,"Variance":-1}}`, false},
		"with less than no z²":           {`{"windows":9,"errors":{"Windows":9,"Sum":-1}}`, false},
		"with fewer than none of errors": {`{"windows":9,"errors":{"Windows":-9}}`, false},
		"that had fewer than none":       {`{"windows":9,"errors":{"Most":-9}}`, false},
		"that noted fewer than none":     {`{"windows":9,"errors":{"Noted":-9}}`, false},
		"whose slow requests vary so":    {`{"bounds":[1],"slow":[{"Sum":-1}],"primary":{"Slower":[1]}}`, false},
	} {
		if err := new(trial.Baseline).UnmarshalText([]byte(tc.text)); (err == nil) != tc.want {
			t.Errorf("a baseline %s: %v", name, err)
		}
	}
}

// A status is an input: counting up to what it says would never end.
func TestASelfTestOfNoWindowsIsRefused(t *testing.T) {
	for _, wrong := range []trial.SelfTest{{FalseAlarms: 1 << 60, Trials: 1 << 60}, {FalseAlarms: 3, Trials: 2}, {FalseAlarms: -1},
		{Lasted: 60}, {Lasted: -1}, {Windows: -1}, {Trials: 400}} {
		if wrong.Check() == nil {
			t.Errorf("%+v", wrong)
		}
	}
	for _, right := range []trial.SelfTest{
		{}, {Windows: 60 * 399, Trials: 399, FalseAlarms: 9, Lasted: 59}, {Windows: 9, Trials: 3, FalseAlarms: 3},
	} {
		if err := right.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestABaselineFades(t *testing.T) {
	var b trial.Baseline
	for i := range 10 {
		b = b.Add(busy(i))
	}
	half := b.Fade()
	if half.Windows != 5 || half.Traffic().Requests != b.Traffic().Requests || half.Traffic().Rate != b.Traffic().Rate {
		t.Errorf("%+v of %+v", half, b)
	}
}

// halves is a window whose halves had so many errors of 500 requests.
func halves(at int, first, second float64) counter.Increments {
	w := window(at, counter.Counts{}, counter.Counts{Requests: 1000, Errors: first + second})
	w.Halves = [2]counter.Counts{{Requests: 500, Errors: first}, {Requests: 500, Errors: second}}
	return w
}

func TestTheJudgeTestsItself(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, tc := range map[string]struct {
		burst      float64
		correct    bool
		wantFailed bool
	}{
		"errors that happen each by itself":         {burst: 1},
		"errors in bursts, corrected":               {burst: 8, correct: true},
		"errors in bursts that nobody accounts for": {burst: 8, wantFailed: true},
	} {
		t.Run(name, func(t *testing.T) {
			var test trial.SelfTest
			var baseline trial.Baseline
			for at := range 3000 {
				first, second := 0.0, 0.0
				for range int(16 / tc.burst) {
					if random.IntN(2) == 0 {
						first += tc.burst
					} else {
						second += tc.burst
					}
				}
				var before trial.Baseline
				if tc.correct {
					before = baseline
				}
				w := halves(at, first, second)
				test, baseline = test.Add(w, judge.Default(), before, judge.Errors), baseline.Add(w)
			}
			if test.Failed(0.01) != tc.wantFailed {
				t.Errorf("%d false alarms in %d trials, dispersion %.1f", test.FalseAlarms, test.Trials, baseline.Dispersion())
			}
			if test.Windows != 3000 || test.Trials == 0 || math.IsNaN(test.Rate()) {
				t.Errorf("%+v", test)
			}
		})
	}
}

// A half was only ever looked at for being worse if it was the first one, and only by its errors.
func TestEitherHalfMayBeWorseByWhatIsJudged(t *testing.T) {
	both := []judge.Kind{judge.Errors, judge.Latency}
	for name, tc := range map[string]struct {
		errors, slow [2]float64 // of 500 requests of each half
		kinds        []judge.Kind
		wantFailed   bool
	}{
		"the first has more errors":               {errors: [2]float64{20, 5}, kinds: both, wantFailed: true},
		"the second has":                          {errors: [2]float64{5, 20}, kinds: both, wantFailed: true},
		"the second is slower":                    {slow: [2]float64{20, 60}, kinds: both, wantFailed: true},
		"it is, which nobody asked about":         {slow: [2]float64{20, 60}, kinds: both[:1]},
		"it has more errors, which nobody did":    {errors: [2]float64{5, 20}, kinds: both[1:]},
		"it is as slow, and has as many errors":   {errors: [2]float64{5, 5}, slow: [2]float64{20, 20}, kinds: both},
		"the second is slower, and alone of that": {slow: [2]float64{20, 60}, kinds: both[1:], wantFailed: true},
	} {
		t.Run(name, func(t *testing.T) {
			var test trial.SelfTest
			usual := trial.Baseline{}.Add(timedHalves(0, [2]float64{}, [2]float64{20, 20}))
			for at := range 600 {
				test = test.Add(timedHalves(at, tc.errors, tc.slow), judge.Default(), usual, tc.kinds...)
			}
			if test.Failed(0.01) != tc.wantFailed || test.Windows != 600 || test.Check() != nil {
				t.Errorf("%d false alarms in %d trials of %d windows", test.FalseAlarms, test.Trials, test.Windows)
			}
		})
	}
}

// timedHalves is a window in which so many requests of each half took longer than half a second, and hardly any a second.
func timedHalves(at int, errors, slow [2]float64) counter.Increments {
	w := halves(at, errors[0], errors[1])
	w.Bounds = []float64{0.5, 1}
	w.Primary.Timed, w.Primary.Slower = 1000, []float64{slow[0] + slow[1], 0}
	for i := range w.Halves {
		w.Halves[i].Timed, w.Halves[i].Slower = 500, []float64{slow[i], 0}
	}
	return w
}

func TestWhatTheHalvesCannotBeComparedByIsNoTest(t *testing.T) {
	both := []judge.Kind{judge.Errors, judge.Latency}
	before := trial.SelfTest{}.Add(timedHalves(0, [2]float64{5, 5}, [2]float64{20, 20}), judge.Default(),
		trial.Baseline{}.Add(timedHalves(0, [2]float64{}, [2]float64{20, 20})), both...)
	for name, change := range map[string]func(*counter.Increments){
		"a primary of one pod":               func(w *counter.Increments) { w.Halves[1] = counter.Counts{Slower: []float64{0, 0}} },
		"no pod of the first half":           func(w *counter.Increments) { w.Halves[0] = counter.Counts{Slower: []float64{0, 0}} },
		"fewer than no errors":               func(w *counter.Increments) { w.Halves[0].Errors = -1 },
		"slow requests, of which none ended": func(w *counter.Increments) { w.Halves[1].Timed, w.Halves[1].Slower[0] = 0, 5 },
	} {
		w := timedHalves(1, [2]float64{5, 5}, [2]float64{20, 20})
		change(&w)
		if got := before.Add(w, judge.Default(), trial.Baseline{}, both...); got != before {
			t.Errorf("%s: %+v, and before %+v", name, got, before)
		}
	}
	if before.Windows != 1 || before.Over != 0.5 || before.Rate() != 0 {
		t.Errorf("%+v", before)
	}
}

// Evidence about one bound says nothing about another.
func TestATrialOfTheSelfTestIsAboutOneBound(t *testing.T) {
	usual := trial.Baseline{}.Add(timedHalves(0, [2]float64{}, [2]float64{20, 20}))
	slower := timedHalves(0, [2]float64{}, [2]float64{20, 20})
	slower.Primary.Slower[1] = 500 // now a second is usual
	w := timedHalves(1, [2]float64{5, 5}, [2]float64{20, 20})
	test := trial.SelfTest{}.Add(w, judge.Default(), usual, judge.Latency)
	if again := test.Add(w, judge.Default(), trial.Baseline{}.Add(slower), judge.Latency); test.Over != 0.5 || again.Over != 0.5 {
		t.Errorf("over %v, then over %v", test.Over, again.Over)
	}
	if other := (trial.SelfTest{}).Add(w, judge.Default(), usual, judge.Errors); other.Over != 0 || other.Slow != nil {
		t.Errorf("over %v, which nobody asked about", other.Over)
	}
	if none := (trial.SelfTest{}).Add(w, judge.Default(), trial.Baseline{}, judge.Latency); none.Over != 0 || none.Slow != nil {
		t.Errorf("over %v, of no histogram", none.Over)
	}
}

// The probabilities are those of the binomial distribution: of 14 or more false alarms in 100 trials
// at alpha 0.05 it is 0.00046, of 13 or more 0.0015.
func TestASelfTestFailsWhenItsAlarmsAreNoChance(t *testing.T) {
	for _, tc := range []struct {
		alarms, trials int
		alpha          float64
		want           bool
	}{
		{0, 400, 0.05, false},
		{13, 100, 0.05, false}, {14, 100, 0.05, true},
		{35, 400, 0.05, false}, {36, 400, 0.05, true},
		{3, 20, 0.01, false}, {4, 20, 0.01, true},
		{1, 3, 0.001, false},
	} {
		test := trial.SelfTest{FalseAlarms: tc.alarms, Trials: tc.trials}
		if got := test.Failed(tc.alpha); got != tc.want {
			t.Errorf("%d of %d at %v: failed %v, want %v", tc.alarms, tc.trials, tc.alpha, got, tc.want)
		}
		if got, want := test.Rate(), float64(tc.alarms)/float64(tc.trials); got != want {
			t.Errorf("the rate of %d of %d is %v", tc.alarms, tc.trials, got)
		}
	}
}

func TestATrialOfTheSelfTestEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		before, want trial.SelfTest
	}{
		"not before it is as long as a release": {trial.SelfTest{Lasted: 58}, trial.SelfTest{Windows: 1, Lasted: 59}},
		"when it is":                            {trial.SelfTest{Lasted: 59}, trial.SelfTest{Windows: 1, Trials: 1}},
		"and the oldest count for less": {
			trial.SelfTest{Lasted: 59, Trials: 399, FalseAlarms: 20}, trial.SelfTest{Windows: 1, Trials: 200, FalseAlarms: 10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.before.Add(halves(0, 5, 5), judge.Default(), trial.Baseline{})
			if got.Evidence != nil != (tc.want.Lasted > 0) {
				t.Errorf("evidence %v is kept of a trial that lasted %d", got.Evidence, got.Lasted)
			}
			if got.Evidence = nil; got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestABaselineKnowsWhichLatencyIsUsual(t *testing.T) {
	counts := func(timed float64, slower ...float64) counter.Counts {
		return counter.Counts{Requests: timed, Timed: timed, Slower: slower}
	}
	var b trial.Baseline
	if usual, over := b.Slow(); usual != (judge.TrafficProfile{}) || over != 0 {
		t.Errorf("without a window %+v over %s are usual", usual, over)
	}
	for i := range 60 { // slow requests come twenty at a time
		w := window(i, counter.Counts{}, counts(1000, 300, 20, 1))
		w.Bounds = []float64{0.1, 0.5, 2}
		w.Halves[i%2], w.Halves[1-i%2] = counts(500, 150, 20, 1), counts(500, 150, 0, 0)
		b = b.Add(w)
	}
	text, err := b.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var restored trial.Baseline
	if err := restored.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]trial.Baseline{"as it is": b, "faded": b.Fade(), "restored": restored} {
		usual, over := b.Slow()
		if usual.Requests != 100 || usual.Rate != 0.02 || usual.Dispersion < 10 || over != 500*time.Millisecond {
			t.Errorf("%s: %+v over %s", name, usual, over)
		}
	}
	if half := b.Fade(); half.Primary.Slower[1] != b.Primary.Slower[1]/2 || b.Primary.Slower[1] != 60*20 {
		t.Errorf("the baseline has %v, and the faded one %v", b.Primary, half.Primary)
	}
}
