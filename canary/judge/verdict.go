// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Outcome is what a verdict says.
type Outcome string

const (
	// Undecided means that the windows so far say neither.
	Undecided Outcome = "Undecided"
	// Fail means that the canary is worse than its primary.
	Fail Outcome = "Fail"
	// Pass means that the canary is not as much worse as must not pass.
	Pass Outcome = "Pass"
	// Mismatch means that the arms got other shares of the requests than their weights
	// say, so that nothing follows from comparing them.
	Mismatch Outcome = "Mismatch"
)

// SequentialTest is all evidence about one release.
type SequentialTest struct {
	Series []Series
	// Metrics is how many are to be judged, if that is more than there are series by now: a metric whose counters
	// appear later had its part of alpha from the beginning.
	Metrics int
	Split   Split
	// Observed is the time that all windows last together.
	Observed time.Duration
}

// Finding is what is known about one metric.
type Finding struct {
	Metric  string
	Outcome Outcome
	// Over is the bound of the histogram that the finding is about.
	Over string
	// Ratio estimates how many times as bad the canary is as its primary, and AtLeast and
	// AtMost bound it. Ratio is NaN without events; AtLeast is 0 and AtMost infinite while
	// nothing is known.
	Ratio, AtLeast, AtMost float64
	// Needs estimates how many more events, of both arms, a verdict takes; without any, and with fewer requests than
	// MinSamples, it is how many more requests of the canary.
	Needs float64
	// Text says all of it in words.
	Text string

	canary     float64 // events
	negligible bool    // it passed because of that
	few        bool    // requests: there is no verdict, whatever they say
	split      bool    // is another than the weights say: likewise
}

// Verdict is what follows from a [SequentialTest].
type Verdict struct {
	Outcome  Outcome
	Findings []Finding
}

// Judge decides, and says why. Each of k metrics may fail a healthy release with the probability
// alpha/k, so that all together do with at most alpha; all of them have to pass, each
// of which lets a regression through with a probability of at most beta.
func (s Settings) Judge(t SequentialTest) Verdict {
	verdict := Verdict{Outcome: s.Outcome(t)}
	ratio, differs := t.Split.Mismatch()
	for _, series := range t.Series {
		verdict.Findings = append(verdict.Findings, s.find(series, s.alphaOf(t), t.Observed, differs))
	}
	if differs {
		verdict.Findings = append(verdict.Findings, Finding{Metric: "traffic", Outcome: Mismatch, Ratio: ratio, AtMost: math.Inf(1),
			Text: fmt.Sprintf("the canary got %s times the requests that its weight says: nothing follows from comparing it", short(ratio))})
	}
	return verdict
}

// Outcome returns what [Settings.Judge] decides, without the reasons. Arms that get other shares of the requests than their
// weights say are no fair comparison, but for one of how many requests there are: a canary that loses its own fails a throughput.
func (s Settings) Outcome(t SequentialTest) Outcome {
	_, differs := t.Split.Mismatch()
	outcome := Pass
	for _, series := range t.Series {
		switch found := s.outcome(series, s.alphaOf(t)); {
		case found == Fail && (!differs || series.Kind == Throughput):
			return Fail
		case found != Pass:
			outcome = Undecided
		}
	}
	switch {
	case differs:
		return Mismatch
	case len(t.Series) == 0:
		return Undecided
	default:
		return outcome
	}
}

// alphaOf returns the part of alpha that each metric of a trial has.
func (s Settings) alphaOf(t SequentialTest) float64 {
	return s.Alpha / float64(max(len(t.Series), t.Metrics))
}

func (s Settings) outcome(series Series, alpha float64) Outcome {
	switch {
	case series.samples() < s.MinSamples:
		return Undecided
	case series.LogFail() >= math.Log(1/alpha):
		return Fail
	case s.LogPass(series) >= math.Log(1/s.Beta):
		return Pass
	default:
		return Undecided
	}
}

// find says what is known about one metric. If the arms get other shares than their weights say, that is no verdict, unless
// it is that requests are missing.
func (s Settings) find(series Series, alpha float64, observed time.Duration, differs bool) Finding {
	b, outcome := series.Bounds[series.PassBound], s.outcome(series, alpha)
	if outcome == Fail {
		b = series.worst()
	}
	split := differs && (outcome != Fail || series.Kind != Throughput)
	if split {
		outcome = Undecided
	}
	f := Finding{Metric: series.Name, Outcome: outcome, Over: b.Over, Ratio: b.Evidence.Ratio(),
		AtLeast: b.Evidence.AtLeast(alpha), AtMost: b.Evidence.AtMost(s.Beta), canary: b.Evidence.Canary().Events, split: split}
	f.negligible = s.neglects(series.Kind) && b.Evidence.LogBelow(s.Negligible) >= b.Evidence.LogPass()
	switch missing := s.MinSamples - series.samples(); {
	case missing > 0:
		f.few, f.Needs = true, missing
	case outcome == Undecided && !split: // more events would decide nothing
		f.Needs = s.needs(b.Evidence, series.Kind, alpha)
	}
	f.Text = f.words(series, s, observed)
	return f
}

