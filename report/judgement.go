// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// Judgement is what the judge says about the newest release of a Canary.
type Judgement struct {
	// Outcome is Undecided, Pass, Fail or Mismatch; empty before the first comparison.
	Outcome string `json:"outcome,omitempty"`
	// Message says why.
	Message string `json:"message,omitempty"`
	// Problem is why the arms cannot be compared.
	Problem string `json:"problem,omitempty"`
	// CountedBy names whose counters are compared: pods, proxies of traefik, or a MetricTemplate.
	CountedBy string `json:"countedBy,omitempty"`
	// Remarks are about pods that the last comparison does not count as the others.
	Remarks []string `json:"remarks,omitempty"`
	// ThresholdsOnly means that the judge decides nothing, because its test of itself failed.
	ThresholdsOnly bool `json:"thresholdsOnly,omitempty"`
	// Findings are about each metric.
	Findings []flaggerv1.CanaryJudgeFinding `json:"findings,omitempty"`
	// Outlook is how long a verdict takes with the traffic that the primary has.
	Outlook string `json:"outlook,omitempty"`
	// Trials is how many times the primary was compared with itself.
	Trials int64 `json:"trials,omitempty"`
	// FalseAlarms is how many of the trials failed.
	FalseAlarms int64 `json:"falseAlarms,omitempty"`
	// Dispersion is how many times as much errors vary as they would by chance.
	Dispersion string `json:"dispersion,omitempty"`
	// History has the last verdicts, the newest first.
	History []flaggerv1.CanaryJudgeVerdict `json:"history,omitempty"`
}

// judgementOf reads the status, and leaves out the evidence, which no other program reads.
func judgementOf(c *flaggerv1.Canary) *Judgement {
	status := c.Status.Judge
	if status == nil || c.Spec.Analysis == nil || c.Spec.Analysis.Judge == nil {
		return nil
	}
	j := &Judgement{Outcome: status.Outcome, Message: status.Message, Problem: status.Problem, CountedBy: status.CountedBy,
		Remarks:        status.Remarks,
		ThresholdsOnly: status.ThresholdsOnly, Findings: status.Findings, Outlook: status.Outlook, History: status.History}
	if test := status.SelfTest; test != nil {
		j.Trials, j.FalseAlarms, j.Dispersion = test.Trials, test.FalseAlarms, test.Dispersion
	}
	return j
}

// Word is the outcome in a word; empty without a judge or before the first comparison.
func (j *Judgement) Word() string {
	switch {
	case j == nil:
		return ""
	case j.ThresholdsOnly:
		return "ThresholdsOnly"
	default:
		return j.Outcome
	}
}

// Verdict is the outcome with its reason, in one line; empty before the first comparison.
func (j *Judgement) Verdict() string {
	switch {
	case j == nil:
		return ""
	case j.Problem != "" && j.Outcome != flaggerv1.JudgeFail && j.Outcome != flaggerv1.JudgePass:
		return j.Problem
	case j.Outcome == "" || j.Message == "":
		return "nothing compared yet"
	case j.ThresholdsOnly:
		return fmt.Sprintf("%s, but only thresholds decide: %s", j.Outcome, j.Message)
	default:
		return j.Outcome + ": " + j.Message
	}
}

// SelfTest says what comparing the primary with itself has come to; empty before the first trial.
func (j *Judgement) SelfTest() string {
	if j == nil || j.Trials == 0 {
		return ""
	}
	text := fmt.Sprintf("%d false alarms in %d comparisons of the primary with itself", j.FalseAlarms, j.Trials)
	if j.Dispersion != "" {
		text += ", errors vary " + j.Dispersion + " times as much as by chance"
	}
	return text
}

// NotCounted are the remarks in one line; empty without any.
func (j *Judgement) NotCounted() string {
	if j == nil {
		return ""
	}
	return strings.Join(j.Remarks, "; ")
}

// Counter is whose counters are compared; empty before the first comparison.
func (j *Judgement) Counter() string {
	if j == nil {
		return ""
	}
	return j.CountedBy
}

// Prospect is how long a verdict takes; empty if that is not known.
func (j *Judgement) Prospect() string {
	if j == nil {
		return ""
	}
	return j.Outlook
}

// howItIsJudged says what is compared, and how sure a verdict is; empty without a judge.
func howItIsJudged(plan canary.Plan) string {
	j := plan.Judge
	if j == nil {
		return ""
	}
	kinds := make([]string, len(j.Kinds))
	for i, kind := range j.Kinds {
		kinds[i] = string(kind)
	}
	negligible := ""
	if j.Settings.Negligible > 0 {
		negligible = fmt.Sprintf(" unless that is less than %g %% of the requests", 100*j.Settings.Negligible)
	}
	return fmt.Sprintf("compares %s with the primary's: fails a release that is as good in at most %g %% of cases, passes one that is %g "+
		"times as bad in at most %g %%%s, and without a verdict in time: %s",
		strings.Join(kinds, " and "), 100*j.Settings.Alpha, j.Settings.Regression, 100*j.Settings.Beta, negligible, j.OnInconclusive)
}
