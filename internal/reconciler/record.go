package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
	r.observe(obj)
	r.mark(obj, out)
	changed, err := r.patchStatus(ctx, before, obj)
	if err != nil {
		return r.afterConflict(ctx, err)
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
func (r *runner[T]) observe(obj T) {
	seen := r.kind.Observed(obj)
	if seen.Generation != nil {
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
		if len(message) > maxMessage {
			message = message[:maxMessage] + "..."
		}
		apimeta.SetStatusCondition(&conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message,
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
		reason, message := r.ctrl.Reason(out.err), terminalMessage(out.err)
		set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
		set(meta.StalledCondition, metav1.ConditionTrue, reason, message)
		drop(meta.ReconcilingCondition)
	default:
		reason, message := r.ctrl.Reason(out.err), out.err.Error()
		set(meta.ReadyCondition, metav1.ConditionFalse, reason, message)
		set(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, message)
		drop(meta.StalledCondition)
	}
	obj.SetConditions(conditions)
}

// terminalMessage is the message of a terminal error without the words that
// controller-runtime puts before it, which mean nothing to a user.
func terminalMessage(err error) string {
	return strings.Replace(err.Error(), "terminal error: ", "", 1)
}

// patchStatus sends the difference between before and obj, if there is one.
// The optimistic lock keeps a stale cache from overwriting a newer status; when
// only the spec or the metadata moved meanwhile the status is still true, and
// is sent again on the new version so that no fact (a pushed commit) is lost.
func (r *runner[T]) patchStatus(ctx context.Context, before, obj T) (bool, error) {
	same, err := sameStatus(before, obj)
	if err != nil || same {
		return false, err
	}
	desired := obj.DeepCopyObject().(T)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err = r.client.Status().Patch(ctx, obj, patch)
	if err == nil {
		r.writes.wrote(obj)
	}
	if !apierrors.IsConflict(err) {
		return err == nil, err
	}
	live := r.kind.New()
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(before), live); err != nil {
		return false, err
	}
	if same, sameErr := sameStatus(before, live); sameErr != nil || !same {
		return false, err
	}
	desired.SetResourceVersion(live.GetResourceVersion())
	data, dataErr := statusPatch(before, desired)
	if dataErr != nil {
		return false, dataErr
	}
	if err := r.client.Status().Patch(ctx, live, client.RawPatch(patch.Type(), data)); err != nil {
		return false, err
	}
	r.writes.wrote(live)
	return true, nil
}

// statusPatch is the merge patch from before's status to desired's, locked to
// desired's resource version.
func statusPatch(before, desired client.Object) ([]byte, error) {
	base := before.DeepCopyObject().(client.Object)
	base.SetResourceVersion("")
	data, err := client.MergeFrom(base).Data(desired)
	if err != nil {
		return nil, err
	}
	var patch map[string]any
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": desired.GetResourceVersion()},
		"status":   patch["status"],
	})
}

// sameStatus compares only what the API server keeps under status.
func sameStatus(a, b client.Object) (bool, error) {
	x, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
	if err != nil {
		return false, fmt.Errorf("reading status of %s: %w", client.ObjectKeyFromObject(a), err)
	}
	y, err := runtime.DefaultUnstructuredConverter.ToUnstructured(b)
	if err != nil {
		return false, fmt.Errorf("reading status of %s: %w", client.ObjectKeyFromObject(b), err)
	}
	return equality.Semantic.DeepEqual(x["status"], y["status"]), nil
}

// announce emits the controller's own events, or one for a change of Ready.
func (r *runner[T]) announce(ctx context.Context, before, obj T, out outcome) {
	for _, e := range out.result.Events {
		r.tell(ctx, obj, e)
	}
	was := apimeta.FindStatusCondition(before.GetConditions(), meta.ReadyCondition)
	is := apimeta.FindStatusCondition(obj.GetConditions(), meta.ReadyCondition)
	if is == nil || (was != nil && was.Status == is.Status && was.Reason == is.Reason && was.Message == is.Message) {
		return
	}
	switch {
	case is.Status == metav1.ConditionFalse:
		e := Event{Type: corev1.EventTypeWarning, Reason: is.Reason, Message: is.Message}
		if _, waits := waitingFor(out.err); waits {
			r.tell(ctx, obj, e)
			return
		}
		r.opts.Recorder.Event(obj, e) // controller-runtime logs the error that it gets
	case is.Status == metav1.ConditionTrue && out.result.Events == nil:
		r.tell(ctx, obj, Event{Type: corev1.EventTypeNormal, Reason: is.Reason, Message: is.Message})
	}
}

// tell emits an event and logs it. `flux logs` prints nothing of a line but its
// message, so the event's text is the message, as it is in Flux's own logs.
func (r *runner[T]) tell(ctx context.Context, obj T, e Event) {
	if logger := log.FromContext(ctx); e.Type == corev1.EventTypeWarning {
		logger.Error(nil, e.Message, "reason", e.Reason)
	} else {
		logger.Info(e.Message, "reason", e.Reason)
	}
	r.opts.Recorder.Event(obj, e)
}
