// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// status is all that is known, as the status has it.
func (c *comparison) status() *flaggerv1.CanaryJudgeStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statusStale = false
	status := &flaggerv1.CanaryJudgeStatus{
		Outcome: string(c.verdict.Outcome), Message: shorten.Bytes(c.latest.Text, maxMessage, shorten.Dots),
		Problem:        shorten.Bytes(c.problem, maxMessage, shorten.Dots),
		ThresholdsOnly: c.distrusted(), Revision: c.subject.revision, Since: metav1.NewTime(c.subject.since),
		CountedBy: c.countedBy, Remarks: c.remarks, Outlook: c.outlook, History: c.history, SelfTest: c.selfTestStatus(),
	}
	if !c.window.IsZero() {
		at := metav1.NewMicroTime(c.window)
		status.Window = &at
		if text, err := c.release.MarshalText(); err == nil && len(text) <= maxEvidence {
			status.Evidence = string(text)
		}
	}
	for _, f := range c.verdict.Findings {
		status.Findings = append(status.Findings, flaggerv1.CanaryJudgeFinding{
			Metric: f.Metric, Outcome: string(f.Outcome), Over: f.Over, Ratio: ratioText(f), Message: shorten.Bytes(f.Text, 512, shorten.Dots)})
	}
	return status
}

// selfTestStatus is what comparing the primary with itself has come to; nil is nothing yet.
func (c *comparison) selfTestStatus() *flaggerv1.CanaryJudgeSelfTest {
	if c.baseline.Windows == 0 {
		return nil
	}
	status := &flaggerv1.CanaryJudgeSelfTest{
		Windows: int64(c.selfTest.Windows), Trials: int64(c.selfTest.Trials), FalseAlarms: int64(c.selfTest.FalseAlarms),
		Dispersion: fmt.Sprintf("%.2f", c.baseline.Dispersion()), Failed: c.distrusted(),
	}
	baseline, err := c.baseline.MarshalText()
	if err != nil {
		return status
	}
	if text, err := json.Marshal(storedSelfTest{c.source, string(baseline), c.selfTest}); err == nil && len(text) <= maxEvidence {
		status.State = string(text)
	}
	return status
}
