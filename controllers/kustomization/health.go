package kustomization

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// assess says whether what was applied is healthy, if anyone wants to know.
func (p *pass) assess(ctx context.Context) (reconciler.Result, error) {
	var h apply.Health
	switch others := p.others(); {
	case p.k.Spec.Wait:
		h = p.r.engine.Health(ctx, keyOf(p.k))
	case len(others) > 0:
		h = p.r.engine.HealthOf(ctx, keyOf(p.k), others)
	default:
		p.r.engine.Unwatch(keyOf(p.k))
		apimeta.RemoveStatusCondition(&p.k.Status.Conditions, meta.HealthyCondition)
		return p.ready(), nil
	}
	switch {
	case h.Healthy():
		p.healthy()
		return p.ready(), nil
	case len(h.Failed) > 0:
		return p.unhealthy("failed early due to stalled resources: " + list(h.Failed))
	case p.state.verdict != "" || !p.now.Before(p.state.since.Add(p.k.GetTimeout())):
		return p.unhealthy("timeout waiting for: " + list(h.Pending))
	}
	message := p.running()
	if len(h.Unserved) > 0 { // which may well be a mistake, and the timeout is long
		message += "; " + strings.Join(h.Unserved, "; ")
	}
	p.setHealthy(metav1.ConditionUnknown, meta.ProgressingReason, message)
	return reconciler.Result{
		Progressing: true, Reason: meta.ProgressingReason, Message: message,
		After: p.remaining(h), Events: p.events,
	}, nil
}

// running is what a health check says of itself while it runs.
func (p *pass) running() string {
	return fmt.Sprintf("Running health checks for revision %s with a timeout of %s", p.artifact.Revision, p.k.GetTimeout())
}

// healthy notes a passed check. One that was passed before, with nothing
// applied since, is no news.
func (p *pass) healthy() {
	waited := p.state.since
	p.state.verdict = ""
	was := apimeta.FindStatusCondition(p.k.Status.Conditions, meta.HealthyCondition)
	if was != nil && was.Status == metav1.ConditionTrue && was.ObservedGeneration == p.k.Generation && len(p.events) == 0 {
		return
	}
	message := "Health check passed in " + round(p.r.clock.Since(waited))
	p.setHealthy(metav1.ConditionTrue, meta.SucceededReason, message)
	p.tell(meta.ProgressingReason, message)
}

// unhealthy is a failed check. It stands until an object changes its state: the
// engine will tell.
func (p *pass) unhealthy(why string) (reconciler.Result, error) {
	if p.state.verdict == "" {
		p.state.verdict = "health check failed after " + round(p.now.Sub(p.state.since))
		p.history(meta.HealthCheckFailedReason)
	}
	message := p.state.verdict + ": " + why
	p.setHealthy(metav1.ConditionFalse, meta.HealthCheckFailedReason, p.state.mask.Text(why))
	return reconciler.Result{Events: p.events, Message: p.running()}, later(p.k, because(meta.HealthCheckFailedReason, errors.New(message)))
}

// ready is the result of a reconcile that reached its end. It is told only if
// there is something to tell: an object changed, or the Kustomization was not
// ready before.
func (p *pass) ready() reconciler.Result {
	k := p.k
	wasReady := apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition)
	k.Status.LastAppliedRevision = p.artifact.Revision
	k.Status.LastAppliedOriginRevision = p.artifact.Metadata[originRevision]
	if len(p.events) > 0 || !wasReady {
		p.history(meta.ReconciliationSucceededReason)
		p.tell(meta.ReconciliationSucceededReason, fmt.Sprintf("Reconciliation finished in %s, next run in %s",
			round(p.r.clock.Since(p.state.started)), k.Spec.Interval.Duration))
		// Upstream's notifications set a commit's status by this mark.
		p.events[len(p.events)-1].Metadata[kustomizev1.GroupVersion.Group+"/commit_status"] = "update"
	}
	return reconciler.Result{
		Reason:     meta.ReconciliationSucceededReason,
		Message:    "Applied revision: " + p.artifact.Revision,
		After:      p.next(),
		Events:     p.events,
		ReadyEvent: reconciler.SkipReadyEvent,
	}
}

// next is when to look again without news: after the interval, or when something
// that somebody keeps changing may be repaired.
func (p *pass) next() time.Duration {
	at := p.state.due
	if _, again := p.r.engine.Drift(keyOf(p.k)); !again.IsZero() && again.Before(at) {
		at = again
	}
	return max(at.Sub(p.now), time.Millisecond)
}

// history notes how an attempt ended.
func (p *pass) history(reason string) {
	about := map[string]string{"revision": p.artifact.Revision}
	if origin := p.artifact.Metadata[originRevision]; origin != "" {
		about["originRevision"] = origin
	}
	p.k.Status.History.Upsert(p.state.built.digest, p.now, p.r.clock.Since(p.state.started).Round(time.Millisecond), reason, about)
}

func (p *pass) setHealthy(status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(&p.k.Status.Conditions, metav1.Condition{
		Type: meta.HealthyCondition, Status: status, Reason: reason, Message: message,
		ObservedGeneration: p.k.Generation, LastTransitionTime: metav1.NewTime(p.now),
	})
}

func round(d time.Duration) string { return d.Round(time.Millisecond).String() }
