// SPDX-License-Identifier: Apache-2.0

package counter_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// at is a moment, in seconds after noon.
func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// pod has the counters of a process of an arm.
func pod(arm counter.Arm, name string, requests, errors float64) []counter.Sample {
	return []counter.Sample{
		{Arm: arm, Pod: name, Instance: name + ":80", Class: counter.Requests, Value: requests},
		{Arm: arm, Pod: name, Instance: name + ":80", Class: counter.Errors, Value: errors},
	}
}

// timed adds a histogram to the counters of a process: requests that took no longer than each
// bound, and all of them.
func timed(samples []counter.Sample, all float64, buckets map[float64]float64) []counter.Sample {
	s := samples[0]
	s.Class, s.Value = counter.Timed, all
	samples = append(samples, s)
	for bound, value := range buckets {
		s.Class, s.Over, s.Value = counter.Bucket, bound, value
		samples = append(samples, s)
	}
	return samples
}

// scraped says when the samples are of.
func scraped(when time.Time, samples []counter.Sample) []counter.Sample {
	for i := range samples {
		samples[i].Scraped = when
	}
	return samples
}

// read is a reading, in seconds after noon.
func read(seconds float64, processes ...[]counter.Sample) counter.Reading {
	r := counter.Reading{At: at(seconds)}
	for _, p := range processes {
		r.Samples = append(r.Samples, p...)
	}
	return r
}

