// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

var begin = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }

// window is the i-th of 15 seconds, in which the canary has so many requests, a hundredth of them errors, and the
// primary 900.
func window(i int, canary float64) counter.Increments {
	return counter.Increments{
		From: at(15 * i), To: at(15 * (i + 1)),
		Canary:  counter.Counts{Requests: canary, Errors: canary / 100},
		Primary: counter.Counts{Requests: 900, Errors: 9},
		Halves:  [2]counter.Counts{{Requests: 450, Errors: 5}, {Requests: 450, Errors: 4}},
	}
}

func player(t *testing.T, change func(*Options)) *Player {
	t.Helper()
	o := Options{Settings: judge.Default(), Metrics: []judge.Kind{judge.Errors}, Thresholds: DefaultThresholds(), Gap: time.Minute}
	if change != nil {
		change(&o)
	}
	p, err := NewPlayer(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Player) play(t *testing.T, windows ...counter.Increments) *Player {
	t.Helper()
	for _, w := range windows {
		if err := p.window(w); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestAReleaseEndsWhenItsCanaryHadNoRequestsForTheGap(t *testing.T) {
	p := player(t, nil)
	p.play(t, window(0, 0), window(1, 0), window(2, 100), window(3, 100))
	for i := 4; i < 7; i++ { // 45 seconds without requests
		p.play(t, window(i, 0))
	}
	if p.current == nil || len(p.before) != 2 || len(p.Releases()) != 1 {
		t.Fatalf("it ended early, or before it are %d windows", len(p.before))
	}
	p.play(t, window(7, 0)) // a minute
	if p.current != nil || len(p.releases) != 1 || len(p.before) != 6 {
		t.Fatalf("it has not ended after the gap, or before the next are %d windows, want 6", len(p.before))
	}
	r := p.Releases()[0]
	if !r.From.Equal(at(30)) || !r.To.Equal(at(60)) || len(r.Points) != 2 || r.Baseline != 2 || r.Canary.Requests != 200 ||
		r.Canary.Errors != 2 || r.Primary.Requests != 1800 || r.Primary.Errors != 18 || r.Metrics != 1 || math.IsNaN(r.Ratio) {
		t.Errorf("got %+v", r)
	}
	want := Point{After: 30 * time.Second, Share: 0.1, Canary: 0.01, Primary: 0.01}
	got := r.Points[1]
	if got.Fail == 0 || got.Pass == 0 {
		t.Errorf("no evidence: %+v", got)
	}
	got.Fail, got.Pass = 0, 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAPauseIsOfTheReleaseThatGoesOn(t *testing.T) {
	p := player(t, nil).play(t, window(0, 100), window(1, 0), window(2, 0), window(3, 100))
	r := p.Releases()[0]
	if len(p.Releases()) != 1 || len(r.Points) != 4 || !r.To.Equal(at(60)) || r.Primary.Requests != 3600 || len(p.current.idle) != 0 {
		t.Errorf("got %+v", r)
	}
	// The time without requests is counted from its last ones.
	p.play(t, window(4, 0), window(5, 0), window(6, 0))
	if p.current == nil {
		t.Error("it ended too early")
	}
}

func TestAHistoryCountsFromItsBeginToItsEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		history Recorded
		since   int // seconds by which the first window may be older than it begins
		want    []int
	}{
		"from a window on, until another":     {Recorded{From: at(15), To: at(45)}, 0, []int{1, 2}},
		"one that has not ended":              {Recorded{From: at(30)}, 0, []int{2, 3, 4}},
		"it began before its analysis":        {Recorded{From: at(45), Begins: at(15), To: at(60)}, 0, []int{1, 2, 3}},
		"its users came after its analysis":   {Recorded{From: at(0), Begins: at(15), To: at(60)}, 0, []int{1, 2, 3}},
		"a window that may be of another one": {Recorded{From: at(15), To: at(60)}, 1, []int{2, 3}},
		"it ends within a window":             {Recorded{From: at(15), To: at(31)}, 0, []int{1, 2}},
		"it begins within one":                {Recorded{From: at(16), To: at(45)}, 0, []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			p := player(t, func(o *Options) { o.History = []Recorded{tc.history} })
			var got []int
			for i := range 5 {
				w := window(i, 100)
				if tc.since > 0 {
					w.Since = w.From.Add(-time.Duration(tc.since) * time.Second)
				}
				before := 0
				if p.current != nil {
					before = len(p.current.release.Points)
				}
				p.play(t, w)
				if p.current != nil && len(p.current.release.Points) > before {
					got = append(got, i)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReleasesOfAHistoryFollowEachOther(t *testing.T) {
	p := player(t, func(o *Options) {
		o.History = []Recorded{{Revision: "a", From: at(0), To: at(30)}, {Revision: "b", From: at(30), To: at(60)}}
	})
	// A window without requests is of a release as well, where it is known which.
	p.play(t, window(0, 100), window(1, 0), window(2, 100), window(3, 100), window(4, 100))
	releases := p.Releases()
	if len(releases) != 2 || p.current != nil || len(p.before) != 1 {
		t.Fatalf("%d releases, and %d windows after them", len(releases), len(p.before))
	}
	for i, want := range []string{"a", "b"} {
		if r := releases[i]; r.Recorded.Revision != want || len(r.Points) != 2 || !r.From.Equal(at(30*i)) || r.Baseline != 0 {
			t.Errorf("got %+v", r)
		}
	}
}

func TestWhatIsKeptOfARecordingIsBounded(t *testing.T) {
	p := player(t, nil)
	for i := range baseline + 5 {
		p.play(t, window(i, 0))
	}
	if len(p.before) != baseline || !p.before[0].From.Equal(window(5, 0).From) {
		t.Errorf("%d windows are kept, from %s", len(p.before), p.before[0].From)
	}
	for i := range MaxPoints + 5 {
		p.play(t, window(baseline+5+i, 100))
	}
	if r := p.Releases()[0]; len(r.Points) != MaxPoints || r.Canary.Requests != 100*(MaxPoints+5) {
		t.Errorf("%d points, and %g requests", len(r.Points), r.Canary.Requests)
	}
	p = player(t, nil)
	p.releases = make([]ReplayedRelease, maxReleases-1)
	p.play(t, window(0, 100))
	for i := 1; i < 6; i++ {
		p.play(t, window(i, 0))
	}
	if err := p.window(window(6, 100)); err == nil || !strings.Contains(err.Error(), "more than 1000 releases") {
		t.Errorf("got %v", err)
	}
}

func TestTheJudgeDecidesOnce(t *testing.T) {
	p := player(t, nil)
	bad := func(i int) counter.Increments {
		w := window(i, 100)
		w.Canary.Errors = 50
		w.Told, w.Untold = make([]counter.Remark, 2), 3
		return w
	}
	for i := range 40 {
		p.play(t, window(i, 0))
	}
	p.play(t, bad(40), bad(41), bad(42))
	r := p.Releases()[0]
	if r.Judge.Outcome != RolledBack || r.Judge.After != 15*time.Second || r.Judge.Errors != 50 ||
		r.Judge.Text == "" || r.Canary.Errors != 150 {
		t.Errorf("got %+v", r.Judge)
	}
	if r.Points[0].Remarks != 5 || r.Points[0].Canary != 0.5 {
		t.Errorf("got %+v", r.Points[0])
	}
	latency := player(t, func(o *Options) { o.Metrics = []judge.Kind{judge.Throughput} }).play(t, window(0, 100))
	if r := latency.Releases()[0]; !math.IsNaN(r.Ratio) || r.Judge.Outcome != Undecided {
		t.Errorf("without errors: %+v", r)
	}
	none := window(0, 0)
	none.Primary = counter.Counts{}
	if got := (&ongoingRelease{}).point(none, 0); got.Share != 0 || got.Canary != 0 || got.Primary != 0 {
		t.Errorf("without requests: %+v", got)
	}
}

func TestTheWeightOfAWindowIsThatOfAllOfIt(t *testing.T) {
	w := counter.Increments{From: at(60), To: at(75)}
	settled := -int(judge.SettlesWithin / time.Second)
	step := func(seconds int, weight float64) WeightChange { return WeightChange{at(seconds), weight} }
	for name, tc := range map[string]struct {
		steps []WeightChange
		since time.Time
		want  float64
	}{
		"nothing is known":                       {nil, time.Time{}, 0},
		"one that has just settled":              {[]WeightChange{step(60+settled, 0.1)}, time.Time{}, 0.1},
		"one that may not have":                  {[]WeightChange{step(61+settled, 0.1)}, time.Time{}, 0},
		"what is counted is older":               {[]WeightChange{step(60+settled, 0.1)}, at(59), 0},
		"the last of two":                        {[]WeightChange{step(0, 0.1), step(30, 0.2)}, time.Time{}, 0.2},
		"the next one comes within it":           {[]WeightChange{step(0, 0.1), step(74, 0.2)}, time.Time{}, 0},
		"the next one comes at its end":          {[]WeightChange{step(0, 0.1), step(75, 0.2)}, time.Time{}, 0.1},
		"the first one comes at its end":         {[]WeightChange{step(75, 0.2)}, time.Time{}, 0},
		"the first one is later than the second": {[]WeightChange{step(90, 0.2), step(0, 0.1)}, time.Time{}, 0},
	} {
		w.Since = tc.since
		if got := (Recorded{Steps: tc.steps}).weight(w); got != tc.want {
			t.Errorf("%s: %g, want %g", name, got, tc.want)
		}
	}
}

func TestAQuantileIsAlongALineInsideItsBucket(t *testing.T) {
	bounds := []float64{0.1, 0.5, 1}
	for name, tc := range map[string]struct {
		slower []float64
		part   float64
		want   float64
	}{
		"in the first bucket":  {[]float64{60, 10, 0}, 0.2, 0.05},
		"at its end":           {[]float64{60, 10, 0}, 0.4, 0.1},
		"in the second":        {[]float64{60, 10, 0}, 0.5, 0.18},
		"in the last":          {[]float64{60, 10, 0}, 0.99, 0.95},
		"beyond all bounds":    {[]float64{60, 40, 20}, 0.99, 1},
		"with an empty bucket": {[]float64{50, 50, 0}, 0.75, 0.75},
		"nothing in the first": {[]float64{100, 0, 0}, 0, 0.1},
	} {
		if got := quantile(tc.part, counter.Counts{Timed: 100, Slower: tc.slower}, bounds); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: %g, want %g", name, got, tc.want)
		}
	}
}

func TestAThresholdFailsBeyondItsLimit(t *testing.T) {
	bounds := []float64{0.5}
	timed := counter.Counts{Requests: 100, Errors: 1, Timed: 100, Slower: []float64{1}} // 99 of 100 take up to half a second
	for name, tc := range map[string]struct {
		limits Thresholds
		counts counter.Counts
		want   string
	}{
		"no requests":         {Thresholds{}, counter.Counts{}, "the canary has no requests"},
		"as many as have to":  {Thresholds{SuccessRate: 99}, timed, ""},
		"fewer":               {Thresholds{SuccessRate: 99.5}, timed, "99 % of the requests succeed, less than 99.5 %"},
		"no limit":            {Thresholds{}, counter.Counts{Requests: 1, Errors: 1}, ""},
		"as long as they may": {Thresholds{Duration: 500 * time.Millisecond}, timed, ""},
		"longer": {Thresholds{Duration: 499 * time.Millisecond}, timed,
			"99 of 100 requests take up to 500ms, more than 499ms"},
		"nobody measures durations": {Thresholds{Duration: time.Nanosecond}, counter.Counts{Requests: 1}, ""},
	} {
		if got := tc.limits.failure(tc.counts, bounds); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestChecksAreOfAnIntervalEach(t *testing.T) {
	check := newThresholdCheck(Thresholds{SuccessRate: 90, Interval: 30 * time.Second, FailedChecks: 2, Steps: 2}, at(0))
	look := func(i int, errors float64) RuleResult {
		w := window(i, 100)
		w.Canary.Errors = errors
		check.evaluate(w, time.Duration(i+1)*15*time.Second, float64(i))
		return check.done
	}
	for i, tc := range []struct {
		errors float64
		want   RuleResult
	}{
		{50, RuleResult{}},
		{0, RuleResult{After: 30 * time.Second, Errors: 1, Text: "75 % of the requests succeed, less than 90 %; 1 of 2 failed checks"}},
		{0, RuleResult{After: 30 * time.Second, Errors: 1, Text: "75 % of the requests succeed, less than 90 %; 1 of 2 failed checks"}},
		{10, RuleResult{After: time.Minute, Errors: 3, Text: "75 % of the requests succeed, less than 90 %; 1 of 2 failed checks"}},
		{0, RuleResult{After: time.Minute, Errors: 3, Text: "75 % of the requests succeed, less than 90 %; 1 of 2 failed checks"}},
		{0, RuleResult{Outcome: Promoted, After: 90 * time.Second, Errors: 5, Text: "2 good checks, 1 failed ones"}},
		{100, RuleResult{Outcome: Promoted, After: 90 * time.Second, Errors: 5, Text: "2 good checks, 1 failed ones"}},
		{100, RuleResult{Outcome: Promoted, After: 90 * time.Second, Errors: 5, Text: "2 good checks, 1 failed ones"}},
	} {
		if diff := cmp.Diff(tc.want, look(i, tc.errors)); diff != "" {
			t.Errorf("after window %d:\n%s", i, diff)
		}
	}
}

func TestSlowerRequestsAreAddedOnlyForTheSameBounds(t *testing.T) {
	w := counter.Increments{Bounds: []float64{0.1, 1}, Canary: counter.Counts{Requests: 10, Errors: 1, Timed: 9, Slower: []float64{5, 2}}}
	first := plus(counter.Counts{}, nil, w)
	second := plus(first, w.Bounds, w)
	if diff := cmp.Diff(counter.Counts{Requests: 20, Errors: 2, Timed: 18, Slower: []float64{10, 4}}, second); diff != "" {
		t.Error(diff)
	}
	other := w
	other.Bounds, other.Canary.Slower = []float64{0.5}, []float64{3}
	if diff := cmp.Diff(counter.Counts{Requests: 30, Errors: 3, Timed: 9, Slower: []float64{3}}, plus(second, w.Bounds, other)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{5, 2}, w.Canary.Slower); diff != "" {
		t.Errorf("a window was changed:\n%s", diff)
	}
}

func TestLimitsAtTheirEnds(t *testing.T) {
	good := Thresholds{SuccessRate: 99, Interval: time.Minute, FailedChecks: 1, Steps: 1}
	for name, tc := range map[string]struct {
		change func(*Thresholds)
		ok     bool
	}{
		"as they are":       {func(*Thresholds) {}, true},
		"no success at all": {func(l *Thresholds) { l.SuccessRate = 0 }, true},
		"nothing but it":    {func(l *Thresholds) { l.SuccessRate = 100 }, true},
		"no number":         {func(l *Thresholds) { l.SuccessRate = math.NaN() }, false},
		"less than none":    {func(l *Thresholds) { l.SuccessRate = -1 }, false},
		"a second":          {func(l *Thresholds) { l.Interval = time.Second }, true},
		"a day":             {func(l *Thresholds) { l.Interval = 24 * time.Hour }, true},
		"more than a day":   {func(l *Thresholds) { l.Interval = 24*time.Hour + 1 }, false},
		"no steps":          {func(l *Thresholds) { l.Steps = 0 }, false},
	} {
		l := good
		tc.change(&l)
		if err := l.Check(); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := Options{Settings: judge.Default(), Metrics: []judge.Kind{judge.Errors}, Thresholds: good, Gap: time.Second}
	if err := o.Check(); err != nil {
		t.Error(err)
	}
	o.Gap--
	if err := o.Check(); err == nil {
		t.Error("a gap of less than a second is taken")
	}
}

func TestWhatCannotBeReadOrWrittenIsAnError(t *testing.T) {
	impossible := window(1, 100)
	impossible.Canary.Errors = -1
	for name, change := range map[string]func(*Options){
		"without a history": nil,
		"with one":          func(o *Options) { o.History = []Recorded{{From: at(0)}} },
	} {
		p := player(t, change).play(t, window(0, 100))
		if err := p.window(impossible); err == nil || !strings.Contains(err.Error(), "-1 events") {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("the disk is broken")
	if err := ReadTrace(iotest.ErrReader(broken), func(counter.Reading) error { return nil }); !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	reader, writer := io.Pipe()
	_ = reader.CloseWithError(broken)
	if err := WriteReading(writer, counter.Reading{At: at(0)}); !errors.Is(err, broken) {
		t.Errorf("writing: %v", err)
	}
}

func TestAReadingAloneIsNoWindow(t *testing.T) {
	p := player(t, nil)
	for i, want := range []int{0, 1} {
		requests := counter.Sample{Arm: counter.Primary, Pod: "a", Class: counter.Requests, Value: float64(100 * i)}
		if err := p.Add(counter.Reading{At: at(15 * i), Samples: []counter.Sample{requests}}); err != nil || len(p.before) != want {
			t.Errorf("after reading %d there are %d windows: %v", i, len(p.before), err)
		}
	}
	if err := p.Add(counter.Reading{At: at(0)}); err == nil {
		t.Error("a reading of the past is taken")
	}
}

// A server that is scraped every second tells at a look of what has happened since the look before the last.
func TestTheFirstWindowOfAReleaseCountsAlthoughSomeOfItIsOlder(t *testing.T) {
	bad := window(0, 2000)
	bad.Since, bad.Canary.Errors = at(-2), 400
	got := player(t, nil).play(t, bad).Releases()
	if len(got) != 1 || got[0].Judge.Outcome != RolledBack {
		t.Errorf("got %+v", got)
	}
}