// words says a finding as people would.
func (f Finding) words(series Series, s Settings, observed time.Duration) string {
	what := series.Name
	if f.Over != "" {
		what = fmt.Sprintf("%s over %s", series.Name, f.Over)
	}
	after := fmt.Sprintf("after %s and %s requests", observed.Round(time.Second), count(series.requests()))
	ratio := f.Ratio
	if series.Kind == Throughput { // what is kept is how much rarer requests are
		ratio = 1 / ratio
	}
	switch {
	case f.split:
		return undecidedText(what, ratio, after)
	case f.Outcome == Fail:
		return f.failed(what, series, s) + " " + after
	case f.Outcome == Pass && f.negligible:
		return fmt.Sprintf("%s less than %s %% of the requests (%s) %s", what, percents(s.Negligible), confidence(s.Beta), after)
	case f.Outcome == Pass:
		return fmt.Sprintf("%s not %s times as bad as the primary's (%s) %s", what, short(s.Regression), confidence(s.Beta), after)
	case f.few && math.IsNaN(ratio):
		return fmt.Sprintf("%s undecided %s, fewer than minSamples (%s)", what, after, count(s.MinSamples))
	case f.few:
		return fmt.Sprintf("%s %s times the primary's, undecided %s, fewer than minSamples (%s)", what, short(ratio), after, count(s.MinSamples))
	case math.IsNaN(ratio) && math.IsInf(f.Needs, 1):
		return fmt.Sprintf("%s undecided %s: none in either arm", what, after)
	case math.IsNaN(ratio):
		return fmt.Sprintf("%s undecided %s: none in either arm, about %s more requests of the canary needed", what, after, count(f.Needs))
	default:
		return fmt.Sprintf("%s %s times the primary's, undecided %s: about %s more %s needed", what, short(ratio), after,
			count(f.Needs), events[series.Kind])
	}
}

// undecidedText says what the arms met, of which nothing follows.
func undecidedText(what string, ratio float64, after string) string {
	if !math.IsNaN(ratio) {
		what += fmt.Sprintf(" %s times the primary's,", short(ratio))
	}
	return fmt.Sprintf("%s undecided %s: the arms do not get the requests that their weights say", what, after)
}

// failed says how much worse the canary is, and how sure that is.
func (f Finding) failed(what string, series Series, s Settings) string {
	ratio, bound, limit := f.Ratio, "at least", f.AtLeast
	if series.Kind == Throughput {
		ratio, bound, limit = 1/ratio, "at most", 1/f.AtLeast
	}
	switch {
	case series.Kind != Throughput && math.IsInf(ratio, 1):
		return fmt.Sprintf("%s of the canary alone: %s, and none of the primary (%s)", what, count(f.canary), confidence(s.Alpha))
	case f.AtLeast > s.Tolerated: // a bound below that is further away than what the verdict says
		return fmt.Sprintf("%s %s times the primary's (%s %s times, %s)", what, short(ratio), bound, short(limit), confidence(s.Alpha))
	default:
		return fmt.Sprintf("%s %s times the primary's (more than is tolerated, %s)", what, short(ratio), confidence(s.Alpha))
	}
}

// confidence is the confidence of a verdict that is wrong with probability p.
func confidence(p float64) string { return percents(1-p) + " % sure" }

// percents writes a part of a whole, without what binary fractions add to it.
func percents(part float64) string {
	return strconv.FormatFloat(math.Round(part*1e12)/1e10, 'f', -1, 64)
}

// events says what a metric counts.
var events = map[Kind]string{Errors: "errors", Latency: "slow requests", Throughput: "requests"}

// short writes a ratio with two digits that matter.
func short(ratio float64) string {
	if math.IsInf(ratio, 1) {
		return "infinitely many"
	}
	text := strconv.FormatFloat(ratio, 'g', 2, 64)
	if strings.Contains(text, "e") {
		text = strconv.FormatFloat(ratio, 'f', 0, 64)
	}
	return text
}

// count writes a number of events.
func count(n float64) string { return strconv.FormatFloat(math.Ceil(n), 'f', 0, 64) }