func TestIncrements(t *testing.T) {
	const c, p = counter.Canary, counter.Primary
	for name, tc := range map[string]struct {
		before, after counter.Reading
		options       counter.Options
		canary        [2]float64 // requests, errors
		primary       [2]float64
		want          []counter.Remark
		missing       []counter.Arm
	}{
		"counts what was added": {
			before: read(0, pod(c, "c", 100, 1), pod(p, "p", 900, 2)), after: read(10, pod(c, "c", 110, 3), pod(p, "p", 990, 2)),
			canary: [2]float64{10, 2}, primary: [2]float64{90, 0},
		},
		"nothing happened": {
			before: read(0, pod(c, "c", 100, 1), pod(p, "p", 900, 2)), after: read(10, pod(c, "c", 100, 1), pod(p, "p", 900, 2)),
		},
		"a process that is lower began at 0": {
			before: read(0, pod(c, "c", 100, 1), pod(p, "p", 900, 2)), after: read(10, pod(c, "c", 7, 4), pod(p, "p", 990, 2)),
			canary: [2]float64{7, 4}, primary: [2]float64{90, 0},
			want: []counter.Remark{{Arm: c, Pod: "c", Instance: "c:80", Reason: counter.Reset}},
		},
		"a reset takes counters along that are higher by now": {
			before: read(0, pod(c, "c", 100, 1), pod(p, "p", 900, 2)), after: read(10, pod(c, "c", 50, 20), pod(p, "p", 990, 2)),
			canary: [2]float64{50, 20}, primary: [2]float64{90, 0},
			want: []counter.Remark{{Arm: c, Pod: "c", Instance: "c:80", Reason: counter.Reset}},
		},
		"more errors than requests are a reset that overtook the requests": {
			before: read(0, pod(c, "c", 10, 0), pod(p, "p", 900, 2)), after: read(10, pod(c, "c", 12, 6), pod(p, "p", 990, 2)),
			primary: [2]float64{90, 0},
			want:    []counter.Remark{{Arm: c, Pod: "c", Instance: "c:80", Reason: counter.Excess}},
		},
		"so is a job that began before it was counted": {
			before: read(0, pod(c, "c", 0, 0), pod(p, "p", 900, 2)), after: read(10, pod(c, "c", 0, 1), pod(p, "p", 990, 2)),
			primary: [2]float64{90, 0},
			want:    []counter.Remark{{Arm: c, Pod: "c", Instance: "c:80", Reason: counter.Excess}},
		},
		"a sum that falls a little has lost a part, and its history is not counted again": {
			before: read(0, pod(c, "c", 100, 1), pod(p, "p", 90000, 200)), after: read(10, pod(c, "c", 110, 1), pod(p, "p", 89000, 190)),
			canary: [2]float64{10, 0},
			want:   []counter.Remark{{Arm: p, Pod: "p", Instance: "p:80", Reason: counter.Ambiguous}},
		},
		"a pod of unknown age waits for a window": {
			before: read(0, pod(c, "c", 100, 1), pod(p, "p", 900, 2)),
			after:  read(10, pod(c, "c", 110, 1), pod(c, "c2", 5000, 40), pod(p, "p", 990, 2)),
			canary: [2]float64{10, 0}, primary: [2]float64{90, 0},
			want: []counter.Remark{{Arm: c, Pod: "c2", Instance: "c2:80", Reason: counter.New}},
		},
		"a pod that is younger than the window counts from 0": {
			before:  read(0, pod(c, "c", 100, 1), pod(p, "p", 900, 2)),
			after:   read(10, pod(c, "c", 110, 1), pod(c, "c2", 50, 4), pod(p, "p", 990, 2)),
			options: counter.Options{Started: map[string]time.Time{"c2": at(1)}},
			canary:  [2]float64{60, 4}, primary: [2]float64{90, 0},
		},
		"a pod that is older than the window and was not scraped waits": {
			before:  read(0, pod(c, "c", 100, 1), pod(p, "p", 900, 2)),
			after:   read(10, pod(c, "c", 110, 1), pod(c, "c2", 50, 4), pod(p, "p", 990, 2)),
			options: counter.Options{Started: map[string]time.Time{"c2": at(-1)}},
			canary:  [2]float64{10, 0}, primary: [2]float64{90, 0},
			want: []counter.Remark{{Arm: c, Pod: "c2", Instance: "c2:80", Reason: counter.New}},
		},
		"the first request to a canary at a gateway that was there counts": {
			before: read(0, pod(p, "gateway", 900, 2)), after: read(10, pod(c, "gateway", 3, 1), pod(p, "gateway", 990, 2)),
			canary: [2]float64{3, 1}, primary: [2]float64{90, 0},
		},
		"a pod that changes its arm waits": {
			before: read(0, pod(p, "s-0", 900, 2), pod(p, "s-1", 900, 2)), after: read(10, pod(p, "s-0", 990, 2), pod(c, "s-1", 950, 2)),
			primary: [2]float64{90, 0},
			want: []counter.Remark{
				{Arm: p, Pod: "s-1", Instance: "s-1:80", Reason: counter.Vanished},
				{Arm: c, Pod: "s-1", Instance: "s-1:80", Reason: counter.New},
			},
		},
		"a pod that vanished counts for nothing": {
			before: read(0, pod(c, "c", 100, 1), pod(p, "p", 900, 2), pod(p, "q", 900, 2)),
			after:  read(10, pod(c, "c", 110, 1), pod(p, "p", 990, 2)),
			canary: [2]float64{10, 0}, primary: [2]float64{90, 0},
			want: []counter.Remark{{Arm: p, Pod: "q", Instance: "q:80", Reason: counter.Vanished}},
		},
		"a gateway that restarts begins again for both arms": {
			before: read(0, pod(c, "g", 100, 1), pod(p, "g", 900, 2)), after: read(10, pod(c, "g", 5, 1), pod(p, "g", 40, 0)),
			canary: [2]float64{5, 1}, primary: [2]float64{40, 0},
			want: []counter.Remark{
				{Arm: c, Pod: "g", Instance: "g:80", Reason: counter.Reset}, {Arm: p, Pod: "g", Instance: "g:80", Reason: counter.Reset},
			},
		},
		"a gateway that began again for one arm only is not guessed about": {
			before: read(0, pod(c, "g", 10, 1), pod(p, "g", 900, 2)), after: read(10, pod(c, "g", 15, 3), pod(p, "g", 40, 0)),
			want: []counter.Remark{
				{Arm: c, Pod: "g", Instance: "g:80", Reason: counter.Ambiguous}, {Arm: p, Pod: "g", Instance: "g:80", Reason: counter.Ambiguous},
			},
		},
		"no process of the canary": {
			before: read(0, pod(p, "p", 900, 2)), after: read(10, pod(p, "p", 990, 2)),
			primary: [2]float64{90, 0}, missing: []counter.Arm{c},
		},
		"nothing at all": {
			before: read(0), after: read(10), missing: []counter.Arm{c, p},
		},
		"a gateway that restarts before the canary had a request began again for both arms": {
			before: read(0, pod(c, "g", 0, 0), pod(p, "g", 900, 2)), after: read(10, pod(c, "g", 3, 1), pod(p, "g", 40, 0)),
			canary: [2]float64{3, 1}, primary: [2]float64{40, 0},
			want: []counter.Remark{
				{Arm: c, Pod: "g", Instance: "g:80", Reason: counter.Reset}, {Arm: p, Pod: "g", Instance: "g:80", Reason: counter.Reset},
			},
		},
		"a histogram that fell by less than half has lost a part, too": {
			before: read(0, pod(c, "c", 100, 1), timed(pod(p, "p", 100, 1), 100, nil)),
			after:  read(10, pod(c, "c", 110, 1), timed(pod(p, "p", 40, 1), 60, nil)),
			canary: [2]float64{10, 0},
			want:   []counter.Remark{{Arm: p, Pod: "p", Instance: "p:80", Reason: counter.Ambiguous}},
		},
		"what interpolation rounds is no reset": {
			before: read(0, pod(c, "c", 100, 1), pod(p, "p", 1e9, 2)), after: read(10, pod(c, "c", 110, 1), pod(p, "p", 1e9-0.5, 2)),
			canary: [2]float64{10, 0},
		},
		"a process that was scraped three minutes ago is not stale": {
			before: read(0, pod(c, "c", 100, 1), scraped(at(-170), pod(p, "p", 900, 2))),
			after:  read(10, pod(c, "c", 110, 1), scraped(at(-170), pod(p, "p", 900, 2))),
			canary: [2]float64{10, 0},
		},
		"a process that is no longer scraped is stale, and its arm missing": {
			before: read(0, pod(c, "c", 100, 1), scraped(at(-290), pod(p, "p", 900, 2))),
			after:  read(10, pod(c, "c", 110, 1), scraped(at(-290), pod(p, "p", 900, 2))),
			canary: [2]float64{10, 0}, missing: []counter.Arm{p},
			want: []counter.Remark{{Arm: p, Pod: "p", Instance: "p:80", Reason: counter.Stale}},
		},
		"a process that is scraped rarely is not stale if it may be so": {
			before:  read(0, pod(c, "c", 100, 1), scraped(at(-290), pod(p, "p", 900, 2))),
			after:   read(10, pod(c, "c", 110, 1), scraped(at(-290), pod(p, "p", 900, 2))),
			options: counter.Options{Stale: time.Hour},
			canary:  [2]float64{10, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := counter.Between(tc.before, tc.after, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			if got.From != tc.before.At || got.To != tc.after.At {
				t.Errorf("the window is from %s to %s", got.From, got.To)
			}
			if counted := [2]float64{got.Canary.Requests, got.Canary.Errors}; counted != tc.canary {
				t.Errorf("the canary has %v, want %v", counted, tc.canary)
			}
			if counted := [2]float64{got.Primary.Requests, got.Primary.Errors}; counted != tc.primary {
				t.Errorf("the primary has %v, want %v", counted, tc.primary)
			}
			if diff := cmp.Diff(tc.want, got.Told); diff != "" {
				t.Errorf("remarks: %s", diff)
			}
			if diff := cmp.Diff(tc.missing, got.Missing); diff != "" {
				t.Errorf("missing arms: %s", diff)
			}
		})
	}
}

func TestImpossibleReadings(t *testing.T) {
	good := read(0, pod(counter.Canary, "c", 1, 0), pod(counter.Primary, "p", 1, 0))
	odd := func(change func(*counter.Sample)) counter.Reading {
		r := read(10, pod(counter.Canary, "c", 2, 0), pod(counter.Primary, "p", 2, 0))
		change(&r.Samples[0])
		return r
	}
	for name, tc := range map[string]struct {
		after counter.Reading
		want  string
	}{
		"equal times":           {read(0, good.Samples), "not earlier"},
		"out of order":          {read(-1, good.Samples), "not earlier"},
		"the same twice":        {read(10, pod(counter.Canary, "c", 1, 0), pod(counter.Canary, "c", 1, 0)), "there twice"},
		"no number":             {odd(func(s *counter.Sample) { s.Value = math.NaN() }), "is NaN"},
		"infinite":              {odd(func(s *counter.Sample) { s.Value = math.Inf(1) }), "is +Inf"},
		"more than anybody has": {odd(func(s *counter.Sample) { s.Value = 1e300 }), "is 1e+300"},
		"less than nothing":     {odd(func(s *counter.Sample) { s.Value = -1 }), "is -1"},
		"an unknown arm":        {odd(func(s *counter.Sample) { s.Arm = "third" }), `"third" is neither`},
		"an unknown class":      {odd(func(s *counter.Sample) { s.Class = "gauge" }), `"gauge" is no class`},
		"a bucket without ends": {odd(func(s *counter.Sample) { s.Class, s.Over = counter.Bucket, math.Inf(1) }), "bound +Inf"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := counter.Between(good, tc.after, counter.Options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			if tc.after.Check() == nil {
				return // it is their order that is wrong
			}
			next := read(20, good.Samples)
			if _, err := counter.Between(tc.after, next, counter.Options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("at the beginning got %v, want an error with %q", err, tc.want)
			}
			if _, err := tc.after.Excess(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("asked for an excess, got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestHistogramsAreComparedAtTheBoundsThatAllHave(t *testing.T) {
	const c, p = counter.Canary, counter.Primary
	before := read(0,
		timed(pod(c, "c", 100, 0), 100, map[float64]float64{0.1: 90, 0.2: 95, 0.5: 99}),
		timed(pod(p, "p", 900, 0), 900, map[float64]float64{0.1: 800, 0.25: 850, 0.5: 890}))
	after := read(10,
		timed(pod(c, "c", 110, 0), 108, map[float64]float64{0.1: 93, 0.2: 100, 0.5: 107}),
		timed(pod(p, "p", 990, 0), 990, map[float64]float64{0.1: 880, 0.25: 930, 0.5: 979}))
	for name, tc := range map[string]struct {
		wanted          []float64
		bounds          []float64
		canary, primary counter.Counts
		told            []counter.Remark
	}{
		"without wish": {
			bounds:  []float64{0.1, 0.5},
			canary:  counter.Counts{Requests: 10, Timed: 8, Slower: []float64{5, 0}},
			primary: counter.Counts{Requests: 90, Timed: 90, Slower: []float64{10, 1}},
		},
		"as wanted": {
			wanted: []float64{0.5}, bounds: []float64{0.5},
			canary:  counter.Counts{Requests: 10, Timed: 8, Slower: []float64{0}},
			primary: counter.Counts{Requests: 90, Timed: 90, Slower: []float64{1}},
		},
		"a release that changed its histogram has none of the wanted bounds": {
			wanted: []float64{0.1, 0.25}, bounds: []float64{0.1, 0.25},
			canary:  counter.Counts{Requests: 10, Slower: []float64{0, 0}},
			primary: counter.Counts{Requests: 90, Timed: 90, Slower: []float64{10, 10}},
			told:    []counter.Remark{{Arm: c, Pod: "c", Instance: "c:80", Reason: counter.Unlike}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := counter.Between(before, after, counter.Options{Bounds: tc.wanted})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.bounds, got.Bounds); diff != "" {
				t.Errorf("bounds: %s", diff)
			}
			if diff := cmp.Diff(tc.canary, got.Canary); diff != "" {
				t.Errorf("canary: %s", diff)
			}
			if diff := cmp.Diff(tc.primary, got.Primary); diff != "" {
				t.Errorf("primary: %s", diff)
			}
			if diff := cmp.Diff(tc.told, got.Told); diff != "" {
				t.Errorf("remarks: %s", diff)
			}
		})
	}
}

// A server that begins to keep histograms, or to show them, has all that pods ever counted.
func TestAHistogramThatNobodyReadBeforeCountsFromTheNextWindowOn(t *testing.T) {
	bare := func(requests float64) []counter.Sample { return pod(counter.Primary, "p", requests, 1) }
	full := func(requests, fast float64) []counter.Sample {
		return timed(bare(requests), requests, map[float64]float64{0.1: fast})
	}
	for name, tc := range map[string]struct {
		before, after []counter.Sample
		want          counter.Counts
	}{
		"after requests": {bare(900), full(990, 700), counter.Counts{Requests: 90, Slower: []float64{0}}},
		"then":           {full(990, 700), full(1000, 705), counter.Counts{Requests: 10, Timed: 10, Slower: []float64{5}}},
		"with the first": {pod(counter.Primary, "p", 0, 0), full(10, 4),
			counter.Counts{Requests: 10, Errors: 1, Timed: 10, Slower: []float64{6}}},
	} {
		got, err := counter.Between(read(0, tc.before), read(10, tc.after), counter.Options{})
		if diff := cmp.Diff(tc.want, got.Primary); err != nil || diff != "" {
			t.Error(name, err, diff)
		}
	}
}

// The evidence about more of them would not fit into a status, and a restart would lose it.
func TestAHistogramOfManyBoundsIsComparedAtSome(t *testing.T) {
	fine := map[float64]float64{}
	for i := range 400 {
		fine[float64(1+i)] = float64(i)
	}
	many := timed(pod(counter.Primary, "p", 900, 0), 900, fine)
	got, err := counter.Between(read(0, many), read(10, many), counter.Options{})
	if err != nil || len(got.Bounds) != 64 || got.Bounds[0] != 1 || got.Bounds[63] != 400 || !slices.IsSorted(got.Bounds) {
		t.Error(err, got.Bounds)
	}
	again, err := counter.Between(read(10, many), read(20, many), counter.Options{Bounds: got.Bounds})
	if diff := cmp.Diff(got.Bounds, again.Bounds); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestAWindowWithoutRequestsHasBounds(t *testing.T) {
	idle := timed(pod(counter.Primary, "p", 900, 0), 900, map[float64]float64{0.1: 800, 0.5: 890})
	got, err := counter.Between(read(0, idle), read(10, idle), counter.Options{})
	if diff := cmp.Diff([]float64{0.1, 0.5}, got.Bounds); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestHalvesOfThePrimary(t *testing.T) {
	var before, after [][]counter.Sample
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		before, after = append(before, pod(counter.Primary, name, 100, 1)), append(after, pod(counter.Primary, name, 110, 2))
	}
	got, err := counter.Between(read(0, before...), read(10, after...), counter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if two, err := counter.Between(read(0, before[:2]...), read(10, after[:2]...), counter.Options{}); err != nil ||
		two.Halves[0].Requests != 10 || two.Halves[1].Requests != 10 {
		t.Errorf("two processes have the halves %+v, %v", two.Halves, err)
	}
	if got.Halves[0].Requests != 30 || got.Halves[1].Requests != 20 || got.Halves[0].Errors+got.Halves[1].Errors != got.Primary.Errors {
		t.Errorf("the halves are %+v", got.Halves)
	}
	one, err := counter.Between(read(0, before[0]), read(10, after[0]), counter.Options{})
	if err != nil || one.Halves[0].Requests+one.Halves[1].Requests != 0 {
		t.Errorf("a single process has the halves %+v, %v", one.Halves, err)
	}
}

// While the primary is rolled out, its old pod and its new one were taken for halves that differ by chance: what
// the one failed and the other did not was read as failures that come in bursts, and no release was decided for long.
func TestARolloutOfThePrimaryHasNoHalves(t *testing.T) {
	steady := pod(counter.Primary, "a", 100, 1)
	later := pod(counter.Primary, "a", 110, 2)
	started := counter.Options{Started: map[string]time.Time{"b": read(5).At}}
	for name, ends := range map[string][2]counter.Reading{
		"one begins": {read(0, steady), read(10, later, pod(counter.Primary, "b", 10, 9))},
		"one ends": {read(0, steady, pod(counter.Primary, "b", 10, 9), pod(counter.Primary, "c", 10, 9)),
			read(10, later, pod(counter.Primary, "b", 20, 18))},
	} {
		got, err := counter.Between(ends[0], ends[1], started)
		if err != nil || got.Primary.Requests < 20 || got.Halves[0].Requests+got.Halves[1].Requests != 0 {
			t.Errorf("%s: the halves of %+v are %+v, %v", name, got.Primary, got.Halves, err)
		}
	}
}

func TestRemarksAreBounded(t *testing.T) {
	after := read(10)
	for i := range 50 {
		after.Samples = append(after.Samples, pod(counter.Canary, strings.Repeat("c", i+1), 1, 0)...)
	}
	got, err := counter.Between(read(0), after, counter.Options{})
	if err != nil || len(got.Told) != 20 || got.Untold != 30 {
		t.Errorf("%d remarks and %d more, %v", len(got.Told), got.Untold, err)
	}
	for i, r := range got.Told {
		if r.Pod != strings.Repeat("c", i+1) {
			t.Errorf("remark %d is about %q: they are in another order each time", i, r.Pod)
		}
	}
}
