// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/report"
)

func TestWhatIsSaidOfAPullRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		pr   *imagev1.PullRequestStatus
		want string
	}{
		"there is none": {},
		"one that waits": {
			&imagev1.PullRequestStatus{Number: 3, State: imagev1.PullRequestOpen, WaitsFor: "a person to merge it"},
			"pull request #3, waits for a person to merge it"},
		"one that is kept as it is": {
			&imagev1.PullRequestStatus{Number: 3, State: imagev1.PullRequestOpen, Frozen: "it is approved", WaitsFor: "a person to merge it"},
			"pull request #3, which keeps what it proposes: it is approved, waits for a person to merge it"},
		"one that is being changed": {&imagev1.PullRequestStatus{Number: 3, State: imagev1.PullRequestOpen}, "pull request #3"},
		"one that was merged":       {&imagev1.PullRequestStatus{Number: 3, State: imagev1.PullRequestMerged}, ""},
		"one that was declined": {
			&imagev1.PullRequestStatus{Number: 3, State: imagev1.PullRequestClosed, WaitsFor: "other content"},
			"pull request #3, waits for other content"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := report.AboutPullRequest(tc.pr); got != tc.want {
				t.Errorf("it says %q, want %q", got, tc.want)
			}
		})
	}
}
