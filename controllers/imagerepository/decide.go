// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"hash/fnv"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/scan"
)

// minWait is the shortest remainder of an interval worth coming back for.
const minWait = time.Second

// jitter is the largest part by which an interval is shortened.
const jitter = 0.1

// decision is whether and why the tags must be read now, and when to come back.
type decision struct {
	why string // empty: not now
	// within is how old a listing may be that is used instead of a scan; zero asks
	// the registry in any case.
	within time.Duration
	wait   time.Duration
}

// decide says whether to scan. The last snapshot is nil when the tags are not in memory.
func decide(repo *imagev1.ImageRepository, last *scan.Snapshot, now time.Time) decision {
	interval := interval(repo)
	switch {
	case requested(repo):
		return decision{"a scan was requested", 0, interval}
	case repo.Status.ObservedGeneration > 0 && repo.Generation != repo.Status.ObservedGeneration:
		// Somebody edited or resumed the object, and waits for what that brings.
		return decision{"the spec changed", 0, interval}
	case failed(repo):
		return decision{"the last scan did not succeed", 0, interval}
	case last == nil:
		return decision{"tags are not in memory", interval, interval}
	}
	wait := last.Time().Add(interval).Sub(now)
	switch {
	case wait > interval:
		return decision{"the clock was set back", 0, interval}
	case wait < minWait:
		return decision{"the interval has passed", max(interval-minWait, time.Nanosecond), interval}
	}
	return decision{wait: wait}
}

// interval is spec.interval, shortened by a part that is the object's own.
func interval(repo *imagev1.ImageRepository) time.Duration {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(repo.Namespace + "/" + repo.Name)) // a hash never fails
	part := jitter * float64(sum.Sum32()) / (1 << 32)
	full := repo.Spec.Interval.Duration
	return full - time.Duration(part*float64(full))
}

// requested reports whether somebody asked for a scan since the last one.
func requested(repo *imagev1.ImageRepository) bool {
	at, ok := meta.ReconcileAnnotationValue(repo.Annotations)
	return ok && at != repo.Status.LastHandledReconcileAt
}

// failed reports whether the last scan came to nothing, or was cut off.
func failed(repo *imagev1.ImageRepository) bool {
	ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
	return ready != nil && !apimeta.IsStatusConditionTrue(repo.Status.Conditions, meta.ReadyCondition)
}
