package imagerepository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/scan"
)

// errProvider means that spec.provider names a cloud.
var errProvider = errors.New("unsupported provider")

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, repo *imagev1.ImageRepository) (reconciler.Result, error) {
	target, err := accept(repo)
	if err != nil {
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	key := client.ObjectKeyFromObject(repo)
	tags, _ := r.Store.Get(key, target)
	why, wait := due(repo, tags, r.Clock.Now())
	if why != "" {
		if tags, err = r.scan(ctx, repo, target); err != nil {
			return reconciler.Result{}, retry(repo, err)
		}
		r.Store.Put(key, tags)
		log.FromContext(ctx).V(1).Info("scanned", "why", why, "tags", tags.Len(), "revision", tags.Revision())
	}
	record(repo, target, tags)
	return reconciler.Result{
		Reason:  meta.SucceededReason,
		Message: fmt.Sprintf("successful scan: found %d tags with checksum %s", tags.Len(), tags.Revision()),
		After:   wait,
	}, nil
}

// accept checks the spec: what it returns as an error only an edit can cure.
func accept(repo *imagev1.ImageRepository) (scan.Target, error) {
	if provider := repo.GetProvider(); provider != "generic" {
		return scan.Target{}, fmt.Errorf("%w: spec.provider %q is not supported, only generic with credentials from Secrets is", errProvider, provider)
	}
	return scan.NewTarget(repo)
}

// minWait is the shortest remainder of an interval worth coming back for.
const minWait = time.Second

// due says why the registry must be asked now, or "", and when to come back.
// last is nil when the tags are not in memory.
func due(repo *imagev1.ImageRepository, last *scan.Snapshot, now time.Time) (why string, wait time.Duration) {
	interval := repo.Spec.Interval.Duration
	switch {
	case last == nil:
		return "tags are not in memory", interval
	case repo.Generation != repo.Status.ObservedGeneration:
		return "the spec changed", interval
	case requested(repo):
		return "a scan was requested", interval
	case !apimeta.IsStatusConditionTrue(repo.Status.Conditions, meta.ReadyCondition):
		return "the last scan did not succeed", interval
	}
	if wait = last.Time().Add(interval).Sub(now); wait < minWait {
		return "the interval has passed", interval
	}
	return "", wait
}

// requested reports whether somebody asked for a scan since the last one.
func requested(repo *imagev1.ImageRepository) bool {
	at, ok := meta.ReconcileAnnotationValue(repo.Annotations)
	return ok && at != repo.Status.LastHandledReconcileAt
}

func (r *Reconciler) scan(ctx context.Context, repo *imagev1.ImageRepository, target scan.Target) (*scan.Snapshot, error) {
	access, err := scan.ReadAccess(ctx, r.Secrets, repo)
	if err != nil {
		return nil, err
	}
	return r.Registry.Tags(ctx, target, access)
}

// retry says when a failed scan is worth repeating, where that is not simply
// soon: an image that was not pushed yet is looked for at the interval, and a
// registry that limits requests is left alone for as long as it asks.
func retry(repo *imagev1.ImageRepository, err error) error {
	err = fmt.Errorf("scan failed: %w", err)
	var limited *scan.RateLimited
	switch {
	case errors.As(err, &limited):
		return reconciler.Waiting(err, limited.After)
	case errors.Is(err, scan.ErrNotFound):
		return reconciler.Waiting(err, repo.Spec.Interval.Duration)
	}
	return err
}

// Bounds of what status repeats.
const (
	// scanTimeAge is how old status.lastScanResult.scanTime may get.
	scanTimeAge = 10 * time.Minute
	// latestTags is how many tags status shows, as in Flux.
	latestTags = 10
)

// record brings the status up to date with tags, and leaves it as it is when
// they tell nothing new.
func record(repo *imagev1.ImageRepository, target scan.Target, tags *scan.Snapshot) {
	status, canonical := &repo.Status, target.Repository.String()
	last := status.LastScanResult
	if last == nil || last.Revision != tags.Revision() || status.CanonicalImageName != canonical ||
		requested(repo) || tags.Time().Sub(last.ScanTime.Time) >= scanTimeAge {
		status.LastScanResult = &imagev1.ScanResult{
			Revision:   tags.Revision(),
			TagCount:   tags.Len(),
			ScanTime:   metav1.NewTime(tags.Time()),
			LatestTags: tags.Last(latestTags),
		}
	}
	status.CanonicalImageName = canonical
	status.ObservedExclusionList = repo.GetExclusionList()
}

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(err error) string {
	switch {
	case errors.Is(err, errProvider):
		return imagev1.UnsupportedProviderReason
	case errors.Is(err, scan.ErrInvalidReference):
		return imagev1.ImageURLInvalidReason
	case errors.Is(err, scan.ErrInvalidExclusion):
		return imagev1.InvalidExclusionListReason
	case errors.Is(err, scan.ErrCredentials), errors.Is(err, scan.ErrUnauthorized):
		return imagev1.AuthenticationFailedReason
	}
	return imagev1.ReadOperationFailedReason
}
