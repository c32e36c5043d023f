package reconciler

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// maxMessage bounds a condition's message; the API server refuses more than
// 32,768 bytes, and nobody reads that much.
const maxMessage = 8192

// outcome is what one call of a Controller returned.
type outcome struct {
	result Result
	err    error
}

// record turns the outcome into conditions, patches the status if anything
// changed, and emits the events that belong to the change.
func (r *runner[T]) record(ctx context.Context, before, obj T, out outcome) (reconcile.Result, error) {
	r.observe(obj, out)
	r.mark(obj, out)
	changed, err := r.patchStatus(ctx, before, obj)
	if err != nil {
		return r.afterConflict(ctx, err)
	}
	if out.result.Recorded != nil {
		out.result.Recorded()
	}
	if changed {
		r.announce(ctx, before, obj, out)
	}
	if out.err == nil {
		return reconcile.Result{RequeueAfter: out.result.After}, nil
	}
	if after, ok := waitingFor(out.err); ok {
		return reconcile.Result{RequeueAfter: after}, nil
	}
	return reconcile.Result{}, out.err
}

// observe notes the generation and the reconcile request that this run handled.
func (r *runner[T]) observe(obj T, out outcome) {
	seen := r.kind.Observed(obj)
	settled := out.err == nil && !out.result.Progressing || errors.Is(out.err, reconcile.TerminalError(nil))
	if seen.Generation != nil && (settled || !r.kind.LagsUnlessReady) {
		*seen.Generation = obj.GetGeneration()
	}
	if at, ok := meta.ReconcileAnnotationValue(obj.GetAnnotations()); ok && seen.HandledAt != nil {
		*seen.HandledAt = at
	}
}

// mark sets Ready, Reconciling and Stalled as kstatus reads them.
func (r *runner[T]) mark(obj T, out outcome) {
	conditions := obj.GetConditions()
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		apimeta.SetStatusCondition(&conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: kept(message),
			ObservedGeneration: obj.GetGeneration(),
			LastTransitionTime: metav1.NewTime(r.opts.Clock.Now()),
		})
	}
	drop := func(kind string) { apimeta.RemoveStatusCondition(&conditions, kind) }
	switch {
	case out.err == nil && !out.result.Progressing:
		set(meta.ReadyCondition, metav1.ConditionTrue, out.result.Reason, out.result.Message)
		drop(meta.ReconcilingCondition)
		drop(meta.StalledCondition)
	case out.err == nil:
		set(meta.ReadyCondition, metav1.ConditionUnknown, out.result.Reason, out.result.Message)
		set(meta.ReconcilingCondition, metav1.ConditionTrue, out.result.Reason, out.result.Message)
		drop(meta.StalledCondition)
	case errors.Is(out.err, reconcile.TerminalError(nil)):
		reason, message := r.ctrl.Reason(out.err), steady(terminalMessage(out.err))
		set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
		set(meta.StalledCondition, metav1.ConditionTrue, reason, message)
		drop(meta.ReconcilingCondition)
	default:
		reason, message := r.ctrl.Reason(out.err), steady(out.err.Error())
		set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
		set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, cmp.Or(out.result.Message, message))
		drop(meta.StalledCondition)
	}
	obj.SetConditions(conditions)
}

// kept is a message as the API server keeps it. Bytes that are no UTF-8, which are
// what a broken server may answer, would come back as other ones, and the condition
// would seem to change with every run.
func kept(message string) string {
	if len(message) > maxMessage {
		message = message[:maxMessage] + "..."
	}
	return strings.ToValidUTF8(message, "\uFFFD")
}

// terminalMessage is the message of a terminal error without the words that
// controller-runtime puts before it, which mean nothing to a user.
func terminalMessage(err error) string {
	return strings.Replace(err.Error(), "terminal error: ", "", 1)
}

// announce emits the controller's own events, or one for a change of Ready.
func (r *runner[T]) announce(ctx context.Context, before, obj T, out outcome) {
	for _, e := range out.result.Events {
		r.tell(ctx, obj, e, out.result.About)
	}
	was := apimeta.FindStatusCondition(before.GetConditions(), meta.ReadyCondition)
	is := apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
	if is == nil || (was != nil && was.Status == is.Status && was.Reason == is.Reason && was.Message == is.Message) {
		return
	}
	e := Event{Type: corev1.EventTypeNormal, Reason: is.Reason, Message: is.Message}
	switch {
	case is.Status == metav1.ConditionFalse && isPending(out.err):
		r.tell(ctx, obj, e, out.result.About)
	case is.Status == metav1.ConditionFalse:
		e.Type = corev1.EventTypeWarning
		if _, waits := waitingFor(out.err); waits {
			r.tell(ctx, obj, e, out.result.About)
			return
		}
		r.emit(obj, e, out.result.About) // controller-runtime logs the error that it gets
	case is.Status == metav1.ConditionTrue && len(out.result.Events) == 0 && out.result.ReadyEvent == EmitReadyEvent:
		r.tell(ctx, obj, e, out.result.About)
	}
}

// tell emits an event and logs it. `flux logs` prints nothing of a line but its
// message, so the event's text is the message, as it is in Flux's own logs.
func (r *runner[T]) tell(ctx context.Context, obj T, e Event, about map[string]string) {
	if logger := log.FromContext(ctx); e.Type == corev1.EventTypeWarning {
		logger.Error(nil, e.Message, "reason", e.Reason)
	} else {
		logger.Info(e.Message, "reason", e.Reason)
	}
	r.emit(obj, e, about)
}

// emit emits an event with everything that is known about the object. What the event
// says itself is the nearest, then what the run says, then what the status says.
func (r *runner[T]) emit(obj T, e Event, about map[string]string) {
	all := map[string]string{}
	if r.kind.About != nil {
		maps.Copy(all, r.kind.About(obj))
	}
	maps.Copy(all, about)
	maps.Copy(all, e.Metadata)
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	if e.Metadata = nil; len(all) > 0 {
		e.Metadata = all
	}
	r.opts.Recorder.Event(obj, e)
}
