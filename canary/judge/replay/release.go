// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"math"
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/trial"
)

// ReleaseOutcome is what would have become of a release.
type ReleaseOutcome string

// Outcomes of a [RuleResult].
const (
	Undecided  ReleaseOutcome = ""
	RolledBack ReleaseOutcome = "rolled back"
	Promoted   ReleaseOutcome = "promoted"
)

// RuleResult is what one of the rules would have done.
type RuleResult struct {
	Outcome ReleaseOutcome
	// After is how long the release had lasted by then.
	After time.Duration
	// Errors are the errors that users of the canary met until then.
	Errors float64
	// Text says why.
	Text string
}

// Recorded is what is known about a release beside its counters, from the history of its
// Canary.
type Recorded struct {
	Revision string
	// From is when the analysis began, and To when it ended; zero if it has not.
	From, To time.Time
	// Begins is when the canary got its first users; zero is From. What was counted before that is of another release.
	Begins time.Time
	// Outcome and Reason are those that were, in the words of the Canary.
	Outcome, Reason string
	// Steps are the weights of the canary, each from its time on.
	Steps []WeightChange
}

// WeightChange is a weight of the canary, between 0 and 1, from a time on.
type WeightChange struct {
	At     time.Time
	Weight float64
}

// Point is one window of a release.
type Point struct {
	// After is when it ended, since the release began.
	After time.Duration
	// Share is the part of the requests that the canary had.
	Share float64
	// Canary and Primary are the parts of their requests that failed.
	Canary, Primary float64
	// Fail and Pass are the natural logarithms of the e-values so far.
	Fail, Pass float64
	// Remarks is the number of processes that the window does not count, or only from 0 on.
	Remarks int
}

// ReplayedRelease is what the rules would have done with one release.
type ReplayedRelease struct {
	Recorded Recorded
	From, To time.Time
	// Canary and Primary are all that happened, without what was slower than which bound.
	Canary, Primary counter.Counts
	// Usual is what the service was used to before, and Baseline the number of windows that say so.
	Usual    judge.TrafficProfile
	Baseline int
	// Ratio estimates how many times as many errors the canary had, NaN without errors.
	Ratio float64
	// Metrics is how many the judge compared: alpha is shared by them.
	Metrics int
	// Judge and Thresholds are what each would have done.
	Judge, Thresholds RuleResult
	// Points are the windows, at most [MaxPoints] of them.
	Points []Point
}

// MaxPoints is how many windows of a release are kept to be shown: four hours of 15 seconds.
const MaxPoints = 960

// ongoingRelease is a release that has not ended.
type ongoingRelease struct {
	release    ReplayedRelease
	trial      trial.Comparison
	settings   judge.Settings
	warmup     time.Duration
	thresholds *thresholdCheck
	last       time.Time            // when the canary last had requests
	idle       []counter.Increments // since then, while nobody says whether the release has ended
}

func beginRelease(p *Player, from time.Time, recorded Recorded) *ongoingRelease {
	var usual trial.Baseline
	for _, w := range p.before {
		usual = usual.Add(w)
	}
	evidence := usual.Begin(p.options.Settings, p.options.Metrics...)
	if p.options.All {
		evidence = evidence.RequireAll()
	}
	return &ongoingRelease{
		release: ReplayedRelease{Recorded: recorded, From: from, To: from, Usual: usual.Traffic(), Baseline: usual.Windows},
		trial:   evidence, warmup: p.options.Warmup,
		settings: p.options.Settings, thresholds: newThresholdCheck(p.options.Thresholds, from), last: from,
	}
}

// addUnlessIdle judges one more window, or keeps it if it has no requests of the canary: it is
// part of the release only if others follow that have some.
func (r *ongoingRelease) addUnlessIdle(w counter.Increments) error {
	if r.idle = append(r.idle, w); w.Canary.Requests == 0 {
		return nil
	}
	for _, w := range r.idle {
		if err := r.add(w); err != nil {
			return err
		}
	}
	r.last, r.idle = w.To, nil
	return nil
}

// isWarmingUp reports whether a window has counts of the canary's warm-up. The first window of a release may have
// some that are older than itself.
func (r *ongoingRelease) isWarmingUp(w counter.Increments) bool {
	return r.warmup > 0 && w.Earliest().Before(r.release.From.Add(r.warmup))
}

// add judges one more window.
func (r *ongoingRelease) add(w counter.Increments) error {
	if !r.isWarmingUp(w) {
		next, err := r.trial.Add(w, r.release.Recorded.weight(w))
		if err != nil {
			return err
		}
		r.trial = next
	}
	to := &r.release
	to.To = w.To
	after := w.To.Sub(to.From)
	to.Canary, to.Primary = add(to.Canary, w.Canary), add(to.Primary, w.Primary)
	r.thresholds.evaluate(w, after, to.Canary.Errors)
	if to.Judge.Outcome == Undecided {
		to.Judge = r.decide(after)
	}
	if len(to.Points) < MaxPoints {
		to.Points = append(to.Points, r.point(w, after))
	}
	return nil
}

// decide is what the judge does by now: its words are those of the finding that decides.
func (r *ongoingRelease) decide(after time.Duration) RuleResult {
	verdict := r.trial.Verdict()
	d := RuleResult{After: after, Errors: r.release.Canary.Errors}
	switch verdict.Outcome {
	case judge.Fail:
		d.Outcome = RolledBack
	case judge.Pass:
		d.Outcome = Promoted
	case judge.Undecided, judge.Mismatch:
	}
	for _, f := range verdict.Findings {
		if f.Outcome == verdict.Outcome {
			d.Text = f.Text
			break
		}
	}
	return d
}

func (r *ongoingRelease) point(w counter.Increments, after time.Duration) Point {
	p := Point{After: after, Remarks: len(w.Told) + w.Untold, Canary: rate(w.Canary), Primary: rate(w.Primary)}
	if total := w.Canary.Requests + w.Primary.Requests; total > 0 {
		p.Share = w.Canary.Requests / total
	}
	p.Fail, p.Pass = r.trial.Evidence()
	return p
}

// finish is the release as it is shown.
func (r *ongoingRelease) finish() ReplayedRelease {
	r.release.Thresholds, r.release.Ratio, r.release.Metrics = r.thresholds.done, math.NaN(), len(r.trial.Test.Series)
	for _, s := range r.trial.Test.Series {
		if s.Kind == judge.Errors {
			r.release.Ratio = s.Bounds[0].Evidence.Ratio()
		}
	}
	return r.release
}

// weight is that of the canary during a whole window; 0 if it changed or is not known.
func (r Recorded) weight(w counter.Increments) float64 {
	weight := 0.0
	for i, s := range r.Steps {
		switch {
		case !s.At.Add(judge.SettlesWithin).After(w.Earliest()):
			weight = s.Weight
		case s.At.Before(w.To):
			return 0
		case i == 0:
			return 0
		}
	}
	return weight
}

func rate(c counter.Counts) float64 {
	if c.Requests == 0 {
		return 0
	}
	return c.Errors / c.Requests
}

func add(a, b counter.Counts) counter.Counts {
	return counter.Counts{Requests: a.Requests + b.Requests, Errors: a.Errors + b.Errors, Timed: a.Timed + b.Timed}
}
