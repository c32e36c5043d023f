// SPDX-License-Identifier: Apache-2.0

package counter_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

func TestRemarksAsPeopleReadThem(t *testing.T) {
	for want, r := range map[string]counter.Remark{
		"web-1 of the canary has not been scraped for minutes and counts for nothing": {
			Arm: counter.Canary, Pod: "web-1", Instance: "10.0.0.1:80", Reason: counter.Stale},
		"10.0.0.1:80 of the primary is new, and counts from the next window on": {
			Arm: counter.Primary, Instance: "10.0.0.1:80", Reason: counter.New},
	} {
		if got := r.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestProcessesWithMoreErrorsThanRequestsAreNamed(t *testing.T) {
	unnamed := pod(counter.Primary, "", 5, 6)
	for name, tc := range map[string]struct {
		reading counter.Reading
		want    map[string]string
	}{
		"errors among the requests": {read(0, pod(counter.Canary, "c", 10, 10), pod(counter.Primary, "p", 0, 0)), map[string]string{}},
		"sums that were rounded":    {read(0, pod(counter.Canary, "c", 1e12, 1e12+1)), map[string]string{}},
		"more errors than requests of one": {read(0, pod(counter.Canary, "c", 10, 11), pod(counter.Primary, "p", 10, 9)), map[string]string{
			"c of the canary": "c of the canary has 11 errors and 10 requests: errors have to be among the requests"}},
		"more of one without the name of a pod": {read(0, unnamed), map[string]string{
			":80 of the primary": ":80 of the primary has 6 errors and 5 requests: errors have to be among the requests"}},
	} {
		found, err := tc.reading.Excess()
		if err != nil {
			t.Error(name, err)
		}
		got := map[string]string{}
		for process, why := range found {
			got[process] = why.Error()
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A histogram that gained a bound, as sparse ones do, was said to have had no request below it: all were slower than that.
func TestABoundThatWasNotThereIsNotCompared(t *testing.T) {
	const c, p = counter.Canary, counter.Primary
	grew := func(arm counter.Arm, name string) [2][]counter.Sample {
		return [2][]counter.Sample{
			timed(pod(arm, name, 900, 0), 900, map[float64]float64{0.1: 800}),
			timed(pod(arm, name, 990, 0), 990, map[float64]float64{0.1: 880, 0.5: 985}),
		}
	}
	canary, primary := grew(c, "c"), grew(p, "p")
	got, err := counter.Between(read(0, canary[0], primary[0]), read(10, canary[1], primary[1]), counter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{0.1}, got.Bounds); diff != "" {
		t.Errorf("bounds: %s", diff)
	}
	if diff := cmp.Diff(counter.Counts{Requests: 90, Timed: 90, Slower: []float64{10}}, got.Canary); diff != "" {
		t.Errorf("canary: %s", diff)
	}
}

// Of some servers only a few processes have a histogram, such as those that had a request.
func TestAProcessWithoutHistogramLeavesTheBoundsOfOthers(t *testing.T) {
	const c, p = counter.Canary, counter.Primary
	buckets := func(fast float64) map[float64]float64 { return map[float64]float64{0.1: fast} }
	before := read(0, pod(c, "c", 100, 0), timed(pod(p, "p", 900, 0), 900, buckets(800)), pod(p, "q", 0, 0))
	after := read(10, pod(c, "c", 110, 0), timed(pod(p, "p", 990, 0), 990, buckets(880)), pod(p, "q", 0, 0))
	for name, wanted := range map[string][]float64{"without wish": nil, "as wanted": {0.1}} {
		got, err := counter.Between(before, after, counter.Options{Bounds: wanted})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(counter.Counts{Requests: 90, Timed: 90, Slower: []float64{10}}, got.Primary); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(got.Told) > 0 || got.Canary.Timed != 0 || len(got.Halves[0].Slower) != 1 {
			t.Errorf("%s: the canary has %+v, with remarks %v", name, got.Canary, got.Told)
		}
	}
}

// Pods that were made one after the other are often one after the other by name, too.
func TestHalvesAreNoNeighbours(t *testing.T) {
	var before, after [][]counter.Sample
	for i, name := range []string{"web-0", "web-1", "web-2", "web-3", "web-4", "web-5", "web-6", "web-7", "web-8", "web-9"} {
		before = append(before, pod(counter.Primary, name, 100, 0))
		after = append(after, pod(counter.Primary, name, 110, float64(1-i%2))) // those of every other node fail
	}
	got, err := counter.Between(read(0, before...), read(10, after...), counter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Halves[0].Errors == 0 || got.Halves[1].Errors == 0 {
		t.Errorf("the halves have %v and %v errors", got.Halves[0].Errors, got.Halves[1].Errors)
	}
	if none := got.WithoutHalves(); none.Halves[0].Requests != 0 || none.Halves[1].Requests != 0 || none.Primary.Requests != 100 {
		t.Errorf("without halves: %+v", none)
	}
}
