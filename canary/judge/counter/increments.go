// SPDX-License-Identifier: Apache-2.0

package counter

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// Counts are what happened in an arm, or in a part of one, during a window.
type Counts struct {
	Requests, Errors float64
	// Timed are the requests that the histogram has, and Slower those of them that took longer than
	// each of [Increments.Bounds].
	Timed  float64
	Slower []float64
}

// Increments are what happened between two moments.
type Increments struct {
	From, To time.Time
	// Since is when the oldest of what is counted may have happened, if that is before From: readings have what
	// was scraped some time before. See [Increments.Earliest].
	Since           time.Time
	Canary, Primary Counts
	// Halves are the processes of the primary in two parts, which differ by nothing but
	// chance. They are empty if there is only one process, and where one began or ended: those of a
	// rollout are of two versions, and a young process is not like an old one.
	Halves [2]Counts
	// Bounds are the bounds that the histograms of all processes have, in seconds, rising.
	Bounds []float64
	// Missing are the arms that no process counts for.
	Missing []Arm
	// Skewed means that nobody says when some process was scraped, so that the arms may have been counted over
	// different times. What part of the requests failed can be compared all the same, and how many there were cannot.
	Skewed bool
	// Told is what is not counted, and why, in no more than [maxTold] texts.
	Told []Remark
	// Untold is how many more remarks there are.
	Untold int
}

// Earliest is when the oldest of what is counted may have happened.
func (w Increments) Earliest() time.Time {
	if w.Since.IsZero() {
		return w.From
	}
	return w.Since
}

// Remark is something about one process that a verdict should not be silent on.
type Remark struct {
	Arm           Arm
	Pod, Instance string
	Reason        Reason
}

// Reason is why a process is not as others.
type Reason string

const (
	// Stale processes have not been scraped for longer than [Options.Stale], and count for nothing.
	Stale Reason = "stale"
	// Reset processes began again at 0. What they counted before that and after their last scrape is lost.
	Reset Reason = "reset"
	// Ambiguous processes began again for one arm, but perhaps not for the other, or are not lower by so much
	// as who begins at 0: a proxy that forgets some of its clients is, too. They count from the next window on.
	Ambiguous Reason = "ambiguous"
	// Excess processes had more errors than requests: these began again, and overtook what they were, or they are counted at
	// another time, such as when they begin. They count from the next window on.
	Excess Reason = "excess"
	// New processes may have counted before the window, and count from the next one on.
	New Reason = "new"
	// Vanished processes count for nothing.
	Vanished Reason = "vanished"
	// Unlike processes have no histogram with [Options.Bounds].
	Unlike Reason = "unlike"
)

// String says it in words.
func (r Remark) String() string {
	who := r.Pod
	if who == "" {
		who = r.Instance
	}
	return fmt.Sprintf("%s of the %s %s", who, r.Arm, remarks[r.Reason])
}

// remarks are what reasons mean.
var remarks = map[Reason]string{
	Stale:     "has not been scraped for minutes and counts for nothing",
	Reset:     "began again at 0",
	Ambiguous: "has counters that fell, and counts from the next window on",
	Excess:    "had more errors than requests, and counts from the next window on",
	New:       "is new, and counts from the next window on",
	Vanished:  "is gone",
	Unlike:    "has a histogram with other bounds, which cannot be compared",
}

const maxTold = 20

// Options are what readings do not say.
type Options struct {
	// Stale is how old a scrape may be; zero is [DefaultStale].
	Stale time.Duration
	// Bounds are the bounds to count slower requests for, in seconds, rising; without any they are those
	// that all processes have. Whoever compares several windows sets them to those of the first.
	Bounds []float64
	// Started is when pods began, by name: a pod that is younger than a window counts from 0.
	// One that is not here may be any age.
	Started map[string]time.Time
}

// DefaultStale is three times the interval at which Prometheus scrapes by default.
const DefaultStale = 3 * time.Minute

func (o Options) stale(scraped, now time.Time) bool {
	limit := o.Stale
	if limit <= 0 {
		limit = DefaultStale
	}
	return !scraped.IsZero() && now.Sub(scraped) > limit
}

// Between returns what happened between two readings, whose processes were scraped together; a
// [Cursor] does without that. It fails if the second is not later than the first, and on
// what [Reading.Check] reports.
func Between(before, after Reading, o Options) (Increments, error) {
	first, err := before.units()
	if err != nil {
		return Increments{}, err
	}
	second, err := after.units()
	if err != nil {
		return Increments{}, err
	}
	return between(countersAt{before.At, first}, countersAt{after.At, second}, o)
}

// countersAt are the counters of all units at one time.
type countersAt struct {
	at    time.Time
	units map[unit]*counters
}

func between(before, after countersAt, o Options) (Increments, error) {
	if !after.at.After(before.at) {
		return Increments{}, fmt.Errorf("a window ends at %s and begins at %s, which is not earlier",
			after.at.Format(time.RFC3339Nano), before.at.Format(time.RFC3339Nano))
	}
	w := &incrementsBuilder{
		Increments: Increments{From: before.at, To: after.at}, options: o,
		before: maps.Clone(before.units), after: maps.Clone(after.units),
	}
	w.dropStale()
	w.match()
	w.chooseBounds()
	w.sum()
	return w.Increments, nil
}

