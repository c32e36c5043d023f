// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"strconv"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

func rows(canaries []report.Canary, now time.Time) follow.Rows {
	rows := follow.Rows{Table: output.Table{Columns: []string{
		"NAMESPACE", "NAME", "PHASE", "WEIGHT", "IMAGE", "STEP", "FAILED", "HOLD", "SINCE",
		"REVISION", "TARGET", "PROVIDER", "STRATEGY", "JUDGE", "READY", "MESSAGE"}, Short: 9, Also: []int{14, 15}}}
	for _, c := range canaries {
		rows.Add(c, "canary."+flaggerv1.GroupVersion.Group+"/"+c.Name, row(c, now)...)
	}
	return rows
}

func row(c report.Canary, now time.Time) []string {
	since := ""
	if c.Since != nil {
		since = output.Ago(*c.Since, now)
	}
	return []string{
		c.Namespace, c.Name, string(c.Phase), strconv.Itoa(c.Weight), c.Image, step(c), failed(c), c.HeldBy(), since,
		report.ShortRevision(c.Revision), c.Target, c.Provider, string(c.Strategy), c.Judge.Word(), c.Ready, c.Message,
	}
}

// step is the step of the analysis among all of them, empty if there is none.
func step(c report.Canary) string {
	if c.Stage == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", c.Stage, c.Stages)
}

// failed is how many checks have failed of those that roll back.
func failed(c report.Canary) string {
	return fmt.Sprintf("%d/%d", c.FailedChecks, c.Threshold)
}
