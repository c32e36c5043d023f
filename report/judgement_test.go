// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"strings"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/report"
)

func TestWhatTheJudgeSaysIsReportedWithoutItsEvidence(t *testing.T) {
	for name, tc := range map[string]struct {
		status       *flaggerv1.CanaryJudgeStatus
		verdict      string
		selfTest     string
		withoutJudge bool
	}{
		"a release that fails": {status: &flaggerv1.CanaryJudgeStatus{Outcome: "Fail", Message: "errors 4.1 times the primary's", Evidence: "x",
			CountedBy: "pods"},
			verdict: "Fail: errors 4.1 times the primary's"},
		"an arm that is not counted": {
			status:  &flaggerv1.CanaryJudgeStatus{Outcome: "Undecided", Message: "m", Problem: "nothing counts the canary"},
			verdict: "nothing counts the canary"},
		"before the first window": {status: &flaggerv1.CanaryJudgeStatus{Outcome: "Undecided"}, verdict: "nothing compared yet"},
		"a test of itself that failed": {status: &flaggerv1.CanaryJudgeStatus{Outcome: "Pass", Message: "m", ThresholdsOnly: true,
			SelfTest: &flaggerv1.CanaryJudgeSelfTest{Trials: 9, FalseAlarms: 3, Dispersion: "4.00", State: "x"}},
			verdict:  "Pass, but only thresholds decide: m",
			selfTest: "3 false alarms in 9 comparisons of the primary with itself, errors vary 4.00 times as much as by chance"},
		"a spec that asks for no judge": {status: &flaggerv1.CanaryJudgeStatus{Outcome: "Pass"}, withoutJudge: true},
		"no status":                     {},
	} {
		t.Run(name, func(t *testing.T) {
			c := &flaggerv1.Canary{}
			c.Spec.Analysis = &flaggerv1.CanaryAnalysis{StepWeight: 10, Judge: &flaggerv1.CanaryJudge{}}
			c.Status.Judge = tc.status
			if tc.withoutJudge {
				c.Spec.Analysis.Judge = nil
			}
			got := report.OfCanary(c).Judge
			if got.Verdict() != tc.verdict || got.SelfTest() != tc.selfTest || got.Prospect() != "" ||
				tc.status != nil && !tc.withoutJudge && got.Counter() != tc.status.CountedBy {
				t.Errorf("got %q, %q", got.Verdict(), got.SelfTest())
			}
		})
	}
}

func TestHowAReleaseIsJudgedIsSaidInWords(t *testing.T) {
	c := &flaggerv1.Canary{}
	c.Spec.Provider, c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name, c.Spec.Service.Port = "istio", "Deployment", "podinfo", 80
	c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "1m", StepWeight: 10, Judge: &flaggerv1.CanaryJudge{}}
	want := "compares errors and latency with the primary's: fails a release that is as good in at most 1 % of cases, passes one that is " +
		"2 times as bad in at most 5 % unless that is less than 0.1 % of the requests, and without a verdict in time: hold"
	for _, p := range report.HowItReleases(c) {
		if p.Name == "judge" {
			if p.Text != want {
				t.Errorf("got %q", p.Text)
			}
			return
		}
	}
	t.Error("nothing about the judge: " + strings.TrimSpace(want))
}
