// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// The body of a rollback said that closing it skips the bundle which is brought back, and not
// that this one was verified in the stage.
func TestWhatAPullRequestSays(t *testing.T) {
	for name, tc := range map[string]struct {
		kind sluicev1.LandingKind
		want []string
	}{
		"a promotion": {sluicev1.LandingPromotion, []string{"- verified in staging at ", "Closing this pull request skips this bundle; "}},
		"a rollback": {sluicev1.LandingRollback, []string{
			"- verified in production at ", "Closing this pull request leaves the stage as it is, with what failed.",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, proposes(never))
			e.clock.Step(1)
			now, b := e.clock.Now(), promotion.NewBundle([]sluicev1.Version{{Artifact: "app", Image: "registry/app", Tag: "1"}})
			landed := promotion.StageState{Landings: []promotion.Landing{{Bundle: b.ID, Verdict: promotion.VerdictVerified, VerdictAt: &now}}}
			d := promotion.Decision{State: promotion.State{Stages: map[string]promotion.StageState{"staging": landed, "production": landed}}}
			r := &run{pipeline: e.pipeline}
			body := defaultBody(r.message(promotion.Write{Stage: "production", Bundle: b, Kind: tc.kind}, d))
			for _, want := range tc.want {
				if !strings.Contains(body, want) {
					t.Errorf("no %q in\n%s", want, body)
				}
			}
			if own := strings.Contains(body, "verified in production"); own != (tc.kind == sluicev1.LandingRollback) {
				t.Errorf("it says that it was verified in production: %t", own)
			}
		})
	}
}

func TestTheSubjectOfAStateBeginsWithACapitalUnlessThatIsOfAName(t *testing.T) {
	for want, e := range map[string]promotion.Event{
		"App 2 is verified in staging": {Reason: "Verified", Message: "app 2 is verified in staging"},
		"alice promoted app 2":         {Reason: "CommandCarriedOut", Message: "alice promoted app 2"},
	} {
		got := stateMessage(shop(), promotion.Decision{Events: []promotion.Event{e}})
		if !strings.HasPrefix(got, want+"\n") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A command to a stage that is misspelt was told by an event alone.
func TestACommandToNoStageIsSaid(t *testing.T) {
	e := newEnv(t)
	e.pipeline.Annotations = map[string]string{"hold.sluice.dev/prod": `{"by":"alice","at":"2026-11-29T15:00:00Z"}`}
	result, err := e.Reconcile(t.Context(), e.pipeline)
	if want := "annotation hold.sluice.dev/prod is ignored: there is no stage prod"; err != nil || !strings.Contains(result.Message, want) {
		t.Errorf("got %q, %v, want %q", result.Message, err, want)
	}
}
