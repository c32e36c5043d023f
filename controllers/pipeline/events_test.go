// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEventsOfABundleNameTheCommitThatBroughtIt is what statuses of commits are made of.
func TestEventsOfABundleNameTheCommitThatBroughtIt(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	var told []string
	look := func() {
		t.Helper()
		result, err := e.Reconcile(t.Context(), e.pipeline)
		must(t, err)
		for _, event := range result.Events {
			commit := event.Metadata["event.toolkit.fluxcd.io/commit"]
			subject := ""
			if commit != "" {
				subject = " " + strings.TrimSpace(e.repo.Git("log", "-1", "--format=%s", commit))
			}
			told = append(told, event.Reason+" "+event.Metadata["sluice.dev/stage"]+" "+event.Metadata["sluice.dev/state"]+subject)
		}
	}
	e.release("2")
	look()
	e.apply("staging")
	look()
	e.apply("production", fails)
	look()
	e.apply("production")
	look()
	want := []string{
		"Landed staging pending Promote staging to app 2",
		"Verified staging success Promote staging to app 2",
		"Landed production pending Promote production to app 2",
		"StageFailed production failure Promote production to app 2",
		"RolledBack production pending Roll back production to app 1",
		"Verified production success Roll back production to app 1",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}
