// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/message"
)

// statusRecorder writes what was decided into the status.
type statusRecorder struct {
	clock       clock.PassiveClock
	routing     *routing
	transitions *transitions
	metrics     *metrics
	contentions *contentions
	queries     *queries
	sampler     *sampler
	comparisons *comparisons
	webhooks    *webhookAnswers
}

// record writes the next state into the status, in memory, and says how it stands.
func (r *statusRecorder) record(
	ctx context.Context, c *flaggerv1.Canary, seen *observed, decided canary.Decision,
) (reconciler.Result, error) {
	state := decided.State
	c.Status.Target = state.Target
	c.Status.Phase = state.Phase
	c.Status.FailedChecks = state.FailedChecks
	c.Status.CanaryWeight = state.Weight
	c.Status.Fallback = state.Fallback
	c.Status.Iterations = state.Iterations
	recordRevisions(c, seen.Target, state)
	r.routing.noteProvider(c)
	c.Status.Hold, c.Status.LastCommand, c.Status.History = state.Hold, state.LastCommand, state.History
	r.recordWebhooks(c, seen)
	recordCookies(c, state.Cookies)
	if !state.At.Equal(seen.prev.At) {
		c.Status.LastTransitionTime = metav1.NewTime(state.At)
		r.transitions.record(c.UID, state.At)
	}
	if seen.workloads.Revision != nil {
		c.Status.TrackedConfigs = seen.workloads.Revision.TrackedConfigs()
	}
	now := r.clock.Now()
	setPromoted(c, now)
	recordMissing(c, seen, now)
	result := reconciler.Result{
		Reason: string(state.Phase), Message: withRemarks(decided.Message, seen.remarks), After: decided.After,
		Recorded: func() { r.metrics.step(c, decided, now) },
	}
	for _, e := range decided.Events {
		result.Events = append(result.Events, eventOf(c, e))
	}
	if seen.pending {
		result.After = answersTimeout
	} else {
		r.queries.forget(c.UID)
	}
	if pause := r.contentions.pause(client.ObjectKeyFromObject(c)); pause > 0 && (result.After == 0 || pause < result.After) {
		result.After = pause
	}
	r.sample(ctx, c, state, seen.Plan)
	for _, e := range r.comparisons.record(ctx, c, seen, state) {
		result.Events = append(result.Events, eventOf(c, e))
	}
	result, err := readiness(result, seen.Observation, decided)
	return result, refusedAtRest(c, seen, decided, err)
}

// refusedAtRest is the refusal of a canary whose next release could not be measured, if
// there is nothing worse. Who mends a MetricTemplate does not touch the canary, so that it
// is looked at again.
func refusedAtRest(c *flaggerv1.Canary, seen *observed, decided canary.Decision, worse error) error {
	if seen.refused == nil || c.Status.UnderWay() || !strings.Contains(decided.Problem, seen.Unmeasurable) {
		return worse
	}
	return reconciler.Waiting(seen.refused, cmp.Or(decided.After, max(seen.Plan.Interval, installDelay)))
}

// answersTimeout is when to look again although no answer came: each has a
// timeout of its own, and comes with a wake-up.
const answersTimeout = time.Minute

// sample follows the metrics of a canary that is being tried on users.
func (r *statusRecorder) sample(ctx context.Context, c *flaggerv1.Canary, state canary.State, plan canary.Plan) {
	if canary.Sampled(state, plan) {
		r.sampler.follow(ctx, c, state, plan)
	} else {
		r.sampler.forget(c.UID)
	}
}

// recordCookies writes the cookies of sessions into the status, in memory.
func recordCookies(c *flaggerv1.Canary, cookies canary.Cookies) {
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
		flaggerv1.EventState:    commitState(c.Status.Phase),
	}
	if e.Alert != "" {
		metadata[flaggerv1.EventSeverity] = string(e.Alert)
	}
	return reconciler.Event{Type: kind, Reason: flaggerv1.EventSynced, Message: e.Message, Metadata: metadata}
}

// commitState is how a release stands in a phase, as a commit status has it.
func commitState(phase flaggerv1.CanaryPhase) string {
	switch phase {
	case flaggerv1.CanaryPhaseFailed:
		return message.StateFailure
	case flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseInitialized:
		return message.StateSuccess
	}
	return message.StatePending
}

// releaseState is commitState after a run. What keeps a release from beginning or going on until
// somebody mends the canary fails its commit. One that ended stands as it did, whatever there is to
// say of the canary since.
func releaseState(phase flaggerv1.CanaryPhase, err error) string {
	state := commitState(phase)
	if state == message.StatePending && errors.Is(err, reconcile.TerminalError(nil)) {
		return message.StateFailure
	}
	return state
}

// readiness says whether the canary is Ready, on its way, or stalled. A failed
// revision is stalled until Git has another one; when Git is back at what users
// have, all is well again.
func readiness(result reconciler.Result, seen canary.Observation, decided canary.Decision) (reconciler.Result, error) {
	reverted := seen.Target.Exists && seen.Target.Revision == decided.State.Promoted
	switch {
	case decided.Problem != "":
		after := max(seen.Plan.Interval, flaggerv1.MinAnalysisInterval)
		return result, reconciler.Waiting(notReady(decided.Problem), cmp.Or(decided.After, after))
	case decided.State.Phase == flaggerv1.CanaryPhaseFailed && decided.After == 0 && !reverted:
		return result, reconcile.TerminalError(failed(decided.Message))
	case decided.Settling:
		result.Progressing = true
	case decided.State.Phase == flaggerv1.CanaryPhaseFailed && decided.After == 0:
	case decided.State.Phase == flaggerv1.CanaryPhaseInitialized, decided.State.Phase == flaggerv1.CanaryPhaseSucceeded:
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
func setPromoted(c *flaggerv1.Canary, now time.Time) {
	says := promoted[c.Status.Phase]
	if c.Status.Phase == flaggerv1.CanaryPhaseFailed && c.Status.CanaryWeight > 0 {
		says.message = "Canary analysis failed, traffic stays on the canary until the primary is ready."
	}
	reconciler.SetCondition(c, now, metav1.Condition{
		Type: string(flaggerv1.PromotedType), Status: says.status,
		Reason: string(c.Status.Phase), Message: strings.ReplaceAll(says.message, "Deployment", c.Spec.TargetRef.Kind),
	})
}

// recordMissing says of a canary without anything to release what that is, where Flagger
// says that it was detected.
func recordMissing(c *flaggerv1.Canary, seen *observed, now time.Time) {
	if c.Status.Phase != flaggerv1.CanaryPhaseInitializing || seen.Target.Exists || seen.Primary.Exists {
		return
	}
	reconciler.SetCondition(c, now, metav1.Condition{
		Type: string(flaggerv1.PromotedType), Status: metav1.ConditionUnknown, Reason: string(c.Status.Phase),
		Message: seen.MissingTarget(),
	})
}

// transitions has the precise times of the last transitions of canaries, which go with
// them. The status has whole seconds, which would cut a stage of one second to nothing;
// after a restart that is all there is.
type transitions struct {
	mu    sync.Mutex
	times map[types.UID]time.Time
}

func (t *transitions) record(uid types.UID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.times == nil {
		t.times = map[types.UID]time.Time{}
	}
	t.times[uid] = at
}

// last returns the time of the last transition of c.
func (t *transitions) last(c *flaggerv1.Canary) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	recorded := c.Status.LastTransitionTime.Time
	if at, ok := t.times[c.UID]; ok && at.Unix() == recorded.Unix() {
		return at
	}
	return recorded
}

func (t *transitions) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.times, uid)
}
