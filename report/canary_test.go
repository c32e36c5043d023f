// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/make"
)

// TestWhatWasTakenBackIsNotTriedAgain: the retry that was offered was refused, as there is no failed revision any more.
func TestWhatWasTakenBackIsNotTriedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		phase             flaggerv1.CanaryPhase
		applied, promoted string
		want              bool
	}{
		"a revision that failed":             {flaggerv1.CanaryPhaseFailed, "new", "old", true},
		"the promoted one, after a revert":   {flaggerv1.CanaryPhaseFailed, "old", "old", false},
		"one that was asked for already":     {flaggerv1.CanaryPhaseFailed, "", "old", false},
		"one that is under way":              {flaggerv1.CanaryPhaseProgressing, "new", "old", false},
		"a first one that was never healthy": {flaggerv1.CanaryPhaseFailed, "new", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &flaggerv1.Canary{}
			c.Status.Phase, c.Status.LastAppliedSpec, c.Status.LastPromotedSpec = tc.phase, tc.applied, tc.promoted
			if got := report.OfCanary(c).Retriable; got != tc.want {
				t.Errorf("retriable: %v", got)
			}
			remedies := fmt.Sprint(report.Lanes(report.Objects{Canaries: []flaggerv1.Canary{*c}}).Items)
			if got := strings.Contains(remedies, "canary retry"); got != tc.want {
				t.Errorf("the lane offers it: %v", got)
			}
		})
	}
}

func TestCanary(t *testing.T) {
	c := make.Release(now)
	since := now.Add(-5*time.Minute - 500*time.Millisecond)
	want := report.Canary{
		Namespace: "apps", Name: "podinfo", Phase: "Progressing", Weight: 40, Image: "podinfo:6.1.0 +1", Revision: make.NewRevision,
		Stage: 2, Stages: 3, FailedChecks: 1, Threshold: 3, Since: &since, Target: "Deployment/podinfo", Provider: "gatewayapi:v1",
		Strategy: "canary", Ready: "Unknown", Message: "step 2 of 3", Release: &c.Status.History[0],
	}
	if diff := cmp.Diff(want, report.OfCanary(c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhereACanaryStands(t *testing.T) {
	phase := func(p flaggerv1.CanaryPhase) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) { c.Status.Phase = p }
	}
	tests := map[string]struct {
		change   func(*flaggerv1.Canary)
		stage    int
		stages   int
		image    string
		revision string
	}{
		"in the second step":         {phase("Progressing"), 2, 3, "podinfo:6.1.0 +1", make.NewRevision},
		"in the first":               {func(c *flaggerv1.Canary) { c.Status.CanaryWeight = 20 }, 1, 3, "podinfo:6.1.0 +1", make.NewRevision},
		"before the first":           {func(c *flaggerv1.Canary) { c.Status.CanaryWeight = 0 }, 0, 3, "podinfo:6.1.0 +1", make.NewRevision},
		"at a gate of the promotion": {phase("WaitingPromotion"), 2, 3, "podinfo:6.1.0 +1", make.NewRevision},
		"promoting":                  {phase("Promoting"), 3, 3, "podinfo:6.1.0 +1", make.NewRevision},
		"finalising":                 {phase("Finalising"), 3, 3, "podinfo:6.1.0 +1", make.NewRevision},
		"at rest":                    {phase("Succeeded"), 0, 3, "podinfo:6.1.0 +1", make.NewRevision},
		"blue/green, at the third check": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.StepWeight, c.Spec.Analysis.Iterations = 0, 5
			c.Status.CanaryWeight, c.Status.Iterations = 0, 3
		}, 3, 6, "podinfo:6.1.0 +1", make.NewRevision},
		"a spec that is refused": {
			func(c *flaggerv1.Canary) { c.Spec.Analysis.Metrics = unreadable }, 0, 0, "podinfo:6.1.0 +1", make.NewRevision,
		},
		"an image with a digest": {
			func(c *flaggerv1.Canary) { c.Status.History[0].Images = []string{"x/y@sha256:0123456789"} },
			2,
			3,
			"y@0123456",
			make.NewRevision,
		},
		"an image with a tag and a digest": {func(c *flaggerv1.Canary) { c.Status.History[0].Images = []string{"x/y:1@sha256:0123456789"} },
			2, 3, "y:1", make.NewRevision},
		"a revision that has no images": {func(c *flaggerv1.Canary) { c.Status.History[0].Revision = "sha256:cc" }, 2, 3, "", make.NewRevision},
		"back at an earlier release after one that failed": {func(c *flaggerv1.Canary) {
			c.Status.LastAppliedSpec = make.OldRevision
			c.Status.History = append(c.Status.History, flaggerv1.CanaryRelease{Revision: make.OldRevision, Images: []string{"podinfo:6.0.1"}})
		}, 2, 3, "podinfo:6.0.1", make.OldRevision},
		"nothing was tried": {func(c *flaggerv1.Canary) { c.Status.LastAppliedSpec = "" }, 2, 3, "", make.OldRevision},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := report.OfCanary(make.Release(now, tc.change))
			if got.Stage != tc.stage || got.Stages != tc.stages || got.Image != tc.image || got.Revision != tc.revision {
				t.Errorf("step %d of %d, image %q, revision %q; want %d of %d, %q, %q",
					got.Stage, got.Stages, got.Image, got.Revision, tc.stage, tc.stages, tc.image, tc.revision)
			}
		})
	}
}

