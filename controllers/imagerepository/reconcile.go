// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/scan"
)

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, repo *imagev1.ImageRepository) (reconciler.Result, error) {
	target, err := r.validTarget(repo)
	if err != nil {
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	tags, _ := r.Scanner.Store().Get(client.ObjectKeyFromObject(repo), target)
	plan := decide(repo, tags, r.Clock.Now())
	if plan.why != "" {
		fresh, err := r.scan(ctx, repo, target, plan.within)
		switch {
		case errors.Is(err, scan.ErrPending):
			return pending(repo, target, plan), nil
		case err != nil:
			return reconciler.Result{}, r.retry(repo, target, err)
		}
		tags = fresh
		log.FromContext(ctx).V(1).Info("scanned", "why", plan.why, "tags", tags.Len(), "revision", tags.Revision())
	}
	said := fmt.Sprintf("successful scan: found %d tags with checksum %s", tags.Len(), tags.Revision())
	events := released(repo, tags, said)
	record(repo, target, tags)
	r.recordBudget(repo, target, tags.Listed())
	return reconciler.Result{Reason: meta.SucceededReason, Message: said, After: plan.wait, Events: events}, nil
}

// validTarget is the image of a valid spec. Its errors are terminal: only an edit of the
// spec resolves them.
func (r *Reconciler) validTarget(repo *imagev1.ImageRepository) (scan.Target, error) {
	if err := registry.CheckProvider(scan.RegistrySpec(repo)); err != nil {
		return scan.Target{}, err
	}
	target, err := scan.NewTarget(repo)
	if err != nil {
		return scan.Target{}, err
	}
	return target, r.Registry.CheckAddress("spec.image", target.Repository)
}

func (r *Reconciler) scan(
	ctx context.Context, repo *imagev1.ImageRepository, target scan.Target, within time.Duration,
) (*scan.Snapshot, error) {
	access, err := r.Registry.Access(ctx, r.Secrets, scan.RegistrySpec(repo))
	if err != nil {
		return nil, err
	}
	tags, err := r.Scanner.Scan(ctx, scan.Request{
		Key: client.ObjectKeyFromObject(repo), Target: target, Access: access, Within: within, Known: known(repo, target),
	})
	if errors.Is(err, registry.ErrUnauthorized) {
		// The listing may be shared with objects whose Secrets are others.
		return nil, fmt.Errorf("%w; %s", err, access.Refused(target.Repository))
	}
	return tags, err
}

// known is how many tags the status says that the last scan of target found, or zero.
func known(repo *imagev1.ImageRepository, target scan.Target) int {
	last := repo.Status.LastScanResult
	if last == nil || repo.Status.CanonicalImageName != target.Repository.String() ||
		!slices.Equal(repo.Status.ObservedExclusionList, repo.GetExclusionList()) {
		return 0
	}
	return last.TagCount
}

// released tells how a scan ended that was held.
func released(repo *imagev1.ImageRepository, tags *scan.Snapshot, said string) []reconciler.Event {
	was := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
	if was == nil || was.Reason != imagev1.ScanHeldReason {
		return nil
	}
	how := "the missing tags are listed again"
	if tags.Confirmed() {
		how = "a second look confirmed that tags are gone"
	}
	return []reconciler.Event{{Type: corev1.EventTypeNormal, Reason: meta.SucceededReason, Message: how + "; " + said}}
}

// pending is the result while a scan goes on. A rescan by interval, and one after
// a restart, say nothing of it: what is known still counts.
func pending(repo *imagev1.ImageRepository, target scan.Target, plan decision) reconciler.Result {
	said := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
	if said != nil && said.Status == metav1.ConditionTrue && plan.within > 0 && repo.Generation == repo.Status.ObservedGeneration {
		return reconciler.Result{Reason: said.Reason, Message: said.Message, After: plan.wait}
	}
	return reconciler.Result{
		Reason: meta.ProgressingReason, Message: "scanning " + target.Repository.String() + ": " + plan.why,
		Progressing: true, After: plan.wait,
	}
}

// retry says when a failed scan is worth repeating, where that is not simply
// soon: what was not pushed yet, or has grown too long, is looked for at the
// interval, and a registry that limits requests is left alone for as long as it
// asks.
func (r *Reconciler) retry(repo *imagev1.ImageRepository, target scan.Target, err error) error {
	var limited *registry.RateLimited
	var shrunk *scan.Shrunk
	switch failure := fmt.Errorf("scan failed: %w", err); {
	case errors.As(err, &limited):
		return reconciler.Waiting(failure, limited.After)
	case errors.As(err, &shrunk):
		return reconciler.Waiting(failure, shrunk.After)
	case errors.Is(err, scan.ErrBudget):
		most := r.Scanner.MaxTags(target)
		reconciler.RemoveCondition(repo, imagev1.ScanBudgetCondition)
		return reconciler.Waiting(fmt.Errorf("%w; nothing of it is used: set spec.maxTags higher than %d, or remove old tags from the registry",
			failure, most),
			repo.Spec.Interval.Duration)
	case errors.Is(err, identity.ErrRefused), errors.Is(err, scan.ErrInvalidExclusion):
		return reconcile.TerminalError(failure)
	case errors.Is(err, registry.ErrNotFound):
		return reconciler.Waiting(fmt.Errorf("%w; correct spec.image, or push a first tag", failure), repo.Spec.Interval.Duration)
	case errors.Is(err, scan.ErrMemory), errors.Is(err, outbound.ErrForbiddenAddress):
		return reconciler.Waiting(failure, repo.Spec.Interval.Duration)
	default:
		return failure
	}
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

// recordBudget warns of a list that has nearly as many tags as a scan may read.
func (r *Reconciler) recordBudget(repo *imagev1.ImageRepository, target scan.Target, listed int) {
	most := r.Scanner.MaxTags(target)
	if 5*listed <= 4*most {
		reconciler.RemoveCondition(repo, imagev1.ScanBudgetCondition)
		return
	}
	reconciler.SetCondition(repo, r.Clock.Now(), metav1.Condition{
		Type: imagev1.ScanBudgetCondition, Status: metav1.ConditionTrue, Reason: imagev1.ScanBudgetNearlyUsedReason,
		Message: fmt.Sprintf(
			"a scan lists %d of at most %d tags, and fails beyond that: set spec.maxTags higher, or remove old tags from the registry",
			listed, most,
		),
	})
}

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(err error) string {
	var shrunk *scan.Shrunk
	if errors.As(err, &shrunk) {
		return imagev1.ScanHeldReason
	}
	return scan.Reason(err)
}
