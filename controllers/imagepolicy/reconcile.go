// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/signature"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/scan"
)

var (
	errAccessDenied = errors.New("access denied")
	errNotReady     = errors.New("dependency is not ready")
	errNoInterval   = errors.New("spec.interval must be set when spec.digestReflectionPolicy is set to 'Always'")
	errNoMatch      = errors.New("unable to determine latest tag")
	errUnverified   = fmt.Errorf("%w", errNoMatch)
)

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, p *imagev1.ImagePolicy) (reconciler.Result, error) {
	now := r.Clock.Now()
	compiled, err := compiledSpec(p, now)
	if err != nil {
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	repo, err := r.repository(ctx, p)
	if err != nil {
		return reconciler.Result{}, err
	}
	target, err := scan.NewTarget(repo)
	if err != nil {
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	tags, ok := r.Store.Get(repositoryKey(p), target)
	if !ok {
		return withoutTags(p, repo, target)
	}
	in := &inputs{policy: p, compiled: compiled, repo: repo, target: target, tags: tags, now: now}
	if in.work, err = compiled.Work(tags.Bytes()); err != nil {
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	if in.quarantine, err = r.quarantine(ctx, in); err != nil {
		return reconciler.Result{}, err
	}
	return r.choose(ctx, in)
}

// choose searches, and turns what was found into a status.
func (r *Reconciler) choose(ctx context.Context, in *inputs) (reconciler.Result, error) {
	asked := &lookUps{r: r, in: in, left: maxLookUps, started: r.caches().resume(in), ages: r.rememberAges(in)}
	out, err := search(ctx, in, r.caches().rank(in), asked)
	if err != nil || out.progress != complete {
		r.caches().searches.Put(in.key(), asked.started)
	}
	switch {
	case err != nil:
		return reconciler.Result{}, asRetry(err)
	case out.progress != complete:
		return interrupted(in, &out, !asked.started.requested.IsZero()), nil
	}
	r.caches().searches.Remove(in.key())
	in.policy.Status.Decision = evidence(in, &out)
	if out.chosen != nil {
		return record(in, &out), nil
	}
	return reconciler.Result{}, reconciler.Waiting(noMatch(in, &out), out.nextRun(in))
}

// asRetry says when a failed look-up is tried again: when the registry said so, with
// backoff, or not before the spec is edited.
func asRetry(err error) error {
	var limited *registry.RateLimited
	if errors.As(err, &limited) {
		return reconciler.Waiting(err, limited.After)
	}
	if errors.Is(err, identity.ErrRefused) {
		return reconcile.TerminalError(err)
	}
	return err
}

// compiledSpec checks and compiles the spec. Its errors are terminal: only an edit of
// the spec resolves them.
func compiledSpec(p *imagev1.ImagePolicy, now time.Time) (*policy.Policy, error) {
	switch p.Spec.DigestReflectionPolicy {
	case "", imagev1.ReflectNever, imagev1.ReflectIfNotPresent:
	case imagev1.ReflectAlways:
		if p.Spec.Interval == nil {
			return nil, errNoInterval
		}
	default:
		return nil, fmt.Errorf("%w: unknown spec.digestReflectionPolicy %q", policy.ErrInvalid, p.Spec.DigestReflectionPolicy)
	}
	return policy.CompileSpec(&p.Spec, now)
}

// withoutTags is the outcome while the tags are not in memory.
func withoutTags(p *imagev1.ImagePolicy, repo *imagev1.ImageRepository, target scan.Target) (reconciler.Result, error) {
	if ready, ok := validReady(p, repo, target); ok {
		return reconciler.Result{Reason: ready.Reason, Message: ready.Message, After: interval(p)}, nil
	}
	state := "was not scanned yet"
	ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
	switch {
	case repo.Spec.Suspend:
		state = "is suspended"
	case ready != nil && ready.Status == metav1.ConditionFalse:
		state = "is not ready: " + ready.Message
	}
	return reconciler.Result{}, reconciler.Pending( // a failed scan is told of the ImageRepository
		fmt.Errorf("%w: ImageRepository %s %s", errNotReady, repositoryKey(p), state), 0)
}

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(err error) string {
	switch {
	case errors.Is(err, errAccessDenied):
		return acl.AccessDeniedReason
	case errors.Is(err, errNotReady):
		return imagev1.DependencyNotReadyReason
	case errors.Is(err, errNoInterval):
		return imagev1.IntervalNotConfiguredReason
	case errors.Is(err, policy.ErrInvalid):
		return imagev1.InvalidPolicyReason
	case errors.Is(err, errUnverified), errors.Is(err, signature.ErrConfig):
		return imagev1.VerificationErrorReason
	case errors.Is(err, errNoMatch):
		return metav1.StatusFailure
	}
	return scan.Reason(err)
}
