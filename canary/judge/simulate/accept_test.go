// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/simulate"
)

// runs returns how many releases of a kind are played: few in every test run, and as
// many as the environment says in `make judge-accept`.
func runs(t *testing.T) int {
	t.Helper()
	text := os.Getenv("JUDGE_RUNS")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 {
		t.Fatalf("JUDGE_RUNS is %q and has to be a number of at least 100", text)
	}
	return n
}

// atMost fails if a rate is above a bound by more than chance explains (three standard
// deviations).
func atMost(t *testing.T, what string, n, runs int, bound float64) {
	t.Helper()
	expected := bound * float64(runs)
	if float64(n) > expected+3*math.Sqrt(expected*(1-bound)) {
		t.Errorf("%s: %d of %d, want at most %.2g %%", what, n, runs, 100*bound)
	}
	t.Logf("%s: %d of %d", what, n, runs)
}

// onlyFailing lets a rule go on after it would have promoted, so that it
// gets as many chances to be wrong as there are.
type onlyFailing struct{ simulate.Rule }

func (o onlyFailing) Evaluate(w judge.Window) simulate.End {
	if end := o.Rule.Evaluate(w); end == simulate.RolledBack {
		return end
	}
	return simulate.Running
}

const window = 10 * time.Second

// halfAnHour is a canary that is as good as its primary.
func halfAnHour(share func(int) float64) simulate.ReleaseModel {
	return simulate.ReleaseModel{Ratio: 1, Share: share, Window: window, Windows: 180}
}

// steps gives the canary a tenth more of the users every minute.
func steps(at int) float64 { return min(0.1*float64(1+at/6), 0.5) }

func TestHealthyReleasesFailNoMoreOftenThanAlpha(t *testing.T) {
	outage := func(at int) float64 {
		if at > 20 && at < 60 {
			return 0.2
		}
		return 0.001
	}
	drift := func(at int) float64 { return 0.002 + 0.02*math.Abs(math.Sin(float64(at)/20)) }
	n, settings := runs(t), judge.Default()
	type scenario struct {
		service simulate.Service
		share   func(int) float64
	}
	scenarios := map[string]scenario{
		"weights that change every window": {simulate.Service{Requests: 100, Rate: 0.01},
			func(at int) float64 { return 0.05 + 0.4*float64(at%7)/7 }},
		"a shared outage":                   {simulate.Service{Requests: 100, Outage: outage}, steps},
		"a rate that drifts":                {simulate.Service{Requests: 100, Outage: drift}, steps},
		"errors that come two at a time":    {simulate.Service{Requests: 100, Rate: 0.01, Burst: 2}, simulate.Constant(0.1)},
		"errors that come five at a time":   {simulate.Service{Requests: 100, Rate: 0.01, Burst: 5}, simulate.Constant(0.1)},
		"bursts while weights change":       {simulate.Service{Requests: 100, Rate: 0.01, Burst: 5}, steps},
		"rare errors, three at a time":      {simulate.Service{Requests: 100, Rate: 0.001, Burst: 3}, steps},
		"a service that has few users":      {simulate.Service{Requests: 1, Rate: 0.05}, steps},
		"as many users in canary and rest":  {simulate.Service{Requests: 30, Rate: 0.3}, simulate.Constant(0.5)},
		"hardly any users in the canary":    {simulate.Service{Requests: 100, Rate: 0.3}, simulate.Constant(0.01)},
		"hardly any errors":                 {simulate.Service{Requests: 100, Rate: 0.0001}, simulate.Constant(0.1)},
		"hardly any errors, half the users": {simulate.Service{Requests: 100, Rate: 0.0001}, simulate.Constant(0.5)},
	}
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			bound := settings.Alpha
			if s.service.Burst > 1 {
				bound *= 2
			}
			result := simulate.Run(rand.New(rand.NewPCG(7, 1)), s.service, halfAnHour(s.share), n,
				func(before []simulate.Halves) simulate.Rule {
					return onlyFailing{simulate.NewSequentialRule(settings, before)}
				})
			atMost(t, "healthy releases that failed", result.RolledBack, n, bound)
		})
	}
}

func TestADoublingPassesNoMoreOftenThanBeta(t *testing.T) {
	n, settings := runs(t), judge.Default()
	for name, s := range map[string]simulate.Service{
		"rare errors":     {Requests: 100, Rate: 0.001},
		"many errors":     {Requests: 100, Rate: 0.05},
		"errors in pairs": {Requests: 100, Rate: 0.01, Burst: 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := halfAnHour(steps)
			r.Ratio = 2
			result := simulate.Run(rand.New(rand.NewPCG(7, 2)), s, r, n,
				func(before []simulate.Halves) simulate.Rule { return simulate.NewSequentialRule(settings, before) })
			atMost(t, "doublings that passed", result.Promoted, n, settings.Beta)
		})
	}
}

