// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// TestAnApprovalIsWaitedForSinceTheStatusHasItsGate: nobody could see how long a stage waited for people.
func TestAnApprovalIsWaitedForSinceTheStatusHasItsGate(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 5, time.UTC)
	started, began := metav1.NewTime(now.Truncate(time.Second)), metav1.NewTime(now.Add(-time.Hour))
	waits := func(bundle string, gates ...sluicev1.Gate) []sluicev1.StageStatus {
		return []sluicev1.StageStatus{{Name: "production", Wants: &sluicev1.Bundle{ID: bundle}, Waiting: gates}}
	}
	gate := func(kind sluicev1.GateType, since *metav1.Time) sluicev1.Gate {
		return sluicev1.Gate{Type: kind, Since: since}
	}
	approval := sluicev1.GateApproval
	for name, tc := range map[string]struct {
		before []sluicev1.StageStatus
		want   *metav1.Time
	}{
		"it begins with the first status":                       {want: &started},
		"it began with the status before":                       {before: waits("2", gate(approval, &began)), want: &began},
		"it begins anew with another bundle":                    {before: waits("1", gate(approval, &began)), want: &started},
		"it begins after another gate":                          {before: waits("2", gate(sluicev1.GateContent, &began)), want: &started},
		"it is unknown of a status that had no time of its own": {before: waits("2", gate(approval, nil))},
	} {
		t.Run(name, func(t *testing.T) {
			decided := waits("2", gate(approval, nil), gate(sluicev1.GateWindow, nil))
			got := withApprovalsSince(tc.before, decided, now)
			if diff := cmp.Diff(waits("2", gate(approval, tc.want), gate(sluicev1.GateWindow, nil)), got); diff != "" {
				t.Error(diff)
			}
			if decided[0].Waiting[0].Since != nil {
				t.Error("the decision was changed")
			}
		})
	}
}
