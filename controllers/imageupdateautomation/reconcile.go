package imageupdateautomation

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
)

// readyMessage is the one that Flux's clients know.
const readyMessage = "repository up-to-date"

// revisionAnnotation carries the pushed revision on the event of a push.
const revisionAnnotation = "image.toolkit.fluxcd.io/revision"

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, a *imagev1.ImageUpdateAutomation) (reconciler.Result, error) {
	events := r.restore(a)
	seen, err := r.observe(ctx, a)
	if err != nil {
		return reconciler.Result{Events: events}, err
	}
	ctx, cancel := context.WithTimeout(ctx, seen.timeout)
	defer cancel()
	written, err := r.Writer.Run(ctx, seen.request)
	pushConflicts.Add(float64(written.Conflicts))
	if errors.Is(err, git.ErrUnsupportedURL) {
		err = refuse(imagev1.InvalidSourceConfigReason, "GitRepository %s: spec.url: %w", sourceKey(a), err)
	}
	if err != nil {
		return reconciler.Result{Events: events}, err
	}
	if !written.Commit.IsZero() {
		events = append(events, r.pushed(a, seen, written))
	}
	r.record(ctx, a, seen, written)
	if written.Held != nil {
		// The choice has to change, or the marker: both start a run.
		return reconciler.Result{Events: events}, reconciler.Waiting(written.Held, a.Spec.Interval.Duration)
	}
	return reconciler.Result{
		Reason: meta.SucceededReason, Message: readyMessage,
		After: a.Spec.Interval.Duration, Events: events,
	}, nil
}

// pushed tells the source and remembers the push until the status has it.
func (r *Reconciler) pushed(a *imagev1.ImageUpdateAutomation, seen run, written writeback.Result) reconciler.Event {
	commit := written.Commit.String()
	if seen.request.Push == seen.follows {
		r.Hints.Publish(sourcev1.GitRepositoryKind, sourceKey(a), commit)
	}
	now := r.Clock.Now()
	for _, change := range written.Changed.Changes() {
		r.choices.observe(a.Namespace, change, now)
	}
	event := reconciler.Event{
		Type: corev1.EventTypeNormal, Reason: meta.SucceededReason,
		Message:  fmt.Sprintf("pushed commit '%s' to branch '%s'\n%s", commit[:7], seen.request.Push, written.Message),
		Metadata: map[string]string{revisionAnnotation: revision(seen.request.Push, commit)},
	}
	p := push{commit: commit, at: metav1.NewTime(now), event: event}
	r.pushes.remember(a.UID, p)
	p.writeTo(&a.Status)
	return event
}

// restore brings back a push that the status does not have, because writing it
// failed, and the event that was not told for the same reason.
func (r *Reconciler) restore(a *imagev1.ImageUpdateAutomation) []reconciler.Event {
	p, ok := r.pushes.unrecorded(a)
	if !ok {
		return nil
	}
	p.writeTo(&a.Status)
	return []reconciler.Event{p.event}
}

// record notes in the status what the run saw.
func (r *Reconciler) record(ctx context.Context, a *imagev1.ImageUpdateAutomation, seen run, written writeback.Result) {
	source := revision(seen.request.Checkout, written.Source.String())
	if misses := written.Report.NearMisses(); len(misses) > 0 && source != a.Status.ObservedSourceRevision {
		log.FromContext(ctx).Info("some image policy markers have no effect", "revision", source, "markers", misses)
	}
	now := metav1.NewTime(r.Clock.Now())
	a.Status.LastAutomationRunTime = &now
	a.Status.ObservedPolicies = seen.chosen
	a.Status.ObservedSourceRevision = source
}

// revision is a commit as Flux's statuses write it.
func revision(branch, commit string) string { return branch + "@sha1:" + commit }
