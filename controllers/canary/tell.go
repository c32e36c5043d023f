package canary

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/hook"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/alert"
)

// warnings remembers what each canary's owner was told already.
type warnings struct {
	mu   sync.Mutex
	last map[types.UID]string
}

// first reports whether text is news for the canary.
func (w *warnings) first(uid types.UID, text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = map[types.UID]string{}
	}
	if w.last[uid] == text {
		return false
	}
	w.last[uid] = text
	return true
}

func (w *warnings) forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, uid)
}

// warnOnce tells of a mistake that does not keep the canary from working.
func (r *Reconciler) warnOnce(c *flaggerv1.Canary, err error) {
	if r.warnings.first(c.UID, err.Error()) {
		r.teller.Event(c, reconciler.Event{Type: corev1.EventTypeWarning, Reason: flaggerv1.InvalidSpecReason, Message: err.Error()})
	}
}

// tellFights tells of objects that somebody keeps changing back.
func (r *Reconciler) tellFights(c *flaggerv1.Canary) {
	for _, what := range r.fights.told(client.ObjectKeyFromObject(c)) {
		r.teller.Event(c, eventOf(c, canary.Event{Warning: true, Message: what, Alert: flaggerv1.SeverityWarn}))
	}
}

// told are the phases that webhooks are told during an analysis: those that gate
// the rollout and roll it back hear the phase as it is, and the others Progressing.
func told(c *flaggerv1.Canary, hook flaggerv1.HookType) flaggerv1.CanaryPhase {
	if hook == flaggerv1.ConfirmRolloutHook || hook == flaggerv1.RollbackHook {
		return c.Status.Phase
	}
	return flaggerv1.CanaryPhaseProgressing
}

// call calls the webhooks of a type.
func (r *Reconciler) call(ctx context.Context, c *flaggerv1.Canary, hook flaggerv1.HookType) canary.Answer {
	return r.teller.hooks.Call(ctx, c, hook, told(c, hook))
}

// teller passes events on to all who want to hear of them: Kubernetes, webhooks
// of the type event, and chat rooms. What goes over the network is sent later.
type teller struct {
	reconciler.Recorder
	hooks  *hook.Caller
	alerts *alert.Notifier
}

func (r *Reconciler) newTeller(recorder reconciler.Recorder) (*teller, error) {
	t := &teller{Recorder: recorder}
	var err error
	if t.hooks, err = hook.New(hook.Options{Clock: r.Clock, Log: r.Log, EventWebhook: r.EventWebhook, Guard: r.Guard, Told: t.told}); err != nil {
		return nil, err
	}
	opts := r.Alerts
	opts.Reader, opts.Clock, opts.Log, opts.NoCrossNamespaceRefs, opts.Guard, opts.Failed = r.live, r.Clock, r.Log, r.NoCrossNamespaceRefs, r.Guard, t.failed
	t.alerts, err = alert.New(opts)
	return t, err
}

// Event implements [reconciler.Recorder].
func (t *teller) Event(object client.Object, e reconciler.Event) {
	t.Recorder.Event(object, e)
	c, ok := object.(*flaggerv1.Canary)
	if !ok {
		return
	}
	severity := flaggerv1.AlertSeverity(e.Metadata[flaggerv1.EventSeverity])
	t.hooks.Event(c, canary.Event{Warning: e.Type == corev1.EventTypeWarning, Message: e.Message, Alert: severity})
	if severity != "" {
		t.alerts.Send(alert.Alert{Canary: c, Severity: severity, Message: e.Message})
	}
}

// told tells what became of a hook that nobody waited for.
func (t *teller) told(c *flaggerv1.Canary, e canary.Event) { t.Event(c, eventOf(c, e)) }

// failed tells of an alert that could not be delivered, and alerts nobody of that.
func (t *teller) failed(c *flaggerv1.Canary, err error) {
	t.Recorder.Event(c, reconciler.Event{Type: corev1.EventTypeWarning, Reason: flaggerv1.EventAlertFailed, Message: err.Error()})
}
