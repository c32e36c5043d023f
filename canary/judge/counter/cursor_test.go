// SPDX-License-Identifier: Apache-2.0

package counter_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// outage plays two pods of which 10 requests a second fail between two moments, and how a
// server that scrapes them every 15 s knows them, the canary's at 0, 15, ... and the primary's
// at 7, 22, ...
type outage struct{ begins, ends float64 }

func (o outage) read(seconds float64) counter.Reading {
	counters := func(arm counter.Arm, name string, offset, rate float64) []counter.Sample {
		scrape := offset + 15*math.Floor((seconds-offset)/15)
		failing := max(0, min(scrape, o.ends)-o.begins)
		return scraped(at(scrape), pod(arm, name, 1000+rate*scrape, rate*failing))
	}
	return read(seconds, counters(counter.Canary, "c", 0, 10), counters(counter.Primary, "p", 7, 90))
}

// windows adds the readings at some moments to a cursor.
func windows(t *testing.T, c counter.Cursor, read func(float64) counter.Reading, moments ...float64) []counter.Increments {
	t.Helper()
	var out []counter.Increments
	for _, moment := range moments {
		next, w, ok, err := c.Add(read(moment), counter.Options{})
		if err != nil {
			t.Fatalf("at %v: %v", moment, err)
		}
		if c = next; ok {
			out = append(out, w)
		}
	}
	return out
}

func looks(from, to, every float64) []float64 {
	var out []float64
	for s := from; s <= to; s += every {
		out = append(out, s)
	}
	return out
}

