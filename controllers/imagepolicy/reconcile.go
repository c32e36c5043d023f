package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/scan"
)

var (
	errAccessDenied = errors.New("access denied")
	errNotReady     = errors.New("dependency is not ready")
	errNoInterval   = errors.New("spec.interval must be set when spec.digestReflectionPolicy is set to 'Always'")
	errNoMatch      = errors.New("unable to determine latest tag")
)

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, p *imagev1.ImagePolicy) (reconciler.Result, error) {
	compiled, err := accept(p)
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
	chosen := compiled.Select(tags.All())
	if chosen.Tag == "" {
		return reconciler.Result{}, reconciler.Waiting(fmt.Errorf("%w: %s", errNoMatch, chosen.Why()), 0)
	}
	ref := imagev1.ImageRef{Name: repo.Spec.Image, Tag: strings.Clone(chosen.Tag)}
	if ref.Digest, err = r.digest(ctx, p, source{repo, target}, ref); err != nil {
		return reconciler.Result{}, err
	}
	return record(p, ref, chosen), nil
}

// accept checks the spec: what it returns as an error only an edit can cure.
func accept(p *imagev1.ImagePolicy) (*policy.Policy, error) {
	switch p.Spec.DigestReflectionPolicy {
	case "", imagev1.ReflectNever, imagev1.ReflectIfNotPresent:
	case imagev1.ReflectAlways:
		if p.Spec.Interval == nil {
			return nil, errNoInterval
		}
	default:
		return nil, fmt.Errorf("%w: unknown spec.digestReflectionPolicy %q", policy.ErrInvalid, p.Spec.DigestReflectionPolicy)
	}
	return policy.Compile(p.Spec.Policy, p.Spec.FilterTags)
}

// withoutTags is the outcome while the tags are not in memory.
func withoutTags(p *imagev1.ImagePolicy, repo *imagev1.ImageRepository, target scan.Target) (reconciler.Result, error) {
	if ready, ok := standing(p, repo, target); ok {
		return reconciler.Result{Reason: ready.Reason, Message: ready.Message, After: again(p)}, nil
	}
	state := "was not scanned yet"
	if repo.Spec.Suspend {
		state = "is suspended"
	} else if ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition); ready != nil && ready.Status == metav1.ConditionFalse {
		state = "is not ready: " + ready.Message
	}
	return reconciler.Result{}, reconciler.Waiting(
		fmt.Errorf("%w: ImageRepository %s %s", errNotReady, repositoryKey(p), state), 0)
}

// standing returns the Ready condition of a choice that still counts: it was
// made for the present spec, from a scan of what the repository asks for now.
// Without this every restart would turn every policy to not Ready and back.
func standing(p *imagev1.ImagePolicy, repo *imagev1.ImageRepository, target scan.Target) (*metav1.Condition, bool) {
	ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
	ok := ready != nil && ready.Status == metav1.ConditionTrue &&
		ready.ObservedGeneration == p.Generation &&
		p.Status.LatestRef != nil && p.Status.LatestRef.Name == repo.Spec.Image &&
		repo.Status.CanonicalImageName == target.Repository.String() &&
		slices.Equal(repo.Status.ObservedExclusionList, repo.GetExclusionList())
	return ready, ok
}

// record writes the choice into the status, and tells of a new one with the
// reasons for it.
func record(p *imagev1.ImagePolicy, ref imagev1.ImageRef, why policy.Decision) reconciler.Result {
	status := &p.Status
	changed := status.LatestRef == nil || *status.LatestRef != ref
	if changed {
		status.ObservedPreviousRef, status.LatestRef = status.LatestRef, &ref
	}
	result := reconciler.Result{Reason: meta.SucceededReason, Message: message(status), After: again(p)}
	if changed {
		result.Events = []reconciler.Event{{
			Type: corev1.EventTypeNormal, Reason: meta.SucceededReason,
			Message: result.Message + "; " + why.Why(),
		}}
	}
	return result
}

// message is the sentence that Flux says and that clients parse.
func message(status *imagev1.ImagePolicyStatus) string {
	latest, previous := status.LatestRef, status.ObservedPreviousRef
	said := fmt.Sprintf("Latest image tag for %s resolved to %s", latest.Name, latest.Tag)
	if latest.Digest != "" {
		said += " with digest " + latest.Digest
	}
	if previous != nil && *previous != *latest {
		said += fmt.Sprintf(" (previously %s)", previous)
	}
	return said
}

// again is when to look once more without being told to: only a digest can
// change without a scan that says so.
func again(p *imagev1.ImagePolicy) time.Duration {
	if p.Spec.DigestReflectionPolicy == imagev1.ReflectAlways && p.Spec.Interval != nil {
		return p.Spec.Interval.Duration
	}
	return 0
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
	case errors.Is(err, scan.ErrInvalidReference):
		return imagev1.ImageURLInvalidReason
	case errors.Is(err, scan.ErrInvalidExclusion):
		return imagev1.InvalidExclusionListReason
	case errors.Is(err, scan.ErrCredentials), errors.Is(err, scan.ErrUnauthorized):
		return imagev1.AuthenticationFailedReason
	case errors.Is(err, errNoMatch):
		return metav1.StatusFailure
	}
	return imagev1.ReadOperationFailedReason
}
