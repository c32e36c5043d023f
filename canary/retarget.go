package canary

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// retarget is the state of a canary that may have got another target since, and which
// it had. Nothing that was measured or promoted for one target may be given to the
// users of another, so that a canary begins with it as a new one does. Its commands
// and its history stay.
func retarget(s Observation, now time.Time) (state State, left string) {
	state = s.State
	switch state.Target {
	case s.Identity:
		return state, ""
	case "":
		state.Target = s.Identity
		return state, ""
	}
	left = state.Target
	history := copyHistory(state.History)
	if len(history) > 0 && history[0].EndedAt.IsZero() {
		history[0].Verdict, history[0].Reason, history[0].By = flaggerv1.VerdictSuperseded, "another target", ""
		history[0].EndedAt = metav1.NewTime(now)
	}
	return State{Target: s.Identity, LastCommand: state.LastCommand, History: history}, left
}
