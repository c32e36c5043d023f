// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/replay"
	"github.com/sluice-cd/sluice/canary/judge/simulate"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const window = 15 * time.Second

func options() replay.Options {
	return replay.Options{Settings: judge.Default(), Metrics: []judge.Kind{judge.Errors, judge.Latency},
		Thresholds: replay.DefaultThresholds(), Gap: 2 * time.Minute}
}

// record are the readings of releases, one after the other, each of ten minutes at a tenth of 100
// requests a second, with half an hour before it.
func record(t *testing.T, rate float64, ratios ...float64) []counter.Reading {
	t.Helper()
	var all []counter.Reading
	for i, ratio := range ratios {
		r := simulate.ReleaseModel{Ratio: ratio, Share: simulate.Constant(0.1), Window: window, Windows: 40}
		o := simulate.Recording{Begin: noon.Add(time.Duration(i) * time.Hour), Before: 120, After: 79, Primaries: 4}
		err := simulate.Record(rand.New(rand.NewPCG(3, uint64(i))), simulate.Service{Requests: 100, Rate: rate}, r, o,
			func(r counter.Reading) error { all = append(all, r); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func play(t *testing.T, o replay.Options, readings []counter.Reading) []replay.ReplayedRelease {
	t.Helper()
	p, err := replay.NewPlayer(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readings {
		if err := p.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return p.Releases()
}

func TestReleasesAreFoundByTheRequestsOfTheCanary(t *testing.T) {
	releases := play(t, options(), record(t, 0.001, 1, 20, 1))
	if len(releases) != 3 {
		t.Fatalf("%d releases", len(releases))
	}
	for i, r := range releases {
		if from := noon.Add(time.Duration(i)*time.Hour + 30*time.Minute); !r.From.Equal(from) || !r.To.Equal(from.Add(10*time.Minute)) {
			t.Errorf("release %d is from %s to %s", i, r.From, r.To)
		}
		if len(r.Points) != 40 || r.Baseline < 100 || math.Abs(r.Usual.Requests-100) > 2 {
			t.Errorf("release %d has %d windows, and %d before it: %+v", i, len(r.Points), r.Baseline, r.Usual)
		}
	}
	bad := releases[1]
	if bad.Judge.Outcome != replay.RolledBack || bad.Judge.After > time.Minute ||
		!strings.Contains(bad.Judge.Text, "none of the primary (99 % sure) after 15s") {
		t.Errorf("the judge: %+v", bad.Judge)
	}
	if bad.Judge.Errors >= bad.Canary.Errors || bad.Ratio < 5 {
		t.Errorf("%v of %v errors, %v times as many", bad.Judge.Errors, bad.Canary.Errors, bad.Ratio)
	}
}

func TestThresholdsDecideAsFlaggerDoes(t *testing.T) {
	for name, tc := range map[string]struct {
		rate   float64
		ratio  float64
		change func(*replay.Options)
		judge  replay.ReleaseOutcome
		limits replay.RuleResult
	}{
		"a service with 2 % errors cannot release": {0.02, 1, nil, replay.Promoted,
			replay.RuleResult{Outcome: replay.RolledBack, After: 5 * time.Minute, Text: "5 of 5 failed checks"}},
		"five times the errors are less than 1 %": {0.001, 5, nil, replay.RolledBack,
			replay.RuleResult{Outcome: replay.Promoted, After: 5 * time.Minute, Text: "5 good checks, 0 failed ones"}},
		"with another limit they are not": {0.001, 5, func(o *replay.Options) { o.Thresholds.SuccessRate = 99.9 }, replay.RolledBack,
			replay.RuleResult{Outcome: replay.RolledBack, After: 6 * time.Minute, Text: "less than 99.9 %; 5 of 5 failed checks"}},
		"with more steps the release is longer": {0.001, 5, func(o *replay.Options) { o.Thresholds.Steps = 8 }, replay.RolledBack,
			replay.RuleResult{Outcome: replay.Promoted, After: 8 * time.Minute, Text: "8 good checks"}},
		"with an alpha that is tiny five times are not enough": {0.001, 5, func(o *replay.Options) { o.Settings.Alpha = 1e-9 }, replay.Undecided,
			replay.RuleResult{Outcome: replay.Promoted, After: 5 * time.Minute, Text: "5 good checks"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			if tc.change != nil {
				tc.change(&o)
			}
			releases := play(t, o, record(t, tc.rate, tc.ratio))
			if len(releases) != 1 {
				t.Fatalf("%d releases", len(releases))
			}
			if got := releases[0].Judge; got.Outcome != tc.judge || got.Text == "" {
				t.Errorf("the judge: %+v", got)
			}
			got := releases[0].Thresholds
			if got.Outcome != tc.limits.Outcome || got.After != tc.limits.After || !strings.Contains(got.Text, tc.limits.Text) {
				t.Errorf("the thresholds: %+v, want %+v", got, tc.limits)
			}
		})
	}
}

func TestAHistorySaysWhichWindowsAreOfWhichRelease(t *testing.T) {
	o := options()
	from := noon.Add(30 * time.Minute)
	o.History = []replay.Recorded{
		{Revision: "a", From: from, To: from.Add(3 * time.Minute), Outcome: "superseded"},
		{Revision: "b", From: from.Add(3 * time.Minute), Steps: []replay.WeightChange{{At: from.Add(3 * time.Minute), Weight: 0.3}}},
	}
	releases := play(t, o, record(t, 0.001, 1))
	if len(releases) != 2 || releases[0].Recorded.Revision != "a" || releases[1].Recorded.Revision != "b" {
		t.Fatalf("got %+v", releases)
	}
	if got := releases[0].To.Sub(releases[0].From); got != 3*time.Minute {
		t.Errorf("the first lasts %s", got)
	}
	// Its weight was 30 %, and it got a tenth of the requests.
	if got := releases[1].Judge; got.Outcome != replay.Undecided || !strings.Contains(got.Text, "the canary got 0.") {
		t.Errorf("the second: %+v", got)
	}
}

// What the canary of one release got last was taken for what the next one, which began at once, got first.
func TestAReleaseBeginsWithItsFirstStep(t *testing.T) {
	o := options()
	from := noon.Add(30 * time.Minute)
	o.History = []replay.Recorded{{From: from, Begins: from.Add(time.Minute)}}
	if releases := play(t, o, record(t, 0.001, 1)); len(releases) != 1 || !releases[0].From.Equal(from.Add(time.Minute)) {
		t.Errorf("got %+v", releases)
	}
}

func TestAWindowInWhichTheWeightChangedSaysNothingAboutShares(t *testing.T) {
	o := options()
	from := noon.Add(30 * time.Minute)
	recorded := replay.Recorded{From: from}
	for i := range 400 { // each is wrong, and none lasts for a window
		recorded.Steps = append(recorded.Steps, replay.WeightChange{At: from.Add(time.Duration(i)*10*time.Second + time.Second), Weight: 0.3})
	}
	o.History = []replay.Recorded{recorded}
	if got := play(t, o, record(t, 0.001, 1))[0].Judge; strings.Contains(got.Text, "its weight says") {
		t.Errorf("got %+v", got)
	}
}

func TestACanaryThatWarmsUpIsNotJudgedYet(t *testing.T) {
	o, readings := options(), record(t, 0.01, 20)
	at := func(warmup time.Duration) time.Duration {
		o.Warmup = warmup
		got := play(t, o, readings)[0]
		if got.Judge.Outcome != replay.RolledBack || got.Canary.Requests < 5000 {
			t.Fatalf("%+v of %+v", got.Judge, got.Canary)
		}
		return got.Judge.After
	}
	if cold, warm := at(0), at(2*time.Minute); warm != cold+2*time.Minute {
		t.Errorf("it fails after %s, and after %s if the first two minutes do not count", cold, warm)
	}
}

func TestACanaryThatPausesIsOneRelease(t *testing.T) {
	r := simulate.ReleaseModel{Ratio: 1, Window: window, Windows: 40, Share: func(at int) float64 {
		if at >= 10 && at < 15 {
			return 0
		}
		return 0.1
	}}
	var readings []counter.Reading
	_ = simulate.Record(rand.New(rand.NewPCG(3, 9)), simulate.Service{Requests: 100, Rate: 0.01}, r,
		simulate.Recording{Begin: noon, Before: 10, After: 20, Primaries: 2},
		func(r counter.Reading) error { readings = append(readings, r); return nil })
	if got := play(t, options(), readings); len(got) != 1 || len(got[0].Points) != 40 {
		t.Errorf("%d releases", len(got))
	}
	o := options()
	o.Gap = time.Minute
	if got := play(t, o, readings); len(got) != 2 || len(got[0].Points) != 10 {
		t.Errorf("with a shorter gap: %d releases", len(got))
	}
}

func TestSlowRequestsFailAThreshold(t *testing.T) {
	var readings []counter.Reading
	var canary, primary [4]float64 // requests, up to 0.1, 0.5 and 1 s
	for at := range 60 {
		if at > 20 {
			for i, n := range []float64{150, 100, 140, 150} {
				canary[i] += n
			}
		}
		for i, n := range []float64{1350, 1250, 1349, 1350} {
			primary[i] += n
		}
		r := counter.Reading{At: noon.Add(time.Duration(at) * window)}
		for arm, is := range map[counter.Arm][4]float64{counter.Canary: canary, counter.Primary: primary} {
			add := func(class counter.Class, over, value float64) {
				r.Samples = append(r.Samples, counter.Sample{Arm: arm, Pod: string(arm), Class: class, Over: over, Value: value})
			}
			add(counter.Requests, 0, is[0])
			add(counter.Errors, 0, 0)
			add(counter.Timed, 0, is[0])
			add(counter.Bucket, 0.1, is[1])
			add(counter.Bucket, 0.5, is[2])
			add(counter.Bucket, 1, is[3])
		}
		readings = append(readings, r)
	}
	releases := play(t, options(), readings)
	if len(releases) != 1 {
		t.Fatalf("%d releases", len(releases))
	}
	if got := releases[0].Thresholds; got.Outcome != replay.RolledBack || !strings.Contains(got.Text, "take up to 925ms, more than 500ms") {
		t.Errorf("the thresholds: %+v", got)
	}
	if got := releases[0].Judge; got.Outcome != replay.RolledBack || !strings.Contains(got.Text, "latency over") {
		t.Errorf("the judge: %+v", got)
	}
	o := options()
	o.Thresholds.Duration, o.Metrics = time.Second, []judge.Kind{judge.Errors}
	if got := play(t, o, readings)[0]; got.Thresholds.Outcome != replay.Promoted ||
		got.Judge.Outcome != replay.Promoted || !strings.HasPrefix(got.Judge.Text, "errors less than 0.1 % of the requests (95 % sure)") {
		t.Errorf("with 1s, and without the latency: %+v", got)
	}
}

func TestATraceIsReadAsItWasWritten(t *testing.T) {
	want := record(t, 0.01, 5)
	want[3].Samples[0].Scraped = noon
	var file bytes.Buffer
	for _, r := range want {
		if err := replay.WriteReading(&file, r); err != nil {
			t.Fatal(err)
		}
	}
	var got []counter.Reading
	if err := replay.ReadTrace(&file, func(r counter.Reading) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A process that has just begun again may have more errors than requests for a moment: windows leave it out.
func TestATraceWithAMomentOfTooManyErrorsIsRead(t *testing.T) {
	const odd = `{"at":"2026-06-01T12:00:00Z","samples":[{"arm":"canary","pod":"a","class":"requests","value":1},` +
		`{"arm":"canary","pod":"a","class":"errors","value":2}]}` + "\n"
	const even = `{"at":"2026-06-01T12:00:00Z","samples":[{"arm":"canary","pod":"a","class":"requests","value":9}]}` + "\n"
	readings := 0
	err := replay.ReadTrace(strings.NewReader(odd+odd+even+odd+odd), func(counter.Reading) error { readings++; return nil })
	if err != nil || readings != 5 {
		t.Errorf("%d readings, %v", readings, err)
	}
}

// minutes are readings of the same samples, one a minute.
func minutes(n int, samples string) string {
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"at":"2026-06-01T12:%02d:00Z","samples":[%s]}`+"\n", i, samples)
	}
	return lines.String()
}

func TestWhatIsWrongWithATraceIsNamed(t *testing.T) {
	const at = `"at":"2026-06-01T12:00:00Z"`
	for name, tc := range map[string]struct{ trace, want string }{
		"no JSON":            {"\n\nhello", "line 3: reading it as {at, samples}"},
		"a field of its own": {`{` + at + `,"sample":[]}`, `line 1: reading it as {at, samples}: json: unknown field "sample"`},
		"two on one line":    {`{` + at + `,"samples":[]} {}`, "line 1: something follows the reading"},
		"no time":            {`{"samples":[]}`, "line 1: at is required"},
		"an arm of its own":  {`{` + at + `,"samples":[{"arm":"blue","class":"requests","value":1}]}`, `line 1: "blue" is neither`},
		"less than nothing":  {`{` + at + `,"samples":[{"arm":"canary","class":"requests","value":-1}]}`, "is -1"},
		"errors that are no requests, all the time": {
			minutes(3, `{"arm":"canary","pod":"a","class":"requests","value":10},{"arm":"canary","pod":"a","class":"errors","value":12}`),
			"line 3: a of the canary has 12 errors and 10 requests: errors have to be among the requests",
		},
		"errors without any requests": {
			minutes(4, `{"arm":"primary","instance":"b:80","class":"errors","value":1}`),
			"line 3: b:80 of the primary has 1 errors and 0 requests",
		},
		"the same time twice": {`{` + at + `,"samples":[]}` + "\n" + `{` + at + `,"samples":[]}`, "line 2: a reading is of"},
		"a line without end":  {strings.Repeat("x", replay.MaxLine+1), "a line has more than"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := replay.NewPlayer(options())
			if err != nil {
				t.Fatal(err)
			}
			if err := replay.ReadTrace(strings.NewReader(tc.trace), p.Add); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestOptionsThatNothingCanBeJudgedBy(t *testing.T) {
	for want, change := range map[string]func(*replay.Options){
		"alpha is 0":                  func(o *replay.Options) { o.Settings.Alpha = 0 },
		"no metric":                   func(o *replay.Options) { o.Metrics = nil },
		"a gap of 0s":                 func(o *replay.Options) { o.Gap = 0 },
		"a success rate of 101 %":     func(o *replay.Options) { o.Thresholds.SuccessRate = 101 },
		"a duration of -1s":           func(o *replay.Options) { o.Thresholds.Duration = -time.Second },
		"an interval of 0s":           func(o *replay.Options) { o.Thresholds.Interval = 0 },
		"the number of failed checks": func(o *replay.Options) { o.Thresholds.FailedChecks = 0 },
	} {
		o := options()
		change(&o)
		if _, err := replay.NewPlayer(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add([]byte(`{"at":"2026-06-01T12:00:00Z","samples":[{"arm":"canary","pod":"c","class":"bucket","over":0.5,"value":3}]}`))
	f.Fuzz(func(t *testing.T, trace []byte) {
		var first bytes.Buffer
		write := func(to *bytes.Buffer) func(counter.Reading) error {
			return func(r counter.Reading) error { return replay.WriteReading(to, r) }
		}
		if replay.ReadTrace(bytes.NewReader(trace), write(&first)) != nil {
			return
		}
		var second bytes.Buffer
		if err := replay.ReadTrace(bytes.NewReader(first.Bytes()), write(&second)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first.String(), second.String()); diff != "" {
			t.Error(diff)
		}
	})
}
