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

// Trial is all evidence about one release.
type Trial struct {
	Series []Series
	Split  Split
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
	// Needs estimates how many more events, of both arms, a verdict takes.
	Needs float64
	// Text says all of it in words.
	Text string

	canary float64 // events
}

// Verdict is what follows from a [Trial].
type Verdict struct {
	Outcome  Outcome
	Findings []Finding
}

// Judge decides, and says why. Each of k metrics may fail a healthy release with the probability
// alpha/k, so that all together do with at most alpha; all of them have to pass, each
// of which lets a regression through with a probability of at most beta.
func (s Settings) Judge(t Trial) Verdict {
	verdict := Verdict{Outcome: s.Outcome(t)}
	for _, series := range t.Series {
		verdict.Findings = append(verdict.Findings, s.find(series, s.alphaOf(t), t.Observed))
	}
	if ratio, differs := t.Split.Mismatch(); differs {
		verdict.Findings = append(verdict.Findings, Finding{Metric: "traffic", Outcome: Mismatch, Ratio: ratio, AtMost: math.Inf(1),
			Text: fmt.Sprintf("the canary got %s times the requests that its weight says: nothing follows from comparing it", short(ratio))})
	}
	return verdict
}

// Outcome returns what [Settings.Judge] decides, without the reasons.
func (s Settings) Outcome(t Trial) Outcome {
	if _, differs := t.Split.Mismatch(); differs {
		return Mismatch
	}
	outcome := Pass
	for _, series := range t.Series {
		switch s.outcome(series, s.alphaOf(t)) {
		case Fail:
			return Fail
		case Undecided:
			outcome = Undecided
		}
	}
	if len(t.Series) == 0 {
		return Undecided
	}
	return outcome
}

// alphaOf returns the part of alpha that each metric of a trial has.
func (s Settings) alphaOf(t Trial) float64 { return s.Alpha / float64(len(t.Series)) }

func (s Settings) outcome(series Series, alpha float64) Outcome {
	switch {
	case series.requests() < s.MinSamples:
		return Undecided
	case series.LogFail() >= math.Log(1/alpha):
		return Fail
	case series.LogPass() >= math.Log(1/s.Beta):
		return Pass
	default:
		return Undecided
	}
}

// find says what is known about one metric.
func (s Settings) find(series Series, alpha float64, observed time.Duration) Finding {
	b, outcome := series.Bounds[series.PassBound], s.outcome(series, alpha)
	if outcome == Fail {
		b = series.worst()
	}
	f := Finding{Metric: series.Name, Outcome: outcome, Over: b.Over, Ratio: b.Evidence.Ratio(),
		AtLeast: b.Evidence.AtLeast(alpha), AtMost: b.Evidence.AtMost(s.Beta), canary: b.Evidence.Canary().Events}
	if outcome == Undecided {
		f.Needs = s.needs(b.Evidence, alpha)
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
	ratio, least, most := f.Ratio, f.AtLeast, f.AtMost
	if series.Kind == Throughput { // what is kept is how much rarer requests are
		ratio, least, most = 1/ratio, 1/most, 1/least
	}
	sure := func(p float64) string { return strconv.FormatFloat(100*(1-p), 'f', -1, 64) + " % sure" }
	switch {
	case f.Outcome == Fail && series.Kind != Throughput && math.IsInf(ratio, 1):
		return fmt.Sprintf("%s of the canary alone: %s, and none of the primary (%s) %s", what, count(f.canary), sure(s.Alpha), after)
	case f.Outcome == Fail && series.Kind == Throughput && f.AtLeast > 0:
		return fmt.Sprintf("%s %s times the primary's (at most %s times, %s) %s", what, short(ratio), short(most), sure(s.Alpha), after)
	case f.Outcome == Fail && f.AtLeast > 0:
		return fmt.Sprintf("%s %s times the primary's (at least %s times, %s) %s", what, short(ratio), short(least), sure(s.Alpha), after)
	case f.Outcome == Fail:
		return fmt.Sprintf("%s %s times the primary's (more than is tolerated, %s) %s", what, short(ratio), sure(s.Alpha), after)
	case f.Outcome == Pass:
		return fmt.Sprintf("%s not %s times as bad as the primary's (%s) %s", what, short(s.Regression), sure(s.Beta), after)
	case math.IsNaN(ratio):
		return fmt.Sprintf("%s undecided %s: none in either arm", what, after)
	default:
		return fmt.Sprintf("%s %s times the primary's, undecided %s: about %s more %s needed", what, short(ratio), after,
			count(f.Needs), events[series.Kind])
	}
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