func TestWhatHoldsARelease(t *testing.T) {
	tests := map[string]struct {
		hold      *flaggerv1.CanaryHold
		suspended bool
		want      string
	}{
		"nothing":  {nil, false, ""},
		"a person": {&flaggerv1.CanaryHold{Kind: "halt", By: "eve"}, false, "halt by eve"},
		"somebody": {&flaggerv1.CanaryHold{Kind: "pause"}, false, "pause"},
		"a gate":   {&flaggerv1.CanaryHold{Kind: "gate", Gate: "confirm-promotion", By: "gate"}, false, "confirm-promotion"},
		"a gate that opened": {
			&flaggerv1.CanaryHold{Kind: "gate", Gate: "confirm-promotion", Approved: true},
			false,
			"confirm-promotion (approved)",
		},
		"the spec": {&flaggerv1.CanaryHold{Kind: "halt"}, true, "suspended"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := (report.Canary{Hold: tc.hold, Suspended: tc.suspended}).HeldBy(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTransitions(t *testing.T) {
	tests := map[string]struct {
		change func(*flaggerv1.Canary)
		want   bool
	}{
		"nothing":            {func(*flaggerv1.Canary) {}, false},
		"another message":    {func(c *flaggerv1.Canary) { c.Status.Conditions[0].Message = "x" }, false},
		"time":               {func(c *flaggerv1.Canary) { c.Status.LastTransitionTime = metav1.NewTime(now) }, false},
		"the phase":          {func(c *flaggerv1.Canary) { c.Status.Phase = "Promoting" }, true},
		"the weight":         {func(c *flaggerv1.Canary) { c.Status.CanaryWeight = 41 }, true},
		"a failed check":     {func(c *flaggerv1.Canary) { c.Status.FailedChecks = 2 }, true},
		"another revision":   {func(c *flaggerv1.Canary) { c.Status.LastAppliedSpec = "sha256:cc" }, true},
		"the image":          {func(c *flaggerv1.Canary) { c.Status.History[0].Images = []string{"x"} }, true},
		"a hold":             {func(c *flaggerv1.Canary) { c.Status.Hold = &flaggerv1.CanaryHold{Kind: "halt"} }, true},
		"the condition":      {func(c *flaggerv1.Canary) { c.Status.Conditions[0].Status = metav1.ConditionFalse }, true},
		"a person's command": {func(c *flaggerv1.Canary) { c.Status.LastCommand = &flaggerv1.CanaryCommand{Verb: "halt"} }, true},
	}
	before := report.OfCanary(make.Release(now))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := !before.SamePosition(report.OfCanary(make.Release(now, tc.change))); got != tc.want {
				t.Errorf("a transition: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestNews(t *testing.T) {
	tests := map[string]struct {
		change func(*flaggerv1.Canary)
		want   string
	}{
		"why the last check failed": {func(*flaggerv1.Canary) {}, "success rate 62.50% < 99%"},
		"no check has failed":       {func(c *flaggerv1.Canary) { c.Status.FailedChecks = 0 }, "step 2 of 3"},
		"a check failed without a reason": {func(c *flaggerv1.Canary) {
			c.Status.History[0].Steps[1].Measured = nil
		}, "step 2 of 3"},
		"there is no release": {func(c *flaggerv1.Canary) { c.Status.History = nil }, "step 2 of 3"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := report.OfCanary(make.Release(now, tc.change)).ProgressMessage(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// unreadable are metrics with an interval that is none.
var unreadable = []flaggerv1.CanaryMetric{{Name: "lag", Interval: "1mm"}}