// TestBadReleasesAreFoundInTime holds the judge to a fifth more than the delays that a judge which
// looks once a minute and knows that events are independent has, and to a fifth less than what that finds within half an hour.
func TestBadReleasesAreFoundInTime(t *testing.T) {
	want := map[string]struct {
		found float64
		after time.Duration
	}{
		"twice, 100, 0.1 %":                     {0.40, 18 * time.Minute},
		"5 times, 100, 0.1 %":                   {0.98, 3 * time.Minute},
		"5 times, 10, 0.1 %":                    {0.47, 16 * time.Minute},
		"20 times, 10, 0.1 %":                   {0.98, 4 * time.Minute},
		"twice, 1000, 0.1 %":                    {0.95, 4 * time.Minute},
		"half of the requests fail, 100, 0.1 %": {1, time.Minute},
	}
	n := runs(t)
	if n == 100 {
		want = map[string]struct {
			found float64
			after time.Duration
		}{"5 times, 100, 0.1 %": want["5 times, 100, 0.1 %"], "20 times, 10, 0.1 %": want["20 times, 10, 0.1 %"]}
	}
	for _, s := range simulate.Scenarios(window) {
		w, tried := want[s.Name]
		if !tried {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			result := simulate.Run(rand.New(rand.NewPCG(7, 3)), s.Service, s.Release, n,
				func(before []simulate.Halves) simulate.Rule {
					return simulate.NewSequentialRule(judge.Default(), before)
				})
			t.Logf("found %.1f %% after %s", 100*result.RolledBackRate(), result.RolledBackAfter)
			if result.RolledBackRate() < w.found {
				t.Errorf("%.1f %% were found, want %.0f %%", 100*result.RolledBackRate(), 100*w.found)
			}
			if limit := w.after * 6 / 5; result.RolledBackAfter > limit {
				t.Errorf("found after %s, want at most %s", result.RolledBackAfter, limit)
			}
		})
	}
}

// TestARegressionThatIsToleratedFailsNoMoreOftenThanAlpha is about the end of what is tolerated, where
// false alarms are most frequent.
func TestARegressionThatIsToleratedFailsNoMoreOftenThanAlpha(t *testing.T) {
	n, settings := runs(t), judge.Default()
	settings.Tolerated, settings.Alpha = 1.25, 0.05
	for name, rate := range map[string]float64{"rare errors": 0.001, "many errors": 0.05, "most requests fail": 0.6} {
		t.Run(name, func(t *testing.T) {
			r := simulate.ReleaseModel{Ratio: settings.Tolerated, Share: steps, Window: window, Windows: 60}
			result := simulate.Run(rand.New(rand.NewPCG(7, 7)), simulate.Service{Requests: 20, Rate: rate}, r, n,
				func(before []simulate.Halves) simulate.Rule {
					return onlyFailing{simulate.NewSequentialRule(settings, before)}
				})
			atMost(t, "tolerated releases that failed", result.RolledBack, n, settings.Alpha)
		})
	}
}

// TestTheOtherRulesDoWhatTheyAreKnownFor holds the rules that the judge is compared with to how often they
// roll back, so that none of them is beaten by a caricature of it.
func TestTheOtherRulesDoWhatTheyAreKnownFor(t *testing.T) {
	type rates struct{ flagger, argo, kayenta [2]float64 } // at least, and at most
	never, always := [2]float64{0, 0.03}, [2]float64{0.97, 1}
	want := map[string]rates{
		"same, 100, 0.1 %": {never, never, never},
		"same, 100, 2 %":   {always, always, never},
		"same, 100, shared outage of 10 % for 7 minutes": {always, always, never},
		"5 times, 100, 0.1 %":                            {never, [2]float64{0, 0.1}, always},
		"half of the requests fail, 100, 0.1 %":          {always, always, always},
	}
	n := min(runs(t), 500)
	for _, s := range simulate.Scenarios(window) {
		w, tried := want[s.Name]
		if !tried {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			row := s.Play(func() bool { return false }, rand.New(rand.NewPCG(7, 8)), judge.Default(), n)
			for rule, is := range map[string]struct {
				result simulate.Result
				want   [2]float64
			}{"Flagger": {row.Flagger, w.flagger}, "Argo Rollouts": {row.Argo, w.argo}, "Kayenta": {row.Kayenta, w.kayenta}} {
				if got := is.result.RolledBackRate(); got < is.want[0] || got > is.want[1] {
					t.Errorf("%s rolls %.1f %% back, want between %.0f and %.0f %%", rule, 100*got, 100*is.want[0], 100*is.want[1])
				}
			}
		})
	}
}

// slow draws how many of n requests last longer than each bound, if the logarithm of
// their duration is normal around that of median.
func slow(random *rand.Rand, n int, median float64, bounds []float64) []judge.Count {
	counts := make([]judge.Count, len(bounds))
	for i := range counts {
		counts[i].Exposure = float64(n)
	}
	for range n {
		lasts := median * math.Exp(0.6*random.NormFloat64())
		for i := range bounds {
			if lasts > bounds[i] {
				counts[i].Events++
			}
		}
	}
	return counts
}

