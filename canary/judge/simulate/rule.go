// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"github.com/sluice-cd/sluice/canary/judge"
)

// End is what became of a release.
type End string

const (
	// Running means that the rule has not decided.
	Running End = ""
	// RolledBack means that the canary lost its users.
	RolledBack End = "rolled back"
	// Promoted means that the canary became the primary.
	Promoted End = "promoted"
)

// Rule decides about one release, window by window.
type Rule interface {
	// Evaluate is told what happened in the next window, and returns what it decides.
	Evaluate(judge.Window) End
}

// SequentialRule is the rule of this module: a [judge.Settings] about errors.
type SequentialRule struct {
	settings   judge.Settings
	test       judge.SequentialTest
	dispersion float64
}

// NewSequentialRule returns the rule for a release before which the halves of the primary met what
// is given.
func NewSequentialRule(settings judge.Settings, before []Halves) *SequentialRule {
	var d judge.Dispersion
	for _, h := range before {
		d = d.Add(h.First, h.Second)
	}
	return &SequentialRule{settings: settings, dispersion: d.Factor(),
		test: judge.SequentialTest{Series: []judge.Series{settings.NewSeries("errors", judge.Errors)}, Split: judge.NewSplit()}}
}

// Evaluate implements [Rule].
func (j *SequentialRule) Evaluate(w judge.Window) End {
	series, err := j.test.Series[0].Add(j.dispersion, w)
	if err != nil {
		return RolledBack // a simulated window that is impossible: shows in every table
	}
	j.test.Series[0] = series
	switch j.settings.Outcome(j.test) {
	case judge.Fail:
		return RolledBack
	case judge.Pass:
		return Promoted
	default:
		return Running
	}
}

// Flagger is Flagger's rule: each window in which less than Least percent of the requests
// succeed is a failed check, Threshold of them roll back, and every other one adds a step, after
// Steps of which the release is promoted.
type Flagger struct {
	Least            float64
	Threshold, Steps int

	failed, passed int
}

// Evaluate implements [Rule].
func (f *Flagger) Evaluate(w judge.Window) End { return f.Check(100*(1-w.Canary.Rate()) >= f.Least) }

// Check adds a check that passed or did not, whatever it was about.
func (f *Flagger) Check(passed bool) End {
	if passed {
		f.passed++
	} else {
		f.failed++
	}
	switch {
	case f.failed >= f.Threshold:
		return RolledBack
	case f.passed >= f.Steps:
		return Promoted
	default:
		return Running
	}
}

// Argo is the rule of an analysis of Argo Rollouts that runs beside the steps: more than
// FailureLimit windows in which less than Least percent of the requests succeed.
type Argo struct {
	Least        float64
	FailureLimit int

	failed int
}

// Evaluate implements [Rule].
func (a *Argo) Evaluate(w judge.Window) End {
	if 100*(1-w.Canary.Rate()) < a.Least {
		a.failed++
	}
	if a.failed > a.FailureLimit {
		return RolledBack
	}
	return Running
}
