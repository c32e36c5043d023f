// SPDX-License-Identifier: Apache-2.0

package counters

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/test/harness"
)

// begun has three pods that both a server and a release know.
func begun(t *testing.T, p *harness.Playground, f form) (*pods, *release) {
	t.Helper()
	s := newPods(t, p, f)
	for i, name := range []string{canaryPod, primaryOne, primaryTwo} {
		s.start(t, name).answer(1000*(i+1), 10, 7) // what was before the release
	}
	r := &release{read: s.reader(t, p)}
	r.until(t, "a window with all pods", func() bool {
		if len(r.windows) == 0 {
			return false
		}
		last := r.windows[len(r.windows)-1]
		return len(last.Missing) == 0 && len(last.Told) == 0 && len(last.Bounds) > 0
	})
	r.sum = counter.Increments{}
	return s, r
}

func TestWhatHappenedIsCountedOnceByEitherHistogram(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]form{"classic": {}, "native": {native: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.Require(t)
			s, r := begun(t, p, f)
			bound := 0.25
			at := slices.Index(r.windows[len(r.windows)-1].Bounds, bound)
			if at < 0 {
				t.Fatalf("the bounds are %v", r.windows[len(r.windows)-1].Bounds)
			}
			for range 3 {
				s.all[canaryPod].answer(20, 4, 3)
				s.all[primaryOne].answer(200, 5, 1)
				s.all[primaryTwo].answer(100, 6, 2)
				r.until(t, "some of the requests", func() bool { return r.sum.Canary.Requests > 0 })
			}
			r.until(t, "all requests", func() bool { return r.sum.Canary.Requests > 80.9 && r.sum.Primary.Requests > 941.9 })
			near := cmpopts.EquateApprox(0, 1e-6)
			if diff := cmp.Diff(want(81, 9, 12), counts(r.sum.Canary, at), near); diff != "" {
				t.Errorf("canary: %s", diff)
			}
			if diff := cmp.Diff(want(942, 9, 33), counts(r.sum.Primary, at), near); diff != "" {
				t.Errorf("primary: %s", diff)
			}
			if h := r.sum.Halves; h[0].Requests+h[1].Requests < 941.9 || h[0].Requests*h[1].Requests == 0 {
				t.Errorf("halves: %+v", h)
			}
		})
	}
}

func want(requests, errors, slow float64) [4]float64 {
	return [4]float64{requests, errors, requests, slow}
}

func counts(c counter.Counts, bound int) [4]float64 {
	return [4]float64{c.Requests, c.Errors, c.Timed, c.Slower[bound]}
}

func TestPodsThatRestartComeAndGo(t *testing.T) {
	t.Parallel()
	p := harness.Require(t)
	s, r := begun(t, p, form{})

	s.all[canaryPod].begin(form{})
	s.all[canaryPod].answer(30, 0, 5)
	r.until(t, "the requests since the restart", func() bool { return r.sum.Canary.Requests >= 35-1e-6 })
	if r.sum.Canary.Requests > 35+1e-6 || r.sum.Canary.Errors > 5+1e-6 || !r.told(canaryPod, counter.Reset) {
		t.Errorf("after a restart: %+v", r.sum)
	}

	const newcomer = "app-5d4c8f7b9-ccccc"
	s.start(t, newcomer).answer(5000, 0, 400) // before anybody saw it
	r.until(t, "the new pod", func() bool { return r.told(newcomer, counter.New) })
	s.all[newcomer].answer(40, 0, 2)
	r.until(t, "its requests", func() bool { return r.sum.Canary.Requests >= 35+42-1e-6 })
	if r.sum.Canary.Requests > 35+42+1e-6 || r.sum.Canary.Errors > 7+1e-6 {
		t.Errorf("with a new pod: %+v", r.sum)
	}

	s.stop(t, primaryTwo)
	r.until(t, "the pod that is gone", func() bool { return r.told(primaryTwo, counter.Vanished) })
	s.all[primaryOne].answer(90, 0, 1)
	r.until(t, "the other's requests", func() bool { return r.sum.Primary.Requests >= 91-1e-6 })
	if r.sum.Primary.Requests > 91+1e-6 {
		t.Errorf("without a pod: %+v", r.sum)
	}

	s.stop(t, primaryOne)
	r.until(t, "an arm without pods", func() bool {
		return len(r.windows) > 0 && slices.Equal(r.windows[len(r.windows)-1].Missing, []counter.Arm{counter.Primary})
	})
}

// A controller that starts again reads the window that was begun from the server, at the same times.
func TestARestartOfTheControllerChangesNoWindow(t *testing.T) {
	t.Parallel()
	p := harness.Require(t)
	s, r := begun(t, p, form{})
	first := len(r.windows)
	for i := range 4 {
		s.all[canaryPod].answer(10, i, 1)
		s.all[primaryOne].answer(90, 1, i)
		r.until(t, "another window", func() bool { return len(r.windows) >= first+2*(i+1) })
	}
	kept := r.windows[first]
	again := counter.Cursor{}
	var windows []counter.Increments
	for _, at := range append([]time.Time{kept.To}, r.looks...) {
		if at.Before(kept.To) {
			continue
		}
		reading, err := r.read(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if !reading.At.After(again.Last()) {
			continue // the look that ended the window
		}
		next, window, ok, err := again.Add(reading, counter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if again = next; ok {
			windows = append(windows, window)
		}
	}
	if diff := cmp.Diff(r.windows[first+1:], windows); diff != "" || len(windows) < 5 {
		t.Errorf("after %d windows: %s", len(windows), diff)
	}
}

func TestACounterThatIsNoLongerScrapedIsStale(t *testing.T) {
	t.Parallel()
	p := harness.Require(t)
	s, r := begun(t, p, form{})
	r.options.Stale = 4 * time.Second
	const stuck = "app-primary-5d4c8f7b9-ccccc"
	s.start(t, stuck, func(o *pod) { o.exposeAt(time.Now, 5000) })
	r.until(t, "the new pod", func() bool { return r.told(stuck, counter.New) })
	frozen := time.Now()
	s.all[stuck].exposeAt(func() time.Time { return frozen }, 5000)
	r.until(t, "that it is stale", func() bool { return r.told(stuck, counter.Stale) })
	sum := r.sum.Canary.Requests
	s.all[canaryPod].answer(10, 0, 0)
	r.until(t, "requests beside it", func() bool { return r.sum.Canary.Requests >= sum+10-1e-6 })
}
