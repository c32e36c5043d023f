// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"cmp"
	"context"
	"errors"
	"maps"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// reconcileResult is what one call of a Controller returned.
type reconcileResult struct {
	result Result
	err    error
}

// statuses are an object before its reconcile, and as it was written last, by a [Checkpoint].
type statuses[T Object] struct{ before, written T }

// record turns the outcome into conditions, patches the status if anything
// changed, and emits the events that belong to the change.
func (r *runner[T]) record(ctx context.Context, known statuses[T], obj T, out reconcileResult) (reconcile.Result, error) {
	ready := apimeta.FindStatusCondition(known.before.GetConditions(), meta.ReadyCondition)
	if isDeferred(out.err) && ready != nil && ready.ObservedGeneration == obj.GetGeneration() {
		after, _ := waitingFor(out.err)
		return reconcile.Result{RequeueAfter: after}, nil
	}
	r.recordHandled(obj, out)
	r.setConditions(obj, out)
	changed, err := r.patchStatus(ctx, known.written, obj)
	if err != nil {
		return r.afterConflict(ctx, err)
	}
	if out.result.Recorded != nil {
		out.result.Recorded()
	}
	if ready := apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition); ready != nil {
		r.recoveries.record(obj.GetUID(), ready.Status)
	}
	if changed || known.written.GetResourceVersion() != known.before.GetResourceVersion() {
		r.emitEvents(ctx, known.before, obj, out)
	} else {
		r.emitAlways(ctx, obj, out)
	}
	if out.err == nil {
		return reconcile.Result{RequeueAfter: out.result.After}, nil
	}
	if after, ok := waitingFor(out.err); ok {
		return reconcile.Result{RequeueAfter: after}, nil
	}
	return reconcile.Result{}, out.err
}

// recordHandled notes the generation and the reconcile request that this run handled.
func (r *runner[T]) recordHandled(obj T, out reconcileResult) {
	seen := r.kind.Observed(obj)
	settled := out.err == nil && !out.result.Progressing || errors.Is(out.err, reconcile.TerminalError(nil))
	if seen.Generation != nil && (settled || !r.kind.LagsUnlessReady) {
		*seen.Generation = obj.GetGeneration()
	}
	if at, ok := meta.ReconcileAnnotationValue(obj.GetAnnotations()); ok && seen.HandledAt != nil {
		*seen.HandledAt = at
	}
}

// setConditions sets Ready, Reconciling and Stalled as kstatus reads them.
func (r *runner[T]) setConditions(obj T, out reconcileResult) {
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		SetCondition(obj, r.opts.Clock.Now(), metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message})
	}
	switch {
	case out.err == nil && !out.result.Progressing:
		set(meta.ReadyCondition, metav1.ConditionTrue, out.result.Reason, out.result.Message)
		RemoveCondition(obj, meta.ReconcilingCondition)
		RemoveCondition(obj, meta.StalledCondition)
	case out.err == nil:
		set(meta.ReadyCondition, metav1.ConditionUnknown, out.result.Reason, out.result.Message)
		set(meta.ReconcilingCondition, metav1.ConditionTrue, out.result.Reason, out.result.Message)
		RemoveCondition(obj, meta.StalledCondition)
	case errors.Is(out.err, reconcile.TerminalError(nil)):
		reason, message := ReasonOf(out.err, r.ctrl.Reason), ConditionMessage(out.err)
		set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
		set(meta.StalledCondition, metav1.ConditionTrue, reason, message)
		RemoveCondition(obj, meta.ReconcilingCondition)
	default:
		reason, message := ReasonOf(out.err, r.ctrl.Reason), ConditionMessage(out.err)
		set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
		set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, cmp.Or(out.result.Message, message))
		RemoveCondition(obj, meta.StalledCondition)
	}
}

// emitEvents emits the controller's own events, or one for a change of Ready.
func (r *runner[T]) emitEvents(ctx context.Context, before, obj T, out reconcileResult) {
	for _, e := range out.result.Events {
		if e.AlertsOnly {
			r.emit(obj, e, out.result.About)
			continue
		}
		r.logAndEmit(ctx, obj, e, out.result.About)
	}
	was := apimeta.FindStatusCondition(before.GetConditions(), meta.ReadyCondition)
	is := apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
	if is == nil || saysSame(was, is) && !r.failsAnew(before, obj, is) {
		return
	}
	e := Event{Type: corev1.EventTypeNormal, Reason: is.Reason, Message: is.Message}
	switch {
	case is.Status == metav1.ConditionFalse && IsPending(out.err):
		r.logAndEmit(ctx, obj, e, out.result.About)
	case is.Status == metav1.ConditionFalse:
		e.Type = corev1.EventTypeWarning
		if _, waits := waitingFor(out.err); waits {
			r.logAndEmit(ctx, obj, e, out.result.About)
			return
		}
		r.emit(obj, e, out.result.About) // controller-runtime logs the error that it gets
	case is.Status == metav1.ConditionTrue && len(out.result.Events) == 0 && out.result.ReadyEvent == EmitReadyEvent:
		r.logAndEmit(ctx, obj, e, out.result.About)
	}
}

// emitAlways emits the events of a run that left the status as it was.
func (r *runner[T]) emitAlways(ctx context.Context, obj T, out reconcileResult) {
	for _, e := range out.result.Events {
		if e.Always {
			r.logAndEmit(ctx, obj, e, out.result.About)
		}
	}
}

func saysSame(was, is *metav1.Condition) bool {
	return was != nil && was.Status == is.Status && was.Reason == is.Reason && was.Message == is.Message
}

// failsAnew reports whether an object fails as before, but with another revision: the author of that revision gets an event
// too, and its commit a status.
func (r *runner[T]) failsAnew(before, obj T, ready *metav1.Condition) bool {
	return ready.Status == metav1.ConditionFalse && r.kind.About != nil && !maps.Equal(r.kind.About(before), r.kind.About(obj))
}

// logAndEmit emits an event and logs it. `flux logs` prints nothing of a line but its
// message, so the event's text is the message, as it is in Flux's own logs.
func (r *runner[T]) logAndEmit(ctx context.Context, obj T, e Event, about map[string]string) {
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
	e.Token = r.recoveries.token(obj.GetUID())
	r.opts.Recorder.Event(obj, e)
}
