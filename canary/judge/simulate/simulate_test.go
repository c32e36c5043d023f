// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

func seeded() *rand.Rand { return rand.New(rand.NewPCG(5, 5)) }

// failing is a window in which parts of a thousand requests of each arm fail.
func failing(canary, primary float64) judge.Window {
	return judge.Window{
		Canary:  judge.Count{Events: 1000 * canary, Exposure: 1000},
		Primary: judge.Count{Events: 1000 * primary, Exposure: 1000},
	}
}

func TestTheRulesDecideAtTheirLimits(t *testing.T) {
	good, bad := failing(0.01, 0), failing(0.02, 0) // 99 % is enough
	for name, tc := range map[string]struct {
		rule    Rule
		windows []judge.Window
		want    []End
	}{
		"Flagger promotes after its steps": {&Flagger{Least: 99, Threshold: 2, Steps: 3},
			[]judge.Window{good, bad, good, good}, []End{Running, Running, Running, Promoted}},
		"Flagger rolls back at its threshold": {&Flagger{Least: 99, Threshold: 2, Steps: 3},
			[]judge.Window{good, bad, good, bad}, []End{Running, Running, Running, RolledBack}},
		"Argo rolls back beyond its limit, and promotes nothing": {&Argo{Least: 99, FailureLimit: 1},
			[]judge.Window{good, bad, good, bad}, []End{Running, Running, Running, RolledBack}},
		"Kayenta decides at its end: an arm that is always worse": {&Kayenta{Windows: 2},
			[]judge.Window{failing(0.2, 0.1), failing(0.2, 0.1)}, []End{Running, RolledBack}},
		"an arm that is always better": {&Kayenta{Windows: 2},
			[]judge.Window{failing(0.1, 0.2), failing(0.1, 0.2)}, []End{Running, Promoted}},
		"arms that had the same": {&Kayenta{Windows: 2},
			[]judge.Window{failing(0.1, 0.2), failing(0.2, 0.1)}, []End{Running, Promoted}},
		"one window, of which the canary is worse": {&Kayenta{Windows: 1}, []judge.Window{failing(0.2, 0.1)}, []End{RolledBack}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []End
			for _, w := range tc.windows {
				got = append(got, tc.rule.Evaluate(w))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKayentaRollsBackOnlyWhatIsCertainlyWorse(t *testing.T) {
	for name, tc := range map[string]struct {
		more float64 // than the primary, whose rates vary by 0.01
		want End
	}{
		"much worse":                   {0.05, RolledBack},
		"worse by less than it varies": {0.001, Promoted},
		"much better":                  {-0.05, Promoted},
	} {
		rule, got := &Kayenta{Windows: 20}, Running
		for i := range 20 {
			primary := 0.1 + 0.01*float64(i%7)/7
			got = rule.Evaluate(failing(0.1+0.01*float64(i%5)/5+tc.more, primary))
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// The values are worked out by hand: the ranks of a, their mean and variance, half a rank less.
func TestTheStatisticOfMannAndWhitney(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b  []float64
		shift float64
		want  float64
	}{
		"all of a are larger":     {[]float64{3, 4}, []float64{1, 2}, 0, 1.5 / math.Sqrt(5.0/3)},
		"all of a are smaller":    {[]float64{1, 2}, []float64{3, 4}, 0, -1.5 / math.Sqrt(5.0/3)},
		"equal, less the shift":   {[]float64{3, 4}, []float64{1, 2}, 2, 0},
		"with ties":               {[]float64{1, 1}, []float64{1, 3}, 0, -0.5},
		"nothing but ties":        {[]float64{1, 1}, []float64{1, 1}, 0, 0},
		"arms of different sizes": {[]float64{5}, []float64{1, 2, 3}, 0, 1 / math.Sqrt(3.0/12*5)},
	} {
		if got := mannWhitney(tc.a, tc.b, tc.shift); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: %g, want %g", name, got, tc.want)
		}
	}
	a, b := []float64{10, 11, 12}, []float64{1, 2, 3}
	for z, want := range map[float64]float64{0: 9, 1: 8, -1: 10, 3: 6} { // differences of 7 to 11; 3 is beyond what three values can show
		if got := shiftAt(a, b, z); math.Abs(got-want) > 1e-9 {
			t.Errorf("the shift at %g is %g, want %g", z, got, want)
		}
	}
}

func TestTheJudgeDecidesSlowlyWhereTheServiceVaries(t *testing.T) {
	windows := func(rule *SequentialRule, w judge.Window) (int, End) {
		for i := range 10_000 {
			if end := rule.Evaluate(w); end != Running {
				return i + 1, end
			}
		}
		return 0, Running
	}
	steady, varying := make([]Halves, 360), make([]Halves, 360)
	for i := range varying {
		same := judge.Count{Events: 10, Exposure: 1000}
		steady[i] = Halves{First: same, Second: same}
		varying[i] = Halves{
			First:  judge.Count{Events: 40 * float64(i%2), Exposure: 1000},
			Second: judge.Count{Events: 40 * float64((i+1)%2), Exposure: 1000},
		}
	}
	soon, end := windows(NewSequentialRule(judge.Default(), steady), failing(0.03, 0.01))
	late, endOfVarying := windows(NewSequentialRule(judge.Default(), varying), failing(0.03, 0.01))
	if end != RolledBack || endOfVarying != RolledBack || late <= soon {
		t.Errorf("%s after %d windows, and %s after %d of a service that varies", end, soon, endOfVarying, late)
	}
	if _, end := windows(NewSequentialRule(judge.Default(), steady), failing(0.01, 0.01)); end != Promoted {
		t.Errorf("a healthy release: %q", end)
	}
	impossible := failing(0.01, 0.01)
	impossible.Canary.Events = -1
	if end := NewSequentialRule(judge.Default(), nil).Evaluate(impossible); end != RolledBack {
		t.Errorf("an impossible window: %q", end)
	}
}

// moments are the mean and the variance of what is drawn.
func moments(n int, draw func() float64) (mean, variance float64) {
	for range n {
		x := draw()
		mean, variance = mean+x/float64(n), variance+x*x/float64(n)
	}
	return mean, variance - mean*mean
}

func TestDrawsHaveTheirMeanAndVariance(t *testing.T) {
	random := seeded()
	bursts := Service{Burst: 4}
	for name, tc := range map[string]struct {
		draw           func() float64
		mean, variance float64
	}{
		"binomial":              {func() float64 { return float64(Binomial(random, 50, 0.3)) }, 15, 10.5},
		"binomial, mostly true": {func() float64 { return float64(Binomial(random, 50, 0.8)) }, 40, 8},
		"Poisson":               {func() float64 { return float64(Poisson(random, 7)) }, 7, 7},
		"bursts of four":        {func() float64 { return bursts.count(random, 1000, 0.1).Events }, 100, 700},
	} {
		mean, variance := moments(4000, tc.draw)
		if math.Abs(mean-tc.mean) > 5*math.Sqrt(tc.variance/4000) || math.Abs(variance/tc.variance-1) > 0.15 {
			t.Errorf("%s: mean %g and variance %g, want %g and %g", name, mean, variance, tc.mean, tc.variance)
		}
	}
	for _, tc := range []struct {
		n    int
		p    float64
		want int
	}{{0, 0.5, 0}, {-1, 0.5, 0}, {10, 0, 0}, {10, -1, 0}, {10, 1, 10}, {10, 2, 10}} {
		if got := Binomial(random, tc.n, tc.p); got != tc.want {
			t.Errorf("Binomial(%d, %g) is %d", tc.n, tc.p, got)
		}
	}
	if got := Poisson(random, 0); got != 0 {
		t.Errorf("Poisson(0) is %d", got)
	}
	if got := (Service{Burst: 50}).count(random, 10, 1); got.Events > 10 || got.Exposure != 10 {
		t.Errorf("more events than requests: %+v", got)
	}
	one, none := (Service{Burst: 1}).count(seeded(), 1000, 0.1), (Service{}).count(seeded(), 1000, 0.1)
	if one != none {
		t.Errorf("bursts of one are %+v, and single events %+v", one, none)
	}
}

func TestAWindowIsDividedByTheShare(t *testing.T) {
	all := func(n float64) judge.Count { return judge.Count{Events: n, Exposure: n} }
	none := func(n float64) judge.Count { return judge.Count{Exposure: n} }
	met := func(canary, primary judge.Count) judge.Window { return judge.Window{Canary: canary, Primary: primary} }
	for name, tc := range map[string]struct {
		service Service
		change  func(*ReleaseModel)
		want    judge.Window
	}{
		"all fail":                 {Service{Requests: 10, Rate: 1}, nil, met(all(10), all(30))},
		"those of the canary":      {Service{Requests: 10}, func(r *ReleaseModel) { r.More = 1 }, met(all(10), none(30))},
		"those of the primary":     {Service{Requests: 10, Rate: 1}, func(r *ReleaseModel) { r.Ratio = 0 }, met(none(10), all(30))},
		"an outage in that window": {Service{Requests: 10, Outage: func(at int) float64 { return float64(at) / 3 }}, nil, met(all(10), all(30))},
		"more than all is all":     {Service{Requests: 10, Rate: 1}, func(r *ReleaseModel) { r.Ratio, r.More = 5, 1 }, met(all(10), all(30))},
		"half of a request is one": {Service{Requests: 10.6, Rate: 1}, nil, met(all(11), all(31))},
		"the ratio is of the rate": {Service{Requests: 10, Rate: 0}, func(r *ReleaseModel) { r.Ratio = 5 }, met(none(10), none(30))},
	} {
		r := ReleaseModel{Ratio: 1, Share: func(at int) float64 { return 0.25 * float64(at-2) }, Window: 4 * time.Second}
		if tc.change != nil {
			tc.change(&r)
		}
		if diff := cmp.Diff(tc.want, tc.service.Draw(seeded(), r, 3)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(Halves{all(20), all(20)}, Service{Requests: 10, Rate: 1}.DrawHalves(seeded(), 4*time.Second)); diff != "" {
		t.Error(diff)
	}
}

func TestARecordingHasTheCountersOfAllPods(t *testing.T) {
	s := Service{Requests: 10, Rate: 1}
	r := ReleaseModel{Share: func(at int) float64 { return []float64{0.25, 0.5}[at] }, Window: 10 * time.Second, Windows: 2}
	begin := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	type seen struct {
		After           time.Duration
		Canary, Primary []float64 // requests and errors of each pod
	}
	var got []seen
	each := func(read counter.Reading) error {
		is := seen{After: read.At.Sub(begin)}
		for _, s := range read.Samples {
			if s.Scraped != read.At || s.Class != []counter.Class{counter.Requests, counter.Errors}[(len(is.Canary)+len(is.Primary))%2] {
				t.Errorf("%+v", s)
			}
			if s.Arm == counter.Canary {
				is.Canary = append(is.Canary, s.Value)
			} else {
				is.Primary = append(is.Primary, s.Value)
			}
		}
		got = append(got, is)
		return nil
	}
	if err := Record(seeded(), s, r, Recording{Begin: begin, Before: 1, After: 2, Primaries: 2}, each); err != nil {
		t.Fatal(err)
	}
	want := []seen{ // the canary's ratio is 0: no errors
		{0, nil, []float64{0, 0, 0, 0}},
		{10 * time.Second, []float64{0, 0}, []float64{50, 50, 50, 50}},
		{20 * time.Second, []float64{25, 0}, []float64{87, 87, 87, 87}},
		{30 * time.Second, []float64{75, 0}, []float64{112, 112, 112, 112}},
		{40 * time.Second, []float64{75, 0}, []float64{162, 162, 162, 162}},
		{50 * time.Second, nil, []float64{212, 212, 212, 212}},
	}
	for i := range got { // a half request is one or none, by chance
		for j, v := range got[i].Primary {
			if len(want) > i && math.Abs(v-want[i].Primary[j]) <= 2 && i > 1 {
				got[i].Primary[j] = want[i].Primary[j]
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	failed := errors.New("the disk is full")
	calls := 0
	err := Record(seeded(), s, r, Recording{Primaries: 1}, func(counter.Reading) error { calls++; return failed })
	if !errors.Is(err, failed) || calls != 1 {
		t.Errorf("%v after %d readings", err, calls)
	}
}

// ending is a rule that ends a release in a window.
type ending struct {
	end   End
	after int
	seen  int
}

func (e *ending) Evaluate(judge.Window) End {
	if e.seen++; e.seen == e.after {
		return e.end
	}
	return Running
}

func TestResultsCountWhatBecameOfReleases(t *testing.T) {
	rules := []Rule{&ending{end: RolledBack, after: 3}, &ending{end: RolledBack, after: 1}, &ending{end: Promoted, after: 2}, &ending{}}
	r := ReleaseModel{Ratio: 1, Share: Constant(0.5), Window: time.Minute, Windows: 4}
	got := Run(seeded(), Service{Requests: 0.5, Rate: 1}, r, len(rules), func(before []Halves) Rule {
		if len(before) != 360 || before[359].First.Exposure != 15 {
			t.Errorf("%d windows before, %+v", len(before), before[len(before)-1])
		}
		next := rules[0]
		rules = rules[1:]
		return next
	})
	want := Result{
		Runs: 4, RolledBack: 2, Promoted: 1, RolledBackAfter: 3 * time.Minute, PromotedAfter: 2 * time.Minute,
		RolledBackTimes: []time.Duration{time.Minute, 3 * time.Minute}, Errors: 15 * (3 + 1 + 2 + 4) / 4.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.RolledBackRate() != 0.5 || got.PromotedRate() != 0.25 {
		t.Errorf("rates of %g and %g", got.RolledBackRate(), got.PromotedRate())
	}
}

func TestTheOtherRulesLookOnceAMinute(t *testing.T) {
	for name, tc := range map[string]struct {
		window  time.Duration
		windows int
		want    time.Duration
		many    int
		third   int // which window the third is
	}{
		"windows of 20 seconds":     {20 * time.Second, 90, time.Minute, 30, 6},
		"windows of two minutes":    {2 * time.Minute, 15, 2 * time.Minute, 15, 2},
		"less than a minute of all": {20 * time.Second, 2, time.Minute, 1, 6},
	} {
		s := Scenario{Release: ReleaseModel{Window: tc.window, Windows: tc.windows, Share: func(at int) float64 { return float64(at) }},
			Service: Service{Outage: func(at int) float64 { return float64(at) }}}
		got := s.minutes()
		if got.Release.Window != tc.want || got.Release.Windows != tc.many ||
			got.Release.Share(2) != float64(tc.third) || got.Service.Outage(2) != float64(tc.third) {
			t.Errorf("%s: %d of %s", name, got.Release.Windows, got.Release.Window)
		}
	}
	if s := (Scenario{Release: ReleaseModel{Window: time.Second}}).minutes(); s.Service.Outage != nil {
		t.Error("an outage that there is not")
	}
}

func TestTheScenariosAreThoseOfTheTable(t *testing.T) {
	scenarios := Scenarios(10 * time.Second)
	if len(scenarios) != 11 {
		t.Fatalf("%d scenarios", len(scenarios))
	}
	for _, s := range scenarios {
		if s.Release.Windows != 180 || s.Release.Window != 10*time.Second || s.Release.Share(99) != 0.1 {
			t.Errorf("%s: %+v", s.Name, s.Release)
		}
		if outage := s.Service.Outage; outage != nil {
			for at, want := range map[int]float64{5: 0.001, 6: 0.1, 47: 0.1, 48: 0.001} {
				if outage(at) != want {
					t.Errorf("in window %d the rate is %g", at, outage(at))
				}
			}
		}
	}
	half := scenarios[9]
	row := half.Play(func() bool { return false }, seeded(), judge.Default(), 2)
	if row.Scenario.Name != half.Name || row.Judge.RolledBack != 2 || row.Judge.RolledBackAfter > time.Minute ||
		row.Flagger.RolledBackAfter != 5*time.Minute || row.Argo.RolledBackAfter != 4*time.Minute ||
		row.Kayenta.RolledBackAfter != 30*time.Minute {
		t.Errorf("half of the requests fail: %+v", row)
	}
}
