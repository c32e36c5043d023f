package canary

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// A panic in the background ended the process for everybody.
func TestAPanicInTheBackgroundIsAFailedCheck(t *testing.T) {
	m := &meter{canary: podinfo()} // has nowhere to keep what it prepared
	if got := m.measure(t.Context(), []canary.Metric{{Name: "lag"}}); len(got) != 1 || got[0].Name != "lag" || !strings.Contains(got[0].Err, "panic") {
		t.Errorf("got %+v", got)
	}
	p := &probe{clock: clock.RealClock{}, feed: &feed{ctx: t.Context()},
		call: func(context.Context, *flaggerv1.Canary, flaggerv1.HookType) canary.Answer { panic("no such hook") }}
	l := &look{canary: podinfo()}
	due := canary.Questions{Hooks: []flaggerv1.HookType{flaggerv1.RolloutHook}}
	for deadline := time.Now().Add(20 * time.Second); !p.ask(l, due); {
		if time.Now().After(deadline) {
			t.Fatal("nobody answers")
		}
	}
	if answer := l.seen.Answers[flaggerv1.RolloutHook]; answer.OK || answer.Webhook != "rollout" || answer.Why == "" {
		t.Errorf("got %+v", answer)
	}
}
