// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/make"
)

// now is the time of every test.
var now = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func TestCommandsThatMakeNoSense(t *testing.T) {
	phase := func(p flaggerv1.CanaryPhase) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) { c.Status.Phase = p }
	}
	hold := func(h flaggerv1.CanaryHold) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) { h.Since = metav1.NewTime(now.Add(-time.Minute)); c.Status.Hold = &h }
	}
	tests := map[string]struct {
		verb   flaggerv1.CommandVerb
		change func(*flaggerv1.Canary)
		want   string // part of it; empty is sensible
	}{
		"approving nothing": {flaggerv1.CommandApprove, phase("Progressing"), "is held by nothing; it is Progressing"},
		"approving a gate":  {flaggerv1.CommandApprove, hold(flaggerv1.CanaryHold{Kind: "gate", Gate: "confirm-rollout"}), ""},
		"approving twice": {
			flaggerv1.CommandApprove,
			hold(flaggerv1.CanaryHold{Kind: "gate", Gate: "confirm-rollout", Approved: true}),
			"gate confirm-rollout already",
		},
		"approving what Flagger left": {flaggerv1.CommandApprove, phase("WaitingPromotion"), ""},
		"ending a halt":               {flaggerv1.CommandApprove, hold(flaggerv1.CanaryHold{Kind: "halt"}), ""},
		"halting":                     {flaggerv1.CommandHalt, phase("Progressing"), ""},
		"halting twice": {
			flaggerv1.CommandHalt,
			hold(flaggerv1.CanaryHold{Kind: "halt", By: "eve"}),
			"is halted already by eve for ",
		},
		"halting what is paused":           {flaggerv1.CommandHalt, hold(flaggerv1.CanaryHold{Kind: "pause", By: "eve"}), ""},
		"halting at rest":                  {flaggerv1.CommandHalt, phase("Succeeded"), "has no release under way; it is Succeeded"},
		"pausing a promotion":              {flaggerv1.CommandPause, phase("Promoting"), "is past its analysis; it is Promoting"},
		"aborting at a gate":               {flaggerv1.CommandAbort, phase("Waiting"), ""},
		"aborting what was never seen":     {flaggerv1.CommandAbort, phase(""), "it is not looked at yet"},
		"promoting what failed":            {flaggerv1.CommandPromote, phase("Failed"), "has no release under way; it is Failed"},
		"retrying what failed":             {flaggerv1.CommandRetry, phase("Failed"), ""},
		"retrying what is still under way": {flaggerv1.CommandRetry, phase("Progressing"), "has not failed; it is Progressing"},
		"anything while suspended": {
			flaggerv1.CommandAbort,
			func(c *flaggerv1.Canary) { c.Spec.Suspend = true },
			"spec.suspend is false",
		},
		"anything while deleted": {
			flaggerv1.CommandAbort,
			func(c *flaggerv1.Canary) { c.DeletionTimestamp = new(metav1.NewTime(now)) },
			"is being deleted",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := make.Release(now)
			tc.change(c)
			got := report.ObjectionTo(tc.verb, c, now)
			if got != "" != (tc.want != "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestACommandIsPendingUntilTheControllerHasSeenIt(t *testing.T) {
	command := flaggerv1.CanaryCommand{Verb: flaggerv1.CommandHalt, At: metav1.NewMicroTime(now), By: "eve"}
	older := command
	older.At = metav1.NewMicroTime(now.Add(-time.Hour))
	tests := map[string]struct {
		annotation string
		last       *flaggerv1.CanaryCommand
		want       bool
	}{
		"no command":                         {"", nil, false},
		"a text that is no command":          {"stop", nil, false},
		"a command that nobody has seen yet": {command.String(), nil, true},
		"a command after another one":        {command.String(), &older, true},
		"a command that was carried out":     {command.String(), &command, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := report.PendingCommand(make.Release(now, func(c *flaggerv1.Canary) {
				c.Annotations = map[string]string{flaggerv1.CommandAnnotation: tc.annotation}
				c.Status.LastCommand = tc.last
			}))
			if (got != nil) != tc.want || got != nil && !got.Same(command) {
				t.Errorf("got %v, want one: %v", got, tc.want)
			}
		})
	}
}
