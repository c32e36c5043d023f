// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/simulate"
)

// JudgeDelay is how long the judge needs to decide about a release, on average.
type JudgeDelay struct {
	// Ratio is how many times as many errors as its primary the canary has.
	Ratio float64 `json:"ratio"`
	// Outcome is the right one: Fail for a regression, and Pass for a canary that is as good.
	Outcome string `json:"outcome"`
	// Seconds until the judge decides, at least 1; absent if it cannot within a thousand days.
	Seconds int64 `json:"seconds,omitempty"`
	// InTime is true if it decides before the last step of the analysis ends.
	InTime bool `json:"inTime"`
}

// JudgeDelays are the delays of a service and of the steps that a release of it takes.
func JudgeDelays(s judge.Settings, t judge.TrafficProfile, steps []judge.PlannedShare, ratios []float64) List[JudgeDelay] {
	var whole time.Duration
	for _, step := range steps {
		whole += step.Lasts
	}
	delays := make([]JudgeDelay, 0, len(ratios))
	for _, ratio := range ratios {
		d := JudgeDelay{Ratio: ratio, Outcome: string(judge.Fail)}
		if ratio <= s.Tolerated {
			d.Outcome = string(judge.Pass)
		}
		if after, ok := s.Expect(t, steps, ratio, 1); ok {
			d.Seconds, d.InTime = max(1, int64(after.Round(time.Second)/time.Second)), after <= whole
		}
		delays = append(delays, d)
	}
	return List[JudgeDelay]{Items: delays}
}

// JudgeSimulation is what the judge and fixed thresholds do with many releases whose
// truth is known.
type JudgeSimulation struct {
	// Scenario says what service is released, and how much worse the canary is.
	Scenario string `json:"scenario"`
	// Runs is the number of releases that were played against each rule.
	Runs int `json:"runs"`
	// Judge is the judge, at every window.
	Judge SimulatedRule `json:"judge"`
	// Flagger is a threshold of 99 % at every minute: five failed checks roll back, five good ones promote.
	Flagger SimulatedRule `json:"flagger"`
	// Argo is an analysis of Argo Rollouts with a threshold of 99 % at every minute: the fourth failure rolls back.
	Argo SimulatedRule `json:"argo"`
	// Kayenta compares the minutes of both arms once, at the end.
	Kayenta SimulatedRule `json:"kayenta"`
}

// SimulatedRule is what became of the releases that a rule decided about.
type SimulatedRule struct {
	// RolledBack is the part of the releases that were rolled back, from 0 to 1.
	RolledBack float64 `json:"rolledBack"`
	// RolledBackSeconds is the median of the time that took.
	RolledBackSeconds int64 `json:"rolledBackSeconds,omitempty"`
	// Promoted is the part of the releases that the rule promoted, from 0 to 1.
	Promoted float64 `json:"promoted"`
	// PromotedSeconds is the median of the time that took.
	PromotedSeconds int64 `json:"promotedSeconds,omitempty"`
	// Errors is the mean number of errors that users of the canary met.
	Errors float64 `json:"errors"`
}

// JudgeSimulationOf reports one row of a simulation.
func JudgeSimulationOf(r simulate.Row) JudgeSimulation {
	return JudgeSimulation{Scenario: r.Scenario.Name, Runs: r.Judge.Runs, Judge: simulatedRule(r.Judge),
		Flagger: simulatedRule(r.Flagger), Argo: simulatedRule(r.Argo), Kayenta: simulatedRule(r.Kayenta)}
}

func simulatedRule(r simulate.Result) SimulatedRule {
	return SimulatedRule{RolledBack: r.RolledBackRate(), RolledBackSeconds: int64(r.RolledBackAfter.Seconds()),
		Promoted: r.PromotedRate(), PromotedSeconds: int64(r.PromotedAfter.Seconds()), Errors: r.Errors}
}