func TestLatency(t *testing.T) {
	bounds, names := []float64{0.05, 0.1, 0.25, 0.5, 1}, []string{"50ms", "100ms", "250ms", "500ms", "1s"}
	n, settings := runs(t), judge.Default()
	play := func(random *rand.Rand, slower float64, windows int) (failed bool, after time.Duration) {
		series := settings.NewSeries("latency", judge.Latency, names...)
		series.PassBound = 3
		for at := range windows {
			canary, primary := slow(random, 100, 0.1*slower, bounds), slow(random, 900, 0.1, bounds)
			windows := make([]judge.Window, len(bounds))
			for i := range windows {
				windows[i] = judge.Window{Canary: canary[i], Primary: primary[i]}
			}
			var err error
			if series, err = series.Add(1, windows...); err != nil {
				t.Fatal(err)
			}
			if settings.Outcome(judge.SequentialTest{Series: []judge.Series{series}, Split: judge.NewSplit()}) == judge.Fail {
				return true, time.Duration(at+1) * window
			}
		}
		return false, 0
	}
	random, failed := rand.New(rand.NewPCG(7, 4)), 0
	for range n {
		if wrong, _ := play(random, 1, 60); wrong {
			failed++
		}
	}
	atMost(t, "releases as fast as before that failed", failed, n, settings.Alpha)
	var delays []time.Duration
	tried := n / 10
	for range tried {
		if found, after := play(random, 1.2, 60); found {
			delays = append(delays, after)
		}
	}
	slices.Sort(delays)
	if len(delays) < tried*9/10 || delays[len(delays)/2] > 144*time.Second {
		t.Errorf("%d of %d releases that are a fifth slower were found, want nine in ten within 2m24s: %v", len(delays), tried, delays)
		return
	}
	t.Logf("found %d of %d releases that are a fifth slower, half of them within %s", len(delays), tried, delays[len(delays)/2])
}

func TestThroughput(t *testing.T) {
	n, settings := runs(t), judge.Default()
	play := func(random *rand.Rand, part float64) bool {
		series, split := settings.NewSeries("throughput", judge.Throughput), judge.NewSplit()
		for at := range 60 {
			share := steps(at)
			load := 30 + 20*math.Sin(float64(at)/10) // requests in a window: the same busy hour for both
			w := judge.Window{
				Canary:  judge.Count{Events: float64(simulate.Poisson(random, load*share*part)), Exposure: share * window.Seconds()},
				Primary: judge.Count{Events: float64(simulate.Poisson(random, load*(1-share))), Exposure: (1 - share) * window.Seconds()},
			}
			var err error
			if series, err = series.Add(1, w); err != nil {
				t.Fatal(err)
			}
			if split, err = split.Add(w, 1); err != nil {
				t.Fatal(err)
			}
			if settings.Outcome(judge.SequentialTest{Series: []judge.Series{series}, Split: split}) == judge.Fail {
				return true
			}
		}
		return false
	}
	random, wrong, found := rand.New(rand.NewPCG(7, 5)), 0, 0
	for range n {
		if play(random, 1) {
			wrong++
		}
		if play(random, 0.5) {
			found++
		}
	}
	atMost(t, "releases with as many requests that failed", wrong, n, settings.Alpha)
	if float64(found) < 0.95*float64(n) {
		t.Errorf("%d of %d releases that lost half of the requests were found", found, n)
	}
}

func TestATrafficSplitThatIsAsToldIsNoMismatch(t *testing.T) {
	n := runs(t)
	for name, tc := range map[string]struct {
		got   float64 // share of the requests
		weigh float64
		most  float64
		least float64
	}{
		"as told":                  {0.1, 0.1, 0.002, 0},
		"a fifth more than told":   {0.12, 0.1, 1, 0.9},
		"half of what was told":    {0.05, 0.1, 1, 0.9},
		"a twentieth off, as told": {0.105, 0.1, 0.002, 0},
	} {
		t.Run(name, func(t *testing.T) {
			random, differs := rand.New(rand.NewPCG(7, 6)), 0
			for range n {
				split := judge.NewSplit()
				for range 60 {
					x := float64(simulate.Binomial(random, 1000, tc.got))
					w := judge.Window{Canary: judge.Count{Events: x, Exposure: 10 * tc.weigh},
						Primary: judge.Count{Events: 1000 - x, Exposure: 10 * (1 - tc.weigh)}}
					var err error
					if split, err = split.Add(w, 1); err != nil {
						t.Fatal(err)
					}
					if _, mismatch := split.Mismatch(); mismatch {
						differs++
						break
					}
				}
			}
			atMost(t, "mismatches", differs, n, tc.most)
			if float64(differs) < tc.least*float64(n) {
				t.Errorf("%d of %d were found", differs, n)
			}
		})
	}
}