// incrementsBuilder is an [Increments] in the making.
type incrementsBuilder struct {
	Increments
	options       Options
	before, after map[unit]*counters
	increase      map[unit]*counters // what the units of both counted in the window
}

// remark notes why a unit is not counted, within [maxTold].
func (w *incrementsBuilder) remark(u unit, reason Reason) {
	if len(w.Told) == maxTold {
		w.Untold++
		return
	}
	w.Told = append(w.Told, Remark{Arm: u.arm, Pod: u.pod, Instance: u.instance, Reason: reason})
}

// dropStale forgets processes that nobody scrapes any more, and notices arms that nobody
// counts for.
func (w *incrementsBuilder) dropStale() {
	live := map[Arm]bool{}
	for _, u := range sorted(w.after) {
		if w.options.stale(w.after[u].scraped, w.To) {
			w.remark(u, Stale)
			delete(w.after, u)
			delete(w.before, u)
			continue
		}
		live[u.arm] = true
	}
	for _, arm := range []Arm{Canary, Primary} {
		if !live[arm] {
			w.Missing = append(w.Missing, arm)
		}
	}
	for _, u := range sorted(w.before) {
		if w.after[u] == nil {
			w.remark(u, Vanished)
		}
	}
}

// match finds for each unit what it counted since the reading before.
func (w *incrementsBuilder) match() {
	w.increase = map[unit]*counters{}
	resets := w.resets()
	for _, u := range sorted(w.after) {
		now, was := w.after[u], w.before[u]
		switch {
		case resets[u.process] == mayBeReset:
			w.remark(u, Ambiguous)
		case resets[u.process] == tooManyErrors:
			w.remark(u, Excess)
		case was == nil && !w.startedInside(u):
			w.remark(u, New)
		case resets[u.process] == wasReset:
			w.remark(u, Reset)
			w.increase[u] = now.withTime(now.scraped)
		case was == nil:
			w.increase[u] = now.withTime(now.scraped)
		default:
			w.increase[u] = now.increaseSince(was)
		}
	}
}

// startedInside reports whether a unit that was not there at the beginning had counted nothing
// by then: its pod had not begun, or its process was there and had nothing to count
// for this arm. A process that changed its arm is none of these.
func (w *incrementsBuilder) startedInside(u unit) bool {
	if started, ok := w.options.Started[u.pod]; ok && started.After(w.From) {
		return true
	}
	o := u.other()
	return w.before[o] != nil && w.after[o] != nil
}

func (u unit) other() unit {
	if u.arm == Canary {
		return unit{Primary, u.process}
	}
	return unit{Canary, u.process}
}

type resetKind int

const (
	noReset resetKind = iota
	wasReset
	tooManyErrors
	mayBeReset
)

// resets tells which processes began again. A process resets all of its counters, those of
// both arms; a gateway that forgets a route resets those of one. A sum that fell by less than half is more
// likely one of which a part is gone.
func (w *incrementsBuilder) resets() map[process]resetKind {
	found := map[process]resetKind{}
	for u, now := range w.after {
		if was := w.before[u]; was != nil {
			found[u.process] = max(found[u.process], now.resetSince(was))
		}
	}
	for u, now := range w.after {
		was := w.before[u]
		if found[u.process] == wasReset && was != nil && now.resetSince(was) != wasReset && !was.isZero() {
			found[u.process] = mayBeReset
		}
	}
	return found
}

// sorted are the units in an order that does not change.
func sorted(units map[unit]*counters) []unit {
	return slices.SortedFunc(maps.Keys(units), unit.compare)
}

// WithoutHalves is the window for when the halves of the primary differ by more than chance.
func (w Increments) WithoutHalves() Increments {
	for i := range w.Halves {
		w.Halves[i] = Counts{Slower: make([]float64, len(w.Bounds))}
	}
	return w
}

// begunOrEnded reports whether the primary has not the same processes at both ends of the window.
func (w *incrementsBuilder) begunOrEnded() bool {
	for _, ends := range [][2]map[unit]*counters{{w.before, w.after}, {w.after, w.before}} {
		for u := range ends[0] {
			if u.arm == Primary && ends[1][u] == nil {
				return true
			}
		}
	}
	return false
}

// sum adds up the arms, and the halves of the primary.
func (w *incrementsBuilder) sum() {
	empty := func() Counts { return Counts{Slower: make([]float64, len(w.Bounds))} }
	w.Canary, w.Primary = empty(), empty()
	w.Increments = w.WithoutHalves()
	var primaries []unit
	for _, u := range sorted(w.increase) {
		if u.arm == Canary {
			w.Canary.add(w.increase[u], w.Bounds)
			continue
		}
		w.Primary.add(w.increase[u], w.Bounds)
		primaries = append(primaries, u)
	}
	if len(primaries) < 2 || w.begunOrEnded() {
		return
	}
	// By a hash, so that the halves are no neighbours in age, node or zone; one after the other, so that there
	// are as many in each.
	slices.SortStableFunc(primaries, func(a, b unit) int { return a.hashed().compare(b.hashed()) })
	for i, u := range primaries {
		w.Halves[i%2].add(w.increase[u], w.Bounds)
	}
}

// hashed has the hash of the names before them.
func (u unit) hashed() unit {
	h := fnv.New64a()
	_, _ = h.Write([]byte(u.pod + "\x00" + u.instance))
	return unit{u.arm, process{fmt.Sprintf("%016x", h.Sum64()), u.pod + "\x00" + u.instance}}
}
