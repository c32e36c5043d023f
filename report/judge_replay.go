// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/replay"
)

// ReplayedRelease is what the judge and thresholds would have done with a release that
// has been.
type ReplayedRelease struct {
	// From is when the release began.
	From metav1.Time `json:"from"`
	// To is when it ended, or the last that is known of it.
	To metav1.Time `json:"to"`
	// Revision is the revision of the Canary's history, if it is known.
	Revision string `json:"revision,omitempty"`
	// Was is what became of it, in the words of the history: promoted, failed and others; absent if it is not known.
	Was string `json:"was,omitempty"`
	// Reason is why, in the words of the history.
	Reason string `json:"reason,omitempty"`
	// Requests and errors of the canary.
	Canary ReplayedArm `json:"canary"`
	// Requests and errors of the primary at the same time.
	Primary ReplayedArm `json:"primary"`
	// Ratio estimates how many times as many errors as the primary the canary had; absent without errors, or if only the canary had some.
	Ratio *float64 `json:"ratio,omitempty"`
	// Dispersion is how many times as much errors varied before the release as independent ones would.
	Dispersion float64 `json:"dispersion"`
	// BaselineWindows is the number of windows before the release that say so.
	BaselineWindows int `json:"baselineWindows"`
	// Judge is what the judge would have done.
	Judge ReplayedDecision `json:"judge"`
	// Thresholds is what thresholds would have done.
	Thresholds ReplayedDecision `json:"thresholds"`
	// Expected is how long the judge would take, on average, with the requests and errors of this release and the steps that were asked for.
	Expected *JudgeDelay `json:"expected,omitempty"`
}

// ReplayedArm is what an arm met.
type ReplayedArm struct {
	// Requests that it got.
	Requests float64 `json:"requests"`
	// Errors are the requests that failed.
	Errors float64 `json:"errors"`
}

// ReplayedDecision is what a rule would have done.
type ReplayedDecision struct {
	// Outcome is rolled back, promoted or undecided.
	Outcome string `json:"outcome"`
	// Seconds since the release began.
	Seconds int64 `json:"seconds"`
	// Errors that users of the canary met until then.
	Errors float64 `json:"errors"`
	// Reason says why.
	Reason string `json:"reason,omitempty"`
}

// ReplayedReleases reports what was replayed, the newest first. With steps it says what they would
// have changed.
func ReplayedReleases(s judge.Settings, releases []replay.ReplayedRelease, steps []judge.PlannedShare) List[ReplayedRelease] {
	items := make([]ReplayedRelease, 0, len(releases))
	for i := len(releases) - 1; i >= 0; i-- {
		items = append(items, replayed(s, releases[i], steps))
	}
	return List[ReplayedRelease]{Items: items}
}

func replayed(s judge.Settings, r replay.ReplayedRelease, steps []judge.PlannedShare) ReplayedRelease {
	out := ReplayedRelease{
		From: metav1.Time{Time: r.From}, To: metav1.Time{Time: r.To},
		Revision: r.Recorded.Revision, Was: r.Recorded.Outcome, Reason: r.Recorded.Reason,
		Canary:     ReplayedArm{Requests: r.Canary.Requests, Errors: r.Canary.Errors},
		Primary:    ReplayedArm{Requests: r.Primary.Requests, Errors: r.Primary.Errors},
		Dispersion: r.Usual.Dispersion, BaselineWindows: r.Baseline,
		Judge: replayedDecision(r.Judge), Thresholds: replayedDecision(r.Thresholds),
	}
	if !math.IsNaN(r.Ratio) && !math.IsInf(r.Ratio, 0) {
		out.Ratio = &r.Ratio
		out.Expected = expected(s, r, steps)
	}
	return out
}

// expected is how long a verdict takes with other steps: at the rate of requests and of errors of the primary
// that there were, and the ratio that was found.
func expected(s judge.Settings, r replay.ReplayedRelease, steps []judge.PlannedShare) *JudgeDelay {
	seconds := r.To.Sub(r.From).Seconds()
	if len(steps) == 0 || seconds <= 0 || r.Primary.Requests == 0 {
		return nil
	}
	t := judge.TrafficProfile{Requests: (r.Canary.Requests + r.Primary.Requests) / seconds,
		Rate: r.Primary.Errors / r.Primary.Requests, Dispersion: r.Usual.Dispersion}
	ratio := r.Ratio
	if ratio < math.Sqrt(s.Tolerated*s.Regression) { // nearer to none than to a regression
		ratio = s.Tolerated
	}
	return &JudgeDelays(s, t, steps, []float64{ratio}).Items[0]
}

func replayedDecision(d replay.RuleResult) ReplayedDecision {
	outcome := string(d.Outcome)
	if d.Outcome == replay.Undecided {
		outcome = "undecided"
	}
	return ReplayedDecision{Outcome: outcome, Seconds: int64(d.After / time.Second), Errors: d.Errors, Reason: d.Text}
}
