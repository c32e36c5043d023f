package canary

import (
	"cmp"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// record writes the next state into the status, in memory, and says how it stands.
func (r *Reconciler) record(l *look, step canary.Decision) (reconciler.Result, error) {
	c, state := l.canary, step.State
	c.Status.Target = state.Target
	c.Status.Phase = state.Phase
	c.Status.FailedChecks = state.FailedChecks
	c.Status.CanaryWeight = state.Weight
	c.Status.Fallback = state.Fallback
	c.Status.Iterations = state.Iterations
	l.nameRevisions(state)
	r.keepProvider(c)
	c.Status.Hold, c.Status.LastCommand, c.Status.History = state.Hold, state.LastCommand, state.History
	remember(c, state.Cookies)
	if !state.At.Equal(l.prev.At) {
		c.Status.LastTransitionTime = metav1.NewTime(state.At)
		r.ticks.note(c.UID, state.At)
	}
	if l.pair.Revision != nil {
		c.Status.TrackedConfigs = l.pair.Revision.TrackedConfigs()
	}
	r.setPromoted(c)
	now := r.clock.Now()
	result := reconciler.Result{
		Reason: string(state.Phase), Message: step.Message, After: step.After,
		Recorded: func() { r.metrics.step(c, step, now) },
	}
	for _, e := range step.Events {
		result.Events = append(result.Events, eventOf(c, e))
	}
	if l.waits {
		result.After = answersTimeout
	} else {
		r.probe.forget(c.UID)
	}
	if pause := r.fights.pause(client.ObjectKeyFromObject(c)); pause > 0 && (result.After == 0 || pause < result.After) {
		result.After = pause
	}
	r.sample(l, step)
	return verdict(result, l, step)
}

// answersTimeout is when to look again although no answer came: each has a
// timeout of its own, and comes with a wake-up.
const answersTimeout = time.Minute

// sample follows the metrics of a canary that is being tried on users.
func (r *Reconciler) sample(l *look, step canary.Decision) {
	if canary.Sampled(step.State, l.seen.Plan) {
		r.sampler.follow(l.canary, step.State, l.seen.Plan)
	} else {
		r.sampler.forget(l.canary.UID)
	}
}

// remember puts the cookies of sessions into the status, in memory.
func remember(c *flaggerv1.Canary, cookies canary.Cookies) {
	c.Status.SessionAffinityCookie = cookies.Canary
	c.Status.PreviousSessionAffinityCookie = cookies.Previous
	c.Status.PrimarySessionAffinityCookie = cookies.Primary
}

// eventOf is a sentence as an event, whose annotations say what it is about.
func eventOf(c *flaggerv1.Canary, e canary.Event) reconciler.Event {
	kind := corev1.EventTypeNormal
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	metadata := map[string]string{
		flaggerv1.EventRevision: c.Status.Applied(),
		flaggerv1.EventWeight:   strconv.Itoa(c.Status.CanaryWeight),
	}
	if e.Alert != "" {
		metadata[flaggerv1.EventSeverity] = string(e.Alert)
	}
	return reconciler.Event{Type: kind, Reason: flaggerv1.EventSynced, Message: e.Message, Metadata: metadata}
}

// verdict says whether the canary is Ready, on its way, or stalled. A failed
// revision is stalled until Git has another one; when Git is back at what users
// have, all is well again.
func verdict(result reconciler.Result, l *look, step canary.Decision) (reconciler.Result, error) {
	reverted := l.seen.Target.Exists && l.seen.Target.Revision == step.State.Promoted
	switch {
	case step.Problem != "":
		after := max(l.seen.Plan.Interval, flaggerv1.MinAnalysisInterval)
		return result, reconciler.Waiting(errWaiting{step.Problem}, cmp.Or(step.After, after))
	case step.State.Phase == flaggerv1.CanaryPhaseFailed && step.After == 0 && !reverted:
		return result, reconcile.TerminalError(errFailed{step.Message})
	case step.Settling:
		result.Progressing = true
	case step.State.Phase == flaggerv1.CanaryPhaseFailed && step.After == 0:
	case step.State.Phase == flaggerv1.CanaryPhaseInitialized, step.State.Phase == flaggerv1.CanaryPhaseSucceeded:
	default:
		result.Progressing = true
	}
	return result, nil
}

// promoted is what Flagger's condition says in each phase of a Deployment; other
// kinds put their name there.
var promoted = map[flaggerv1.CanaryPhase]struct {
	status  metav1.ConditionStatus
	message string
}{
	flaggerv1.CanaryPhaseInitializing:     {metav1.ConditionUnknown, "New Deployment detected, starting initialization."},
	flaggerv1.CanaryPhaseInitialized:      {metav1.ConditionTrue, "Deployment initialization completed."},
	flaggerv1.CanaryPhaseWaiting:          {metav1.ConditionUnknown, "Waiting for approval."},
	flaggerv1.CanaryPhaseProgressing:      {metav1.ConditionUnknown, "New revision detected, progressing canary analysis."},
	flaggerv1.CanaryPhaseWaitingPromotion: {metav1.ConditionUnknown, "Waiting for approval."},
	flaggerv1.CanaryPhasePromoting:        {metav1.ConditionUnknown, "Canary analysis completed, starting primary rolling update."},
	flaggerv1.CanaryPhaseFinalising:       {metav1.ConditionUnknown, "Canary analysis completed, routing all traffic to primary."},
	flaggerv1.CanaryPhaseSucceeded:        {metav1.ConditionTrue, "Canary analysis completed successfully, promotion finished."},
	flaggerv1.CanaryPhaseFailed:           {metav1.ConditionFalse, "Canary analysis failed, Deployment scaled to zero."},
	flaggerv1.CanaryPhaseTerminating:      {metav1.ConditionUnknown, "Canary deleted, restoring the Deployment."},
	flaggerv1.CanaryPhaseTerminated:       {metav1.ConditionUnknown, "Canary deleted, the Deployment is restored."},
}

// setPromoted writes Flagger's condition, whose reason is the phase.
func (r *Reconciler) setPromoted(c *flaggerv1.Canary) {
	says := promoted[c.Status.Phase]
	if c.Status.Phase == flaggerv1.CanaryPhaseFailed && c.Status.CanaryWeight > 0 {
		says.message = "Canary analysis failed, traffic stays on the canary until the primary is ready."
	}
	conditions := c.GetConditions()
	apimeta.SetStatusCondition(&conditions, metav1.Condition{
		Type: string(flaggerv1.PromotedType), Status: says.status,
		Reason: string(c.Status.Phase), Message: strings.ReplaceAll(says.message, "Deployment", c.Spec.TargetRef.Kind),
		ObservedGeneration: c.Generation, LastTransitionTime: metav1.NewTime(r.clock.Now()),
	})
	c.SetConditions(conditions)
}

// ticks remembers the times of the last transitions precisely. The status has
// whole seconds, which would cut a stage of one second to nothing; after a
// restart that is all there is.
type ticks struct {
	mu sync.Mutex
	at map[types.UID]time.Time
}

func (t *ticks) note(uid types.UID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == nil {
		t.at = map[types.UID]time.Time{}
	}
	t.at[uid] = at
}

// precise returns the time of the last transition of c.
func (t *ticks) precise(c *flaggerv1.Canary) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	recorded := c.Status.LastTransitionTime.Time
	if at, ok := t.at[c.UID]; ok && at.Unix() == recorded.Unix() {
		return at
	}
	return recorded
}

func (t *ticks) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.at, uid)
}
