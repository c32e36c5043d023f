package canary

import (
	"fmt"
	"slices"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// soon is how long after a step that another one follows at once: long enough for
// the recorded status to be seen.
const soon = 50 * time.Millisecond

// Due returns what to find out before [Decide]. It is asked again with the
// answers, since one may lead to another question.
func Due(s Observation, now time.Time) Questions {
	step, err := Decide(s, now)
	if err != nil {
		return Questions{}
	}
	return step.due
}

// Decide computes the next step. It fails only on a phase that it does not know.
func Decide(s Observation, now time.Time) (Decision, error) {
	state, left := retarget(s, now)
	s.State = state
	s.State = adopt(s)
	s.State.Fallback = s.fallback()
	t := &turn{Observation: s, now: now, was: s.State}
	t.State.History = copyHistory(s.State.History)
	if left != "" {
		t.say("Target %s is another than %s! Initializing %s.%s", s.Identity, left, s.Canary, s.Namespace)
	}
	t.obey()
	switch {
	case t.over:
	case t.State.Phase == "" || t.State.Phase == flaggerv1.CanaryPhaseInitializing:
		t.initialize()
		return t.finish(), nil
	default:
		proceed, ok := phases[t.State.Phase]
		if !ok {
			return Decision{}, fmt.Errorf("status.phase: %q is unknown", t.State.Phase)
		}
		proceed(t)
	}
	if !t.step.due.None() {
		t = t.undecided(s)
	}
	t.upkeep()
	t.diagnose()
	return t.finish(), nil
}

// undecided changes nothing: what there is to do depends on answers that are not
// there yet.
func (t *turn) undecided(s Observation) *turn {
	return &turn{Observation: s, now: t.now, was: t.was, step: Decision{due: t.step.due, Message: t.step.Message, After: soon}}
}

// phases are what is done in each phase but the first.
var phases = map[flaggerv1.CanaryPhase]func(*turn){
	flaggerv1.CanaryPhaseInitialized:      (*turn).rest,
	flaggerv1.CanaryPhaseSucceeded:        (*turn).rest,
	flaggerv1.CanaryPhaseWaiting:          (*turn).rest,
	flaggerv1.CanaryPhaseFailed:           (*turn).fallen,
	flaggerv1.CanaryPhaseProgressing:      (*turn).analyse,
	flaggerv1.CanaryPhaseWaitingPromotion: (*turn).analyse,
	flaggerv1.CanaryPhasePromoting:        (*turn).promote,
	flaggerv1.CanaryPhaseFinalising:       (*turn).finalise,
}

// promoting reports whether the primary is being given a revision.
func promoting(phase flaggerv1.CanaryPhase) bool {
	return phase == flaggerv1.CanaryPhasePromoting || phase == flaggerv1.CanaryPhaseFinalising
}

// analysing reports whether a phase is one of an analysis.
func analysing(phase flaggerv1.CanaryPhase) bool {
	return phase == flaggerv1.CanaryPhaseProgressing || phase == flaggerv1.CanaryPhaseWaitingPromotion
}

// turn is one run of Decide: what was seen, and the step as it takes shape.
// Its embedded State is the next one.
type turn struct {
	Observation
	now  time.Time
	was  State
	step Decision
	// over means that a command has ended the release, and the phase has no say.
	over bool
}

func (t *turn) finish() Decision {
	t.step.State = t.State
	return t.step
}

func (t *turn) do(actions ...Action) { t.step.Actions = append(t.step.Actions, actions...) }

func (t *turn) say(format string, args ...any) {
	t.step.Events = append(t.step.Events, Event{Message: fmt.Sprintf(format, args...)})
}

func (t *turn) warn(format string, args ...any) {
	t.step.Events = append(t.step.Events, Event{Warning: true, Message: fmt.Sprintf(format, args...)})
}

// alert tells chat rooms of the last event, too.
func (t *turn) alert(severity flaggerv1.AlertSeverity) {
	t.step.Events[len(t.step.Events)-1].Alert = severity
}

// message says where things stand.
func (t *turn) message(format string, args ...any) { t.step.Message = fmt.Sprintf(format, args...) }

// enter moves to another phase.
func (t *turn) enter(phase flaggerv1.CanaryPhase) {
	t.State.Phase, t.State.At = phase, t.now
}

// wait comes back when a watch says so, or after an interval.
func (t *turn) wait(format string, args ...any) {
	t.message(format, args...)
	t.step.After = max(t.Plan.Interval, time.Second)
}

// left is how long the current stage still lasts.
func (t *turn) left() time.Duration { return t.State.At.Add(t.Plan.Interval).Sub(t.now) }

// route sends the canary its percentage of the users.
func (t *turn) route(w Weights) {
	t.State.Weight, t.State.Fallback = w.Canary, nil
	if t.Plan.Routed {
		t.do(SetWeights{w})
	}
}

// land sends every user to the primary, unless only the canary can answer.
func (t *turn) land() bool {
	if t.stranded() {
		t.fallBack()
	}
	if t.occupied() && !t.Primary.Serves() && t.Target.Serves() {
		return false
	}
	t.route(Stable)
	return true
}

// occupied reports whether there may be users on the canary: those of the state,
// or those whom a step sent there that was lost before it was recorded. A route
// that nobody took up does not tell.
func (t *turn) occupied() bool {
	return t.Plan.Routed && (t.State.Weight > 0 || t.Weights.Canary > 0 || t.RoutePending)
}

// pinned reports whether the target is the revision under analysis.
func (t *turn) pinned() bool {
	return t.Target.Exists && t.State.Applied != "" && t.Target.Revision == t.State.Applied
}

// trusted reports whether the canary may have users: its pods answer, and they
// are what is under analysis.
func (t *turn) trusted() bool { return t.pinned() && (t.Target.Serves() || t.Plan.InPlace) }

// have reports whether a revision can be given to the primary.
func (t *turn) have(revision string) bool {
	return revision != "" && (t.Snapshots[revision] || t.Target.Exists && t.Target.Revision == revision)
}

// prune forgets revisions that neither the recorded state nor the next one knows:
// the next one may be lost in a crash.
func (t *turn) prune() {
	keep := []string{t.was.Applied, t.was.Promoted, t.State.Applied, t.State.Promoted}
	for revision, saved := range t.Snapshots {
		if saved && !slices.Contains(keep, revision) {
			slices.Sort(keep)
			t.do(Prune{slices.Compact(keep)})
			return
		}
	}
}

// upkeep puts back what somebody changed. It comes last, so that it upholds what
// the step decided, and its Services come first.
func (t *turn) upkeep() {
	kept := []Action{EnsureServices{}, EnsureApex{}, EnsureRoute{}}
	if t.Plan.Worker {
		kept = nil
	}
	if t.adopted() {
		kept = append(kept, Snapshot{t.State.Applied})
	}
	t.step.Actions = append(kept, t.step.Actions...)
	t.uphold()
	if t.Plan.Autoscaled || t.Edited {
		t.do(EnsureScaler{}) // whatever is wrong with it must not keep users from leaving
	}
	t.prune()
}

// uphold puts back weights that somebody changed.
func (t *turn) uphold() {
	t.bind()
	if !t.Plan.Routed || t.RoutePending {
		return
	}
	for _, a := range t.step.Actions {
		if _, ok := a.(SetWeights); ok {
			return
		}
	}
	wanted := t.Plan.weights(t.State)
	switch {
	case wanted == t.Weights && t.Everyone == t.everyone() && t.State.Cookies == t.was.Cookies:
	case wanted.Canary > t.Weights.Canary && !t.trusted():
	case wanted.Canary < t.Weights.Canary && !t.Primary.Serves() && t.Target.Serves():
	default:
		t.do(SetWeights{wanted})
	}
}
