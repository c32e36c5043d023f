package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
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
	compiled, err := accept(p, now)
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
	work, err := compiled.Work(tags.Bytes())
	if err != nil {
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	s := &search{Reconciler: r, policy: p, compiled: compiled, from: source{repo, target}, tags: tags, now: now, left: lookUps, work: work}
	return s.conclude(ctx)
}

// conclude searches, and turns what was found into a status.
func (s *search) conclude(ctx context.Context) (reconciler.Result, error) {
	s.resume()
	s.restore()
	if err := s.run(ctx); err != nil {
		s.suspend()
		return reconciler.Result{}, patient(err)
	}
	if s.bound {
		s.suspend()
		return s.unfinished(), nil
	}
	s.finish()
	s.policy.Status.Decision = s.evidence()
	if s.chosen != nil {
		return s.record(s.ref()), nil
	}
	return reconciler.Result{}, reconciler.Waiting(s.noMatch(), s.again())
}

// patient waits as long as a registry asks for, and for ever for what only an edit
// helps.
func patient(err error) error {
	var limited *registry.RateLimited
	if errors.As(err, &limited) {
		return reconciler.Waiting(err, limited.After)
	}
	if errors.Is(err, identity.ErrRefused) {
		return reconcile.TerminalError(err)
	}
	return err
}

// unfinished is the outcome of a run that was interrupted. A choice that the
// policy's present spec allows counts meanwhile, unless somebody waits for the
// look-up that is not done: then it is Progressing.
func (s *search) unfinished() reconciler.Result {
	p := s.policy
	ready, ok := standing(p, s.from.repo, s.from.target)
	stands := ok && s.qualifies(p.Status.LatestRef.Tag)
	if (!stands || !s.pending) && !s.surveying {
		p.Status.Decision = s.evidence()
	}
	switch {
	case s.surveying && (!stands || !s.asked.IsZero()):
		return reconciler.Result{
			Progressing: true, Reason: meta.ProgressingReason, After: s.again(),
			Message: fmt.Sprintf("looking at the %d tags of %s", s.tags.Len(), s.from.repo.Spec.Image),
		}
	case s.pending && (!stands || !s.asked.IsZero()):
		return reconciler.Result{
			Progressing: true, Reason: meta.ProgressingReason, After: s.again(),
			Message: fmt.Sprintf("waiting for %s to answer", s.from.target.Repository.RegistryStr()),
		}
	case stands:
		return reconciler.Result{Reason: ready.Reason, Message: ready.Message, After: s.again()}
	}
	return reconciler.Result{
		Progressing: true, Reason: meta.ProgressingReason, After: s.again(),
		Message: fmt.Sprintf("looking at the candidates of %s: %d were dropped, %d are left", s.from.repo.Spec.Image, len(s.looked), s.unchecked()),
	}
}

// accept checks the spec: what it returns as an error only an edit can cure.
func accept(p *imagev1.ImagePolicy, now time.Time) (*policy.Policy, error) {
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
	if ready, ok := standing(p, repo, target); ok {
		return reconciler.Result{Reason: ready.Reason, Message: ready.Message, After: interval(p)}, nil
	}
	state := "was not scanned yet"
	if repo.Spec.Suspend {
		state = "is suspended"
	} else if ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition); ready != nil && ready.Status == metav1.ConditionFalse {
		state = "is not ready: " + ready.Message
	}
	return reconciler.Result{}, reconciler.Pending( // a failed scan is told of the ImageRepository
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
func (s *search) record(ref imagev1.ImageRef) reconciler.Result {
	status := &s.policy.Status
	why := s.because()
	changed := status.LatestRef == nil || *status.LatestRef != ref
	if changed {
		status.ObservedPreviousRef, status.LatestRef = status.LatestRef, &ref
	}
	result := reconciler.Result{Reason: meta.SucceededReason, Message: message(status), After: s.again()}
	if changed {
		event := reconciler.Event{
			Type: corev1.EventTypeNormal, Reason: meta.SucceededReason, Message: result.Message + "; " + why,
			Metadata: map[string]string{imagev1.PolicyAnnotation: s.policy.Name, imagev1.NewAnnotation: ref.String()},
		}
		if previous := status.ObservedPreviousRef; previous != nil {
			event.Metadata[imagev1.OldAnnotation] = previous.String()
		}
		result.Events = []reconciler.Event{event}
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

// interval is that of a digest that is reflected Always, or zero.
func interval(p *imagev1.ImagePolicy) time.Duration {
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
	case errors.Is(err, identity.ErrRefused):
		return imagev1.InvalidProviderReason
	case errors.Is(err, registry.ErrInvalidReference):
		return imagev1.ImageURLInvalidReason
	case errors.Is(err, scan.ErrInvalidExclusion):
		return imagev1.InvalidExclusionListReason
	case errors.Is(err, registry.ErrCredentials), errors.Is(err, registry.ErrUnauthorized):
		return imagev1.AuthenticationFailedReason
	case errors.Is(err, errUnverified), errors.Is(err, signature.ErrConfig):
		return imagev1.VerificationErrorReason
	case errors.Is(err, errNoMatch):
		return metav1.StatusFailure
	}
	return imagev1.ReadOperationFailedReason
}