// The primary is scraped half an interval later than the canary. As it was, a window saw the
// outage in the canary alone.
func TestASharedOutageBeginsInBothArmsAtOnce(t *testing.T) {
	o := outage{begins: 128, ends: 548}
	raw, err := counter.Between(o.read(120), o.read(136), counter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if raw.Canary.Errors == 0 || raw.Primary.Errors != 0 {
		t.Fatalf("without alignment the canary has %v errors and the primary %v: this shows nothing", raw.Canary.Errors, raw.Primary.Errors)
	}
	var requests, errors, primary float64
	for _, w := range windows(t, counter.Cursor{}, o.read, looks(60, 700, 5)...) {
		requests, errors = requests+w.Canary.Requests, errors+w.Canary.Errors
		primary += w.Primary.Errors
		if errors > 0 && primary < 8.9*errors {
			t.Errorf("up to %s the canary has %.0f errors and the primary, with 9 times the requests, %.0f", w.To.Format("04:05"), errors, primary)
		}
	}
	if math.Abs(errors-10*420) > 1e-6 || math.Abs(requests-10*625) > 100 {
		t.Errorf("all windows together have %v requests and %v errors of the canary", requests, errors)
	}
}

func TestAWindowWaitsUntilEveryProcessWasScraped(t *testing.T) {
	var got []float64
	for _, w := range windows(t, counter.Cursor{}, outage{}.read, looks(0, 60, 1)...) {
		got = append(got, w.From.Sub(noon).Seconds(), w.To.Sub(noon).Seconds())
	}
	// The canary was scraped at 0, 15 and 30, and what the primary had counted by then is known at 7, 22 and 37.
	if diff := cmp.Diff([]float64{0, 15, 15, 30, 30, 45}, got); diff != "" {
		t.Error(diff)
	}
}

func TestProcessesThatAreScrapedTogetherNeedNoSecondLook(t *testing.T) {
	both := func(s float64) counter.Reading {
		return read(s, scraped(at(s), pod(counter.Canary, "c", 10*s, 0)), scraped(at(s-0.5), pod(counter.Primary, "p", 90*s, 0)))
	}
	gateways := func(s float64) counter.Reading {
		return read(s, scraped(at(s), pod(counter.Canary, "g", 10*s, 0)), scraped(at(s), pod(counter.Primary, "g", 90*s, 0)),
			scraped(at(s-7), pod(counter.Canary, "h", 10*s, 0)), scraped(at(s-7), pod(counter.Primary, "h", 90*s, 0)))
	}
	for name, server := range map[string]func(float64) counter.Reading{"at once": both, "gateways, which count both": gateways} {
		if got := windows(t, counter.Cursor{}, server, 10, 20, 30); len(got) != 2 || got[1].To != at(30) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestALookBetweenTwoScrapesMakesNoWindow(t *testing.T) {
	together := func(s float64) counter.Reading {
		scrape := 15 * math.Floor(s/15)
		return read(s, scraped(at(scrape), pod(counter.Canary, "c", 10*scrape, 0)), scraped(at(scrape), pod(counter.Primary, "p", 90*scrape, 0)))
	}
	var got []float64
	for _, w := range windows(t, counter.Cursor{}, together, looks(1, 50, 1)...) {
		got = append(got, w.From.Sub(noon).Seconds(), w.To.Sub(noon).Seconds(), w.Canary.Requests)
	}
	if diff := cmp.Diff([]float64{1, 15, 150, 15, 30, 150, 30, 45, 150}, got); diff != "" {
		t.Error(diff)
	}
	dead := func(s float64) counter.Reading { return together(min(s, 50)) }
	all := windows(t, counter.Cursor{}, func(s float64) counter.Reading { r := dead(s); r.At = at(s); return r }, looks(1, 400, 1)...)
	if last := all[len(all)-1]; !cmp.Equal(last.Missing, []counter.Arm{counter.Canary, counter.Primary}) || len(last.Told) != 2 {
		t.Errorf("when nobody is scraped any more, the last window is %+v", last)
	}
}

func TestARestartChangesNoWindow(t *testing.T) {
	o := outage{begins: 128, ends: 548}
	all := looks(60, 300, 5)
	want := windows(t, counter.Cursor{}, o.read, all...)
	for i, w := range want[:len(want)-1] {
		var rest []float64
		for _, moment := range all {
			if !at(moment).Before(w.To) {
				rest = append(rest, moment)
			}
		}
		if diff := cmp.Diff(want[i+1:], windows(t, counter.Cursor{}, o.read, rest...)); diff != "" {
			t.Errorf("after a restart at %s: %s", w.To, diff)
		}
	}
}

func TestAPodThatIsNoLongerScrapedDoesNotHoldUpTheOthers(t *testing.T) {
	server := func(s float64) counter.Reading {
		return read(s, scraped(at(s), pod(counter.Canary, "c", 10*s, 0)), scraped(at(s-6), pod(counter.Primary, "p", 90*s, 0)),
			scraped(at(0), pod(counter.Primary, "dead", 500, 0)))
	}
	got := windows(t, counter.Cursor{}, server, looks(0, 400, 10)...)
	if len(got) == 0 {
		t.Fatal("there is no window at all")
	}
	last := got[len(got)-1]
	if last.To.Before(at(380)) || last.Canary.Requests == 0 || last.Earliest() != last.From {
		t.Errorf("the last window is %+v", last)
	}
}

func TestACursorStaysWhereItIsOnAReadingThatIsWrong(t *testing.T) {
	server := outage{}.read
	c := counter.Cursor{}
	for _, s := range []float64{0, 15} {
		c, _, _, _ = c.Add(server(s), counter.Options{})
	}
	wrong := server(30)
	wrong.Samples[0].Value = math.NaN()
	for name, r := range map[string]counter.Reading{"no number": wrong, "equal times": server(15), "out of order": server(10)} {
		after, _, ok, err := c.Add(r, counter.Options{})
		if err == nil || ok {
			t.Errorf("%s: got %v, %v", name, ok, err)
		}
		if diff := cmp.Diff(windows(t, c, server, 30, 45), windows(t, after, server, 30, 45)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The counters of a template said that the canary got twice its share of the requests, as it was scraped just before
// the look and the primary just after it.
func TestArmsThatNobodySaysTheTimesOfAreNotComparedByTheirNumbers(t *testing.T) {
	pods := func(s float64) counter.Reading {
		return read(s, pod(counter.Canary, "c", 10*s, 0), pod(counter.Primary, "p", 90*s, 0))
	}
	dated := func(s float64) counter.Reading {
		return read(s, scraped(at(s), pod(counter.Canary, "c", 10*s, 0)), scraped(at(s), pod(counter.Primary, "p", 90*s, 0)))
	}
	gateway := func(s float64) counter.Reading {
		return read(s, pod(counter.Canary, "g", 10*s, 0), pod(counter.Primary, "g", 90*s, 0))
	}
	for name, tc := range map[string]struct {
		server func(float64) counter.Reading
		skewed bool
		since  time.Time
	}{
		"nobody says when a pod was scraped":     {pods, true, at(-50)},
		"somebody does":                          {dated, false, time.Time{}},
		"a gateway counts both arms at one time": {gateway, false, at(-50)},
	} {
		got := windows(t, counter.Cursor{}, tc.server, 10, 20)
		if len(got) != 1 || got[0].Skewed != tc.skewed || !got[0].Since.Equal(tc.since) || got[0].From != at(10) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A gateway that was scraped before a release began had yet to tell of the requests to the canary before that.
func TestAWindowKnowsHowOldItsCountersAre(t *testing.T) {
	gateways := func(s float64) counter.Reading {
		scrape := 30*math.Floor(s/30) - 1
		return read(s, scraped(at(scrape), pod(counter.Canary, "g", 10*scrape, 0)), scraped(at(scrape), pod(counter.Primary, "g", 90*scrape, 0)))
	}
	got := windows(t, counter.Cursor{}, gateways, looks(45, 75, 5)...)
	if len(got) != 1 || got[0].From != at(45) || got[0].To != at(60) || got[0].Earliest() != at(29) {
		t.Errorf("%+v", got)
	}
}

func TestCountersOfAnotherSourceBeginAnew(t *testing.T) {
	server := func(source string) func(float64) counter.Reading {
		return func(s float64) counter.Reading {
			r := read(s, scraped(at(s), pod(counter.Canary, "c", 10*s, 0)), scraped(at(s), pod(counter.Primary, "p", 90*s, 0)))
			r.Source = source
			return r
		}
	}
	c := counter.Cursor{}
	for i, s := range []float64{10, 20, 30, 40} {
		name := "a template"
		if s > 20 {
			name = "the same after an edit"
		}
		next, w, ok, err := c.Add(server(name)(s), counter.Options{})
		if err != nil || ok != (i == 1 || i == 3) || ok && w.Canary.Requests != 100 {
			t.Errorf("at %v: %v, %+v, %v", s, ok, w, err)
		}
		c = next
	}
}

func TestWhatACursorKnows(t *testing.T) {
	server := outage{}.read
	var c counter.Cursor
	if !c.From().IsZero() || !c.Last().IsZero() || !c.Knows("anybody") {
		t.Error("a cursor at the beginning is somewhere already")
	}
	for _, s := range []float64{0, 15, 31} {
		c, _, _, _ = c.Add(server(s), counter.Options{})
	}
	if c.From() != at(15) || c.Last() != at(31) {
		t.Errorf("the next window begins at %s, after a reading at %s", c.From(), c.Last())
	}
	if !c.Knows("c") || !c.Knows("p") || c.Knows("another") {
		t.Error("it does not know its pods, or another one")
	}
}

func TestWhereAWindowEnds(t *testing.T) {
	const c, p = counter.Canary, counter.Primary
	every := func(seconds, offset, s float64) time.Time { return at(offset + seconds*math.Floor((s-offset)/seconds)) }
	counts := func(arm counter.Arm, name string, scrape time.Time) []counter.Sample {
		return scraped(scrape, pod(arm, name, 1000+10*scrape.Sub(noon).Seconds(), 0))
	}
	for name, tc := range map[string]struct {
		read  func(s float64) counter.Reading
		looks []float64
		want  []float64 // of each window the beginning, the end and the requests of the primary
	}{
		"with a scrape of the primary, without a canary": {
			func(s float64) counter.Reading {
				return read(s, counts(p, "p", every(15, 0, s)), counts(p, "q", every(15, 7, s)))
			}, looks(8, 40, 1), []float64{0, 7, 70, 7, 15, 160, 15, 22, 140, 22, 30, 160},
		},
		"with the newest scrape of a canary that all others are known at": {
			func(s float64) counter.Reading {
				return read(s, counts(c, "c", every(10, 0, s)), counts(c, "d", every(10, 3, s)), counts(p, "p", every(30, 5, s)))
			}, looks(5, 70, 1), []float64{0, 3, 0, 3, 30, 0, 30, 33, 30, 33, 60, 270, 60, 63, 30},
		},
		"at once, if scrapes are a second apart": {
			func(s float64) counter.Reading {
				return read(s, counts(c, "c", every(10, 0, s)), counts(p, "p", every(10, 1, s)))
			}, []float64{2, 12}, []float64{2, 12, 100},
		},
		"at once, if nobody says of one when it was scraped": {
			func(s float64) counter.Reading {
				return read(s, pod(c, "c", 10*s, 0), counts(p, "p", every(10, 5, s)))
			}, []float64{7, 16}, []float64{7, 16, 100},
		},
		"with the reading, when nobody is scraped any more": {
			func(s float64) counter.Reading {
				return read(s, counts(c, "c", at(min(s, 10))), counts(p, "p", at(min(s, 20))))
			}, []float64{10, 20, 30, 300}, []float64{10, 300, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []float64
			for _, w := range windows(t, counter.Cursor{}, tc.read, tc.looks...) {
				got = append(got, w.From.Sub(noon).Seconds(), w.To.Sub(noon).Seconds(), math.Round(w.Primary.Requests))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a process whose peer is waited for counted is known at both ends, however often it was scraped in between.
func TestAPeerThatIsScrapedRarelyCostsNoRequests(t *testing.T) {
	server := func(s float64) counter.Reading {
		rare := 120*math.Floor(s/120) + 1
		return read(s, scraped(at(s), pod(counter.Canary, "c", 10*s, 0)), scraped(at(rare), pod(counter.Primary, "p", 90*rare, 0)))
	}
	got := windows(t, counter.Cursor{}, server, looks(1, 250, 2)...)
	if len(got) != 2 || got[1].To != at(241) || got[1].Canary.Requests != 1200 || got[1].Primary.Requests != 120*90 {
		t.Errorf("%+v", got)
	}
}

// Of a process that began again between two scrapes nobody knows when.
func TestAProcessThatBeganAgainBetweenScrapesIsNotInterpolated(t *testing.T) {
	server := func(s float64) counter.Reading {
		scrape := 7 + 15*math.Floor((s-7)/15)
		counted := 10_000 + 90*scrape
		if scrape > 20 {
			counted = 90 * (scrape - 20)
		}
		canary := 15 * math.Floor(s/15)
		return read(s, scraped(at(canary), pod(counter.Canary, "c", 10*canary, 0)), scraped(at(scrape), pod(counter.Primary, "p", counted, 0)))
	}
	got := windows(t, counter.Cursor{}, server, looks(8, 60, 1)...)
	var primary []float64
	for _, w := range got {
		primary = append(primary, math.Round(w.Primary.Requests))
	}
	// Up to 15 it had counted what it had at 7; by 30 it had begun again, and had counted up to 30.
	if diff := cmp.Diff([]float64{0, 900, 1350}, primary); diff != "" {
		t.Errorf("%s: %+v", diff, got)
	}
}

func TestHistogramsAreInterpolatedAsOtherCountersAre(t *testing.T) {
	server := func(s float64) counter.Reading {
		canary, primary := 15*math.Floor(s/15), 7+15*math.Floor((s-7)/15)
		of := func(arm counter.Arm, name string, scrape float64) []counter.Sample {
			return scraped(at(scrape), timed(pod(arm, name, 100+10*scrape, 0), 100+10*scrape, map[float64]float64{0.1: 80 + 8*scrape}))
		}
		return read(s, of(counter.Canary, "c", canary), of(counter.Primary, "p", primary))
	}
	for _, w := range windows(t, counter.Cursor{}, server, looks(8, 60, 1)...) {
		if w.From.Equal(at(0)) {
			continue // the primary was scraped for the first time within it
		}
		for arm, counts := range map[string]counter.Counts{"canary": w.Canary, "primary": w.Primary} {
			if math.Abs(counts.Timed-150) > 1e-6 || math.Abs(counts.Slower[0]-30) > 1e-6 {
				t.Errorf("up to %s the %s has %+v, want 30 slow requests of 150", w.To.Format("04:05"), arm, counts)
			}
		}
	}
}

// The server may know of one counter of a process when it was scraped, and not of another.
func TestAProcessIsDatedIfOneOfItsCountersIs(t *testing.T) {
	server := func(s float64) counter.Reading {
		r := read(s, scraped(at(s), pod(counter.Canary, "c", 10*s, 0)), scraped(at(s), pod(counter.Primary, "p", 90*s, 0)))
		r.Samples[1].Scraped, r.Samples[2].Scraped = time.Time{}, time.Time{}
		return r
	}
	if got := windows(t, counter.Cursor{}, server, 10, 20); len(got) != 1 || got[0].Skewed {
		t.Errorf("%+v", got)
	}
}
