// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-git/go-git/v5/plumbing"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

// objectReadiness is whether an object runs a content, and is ready with it.
type objectReadiness struct {
	state promotion.Readiness
	why   string
	// silent means that nothing about the object tells which version it runs: it is Ready,
	// and that proves nothing.
	silent bool
}

func progressing(format string, args ...any) objectReadiness {
	return objectReadiness{state: promotion.ReadinessProgressing, why: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) objectReadiness {
	return objectReadiness{state: promotion.ReadinessFailed, why: fmt.Sprintf(format, args...)}
}

// absent returns the readiness of an object that was not found. It is never Failed: a misspelt name
// holds the stage, and does not have a bundle rolled back and put into quarantine.
func absent(a cluster.Answer) objectReadiness {
	switch {
	case a.Unknown:
		return objectReadiness{state: promotion.ReadinessUnknown, why: a.Why}
	case a.Missing:
		return objectReadiness{state: promotion.ReadinessMissing, why: a.Why}
	}
	return objectReadiness{state: promotion.ReadinessProgressing, why: a.Why}
}

var ready = objectReadiness{state: promotion.ReadinessReady}

// worse orders the readiness of several objects: that of the worst is reported.
var worse = map[promotion.Readiness]int{
	promotion.ReadinessReady: 0, promotion.ReadinessProgressing: 1, promotion.ReadinessUnknown: 2, promotion.ReadinessMissing: 3,
	promotion.ReadinessFailed: 4,
}

// revisions finds out what is in the commits, or digests, that objects have in their status.
type revisions struct {
	pipeline *sluicev1.Pipeline
	repos    repositories
	contents versionReader
}

// carries reports whether a revision says what is wanted below the path of a target. One
// that cannot be read does not.
func (r revisions) carries(ctx context.Context, t target, revision string, want promotion.Content) bool {
	if t.tag != nil {
		return tagCarries(artifactOf(r.pipeline, t.tag), revision, want)
	}
	files := r.repos.filesOf(ctx, t.stage, revision)
	if files == nil {
		return false
	}
	has, err := r.contents.read(ctx, files, t)
	return err == nil && has.Same(want)
}

// readyChecker says whether objects run a content, and work.
type readyChecker struct {
	objects   *objects
	canaries  canaries
	revisions revisions
	state     promotion.State
	clock     clock.PassiveClock
	appliers  *appliers // of the target that is checked
	warnings  *[]reconciler.Warning
}

// check says whether a target runs what its content says, and whether that works.
func (r readyChecker) check(ctx context.Context, t target, seen *promotion.TargetObservation) error {
	seen.Ready = promotion.ReadinessReady
	silent, tells := "", false
	r.appliers = &appliers{}
	for i := range t.ready {
		o, err := r.objects.referred(t, i)
		if err != nil {
			return err
		}
		is, err := r.object(ctx, t, o, seen.Content)
		if err != nil {
			return err
		}
		r.appliers.known = r.appliers.known || reportsOwnVersion(o)
		if is.silent {
			silent = cmp.Or(silent, o.String())
		} else {
			tells = true
		}
		if worse[is.state] > worse[seen.Ready] {
			seen.Ready, seen.Why = is.state, is.why
		}
	}
	if w, is := r.appliers.warning(t); is {
		*r.warnings = append(*r.warnings, w)
	}
	if silent != "" && !tells {
		return refuse(
			"spec.stages[%s].ready: nothing tells which version %s runs: name the Kustomization, HelmRelease or Application that applies it, too",
			t.stage, silent,
		)
	}
	return nil
}

// object says whether an object runs a content, and works.
func (r readyChecker) object(ctx context.Context, t target, o object, want promotion.Content) (objectReadiness, error) {
	switch {
	case o.isKind(kustomizationKind):
		return r.kustomization(ctx, t, o, want)
	case o.isKind(applicationKind):
		return r.application(ctx, t, o, want)
	case o.isKind(flaggerv1.CanaryKind):
		return r.canaries.readiness(ctx, o, want)
	}
	return r.anyObject(ctx, t, o, want)
}

// kustomization says whether a Kustomization runs a content: it is Ready, and what it
// applied last says the same. Which commit that was does not matter; a squash or a revert
// would make it lie.
func (r readyChecker) kustomization(ctx context.Context, t target, o object, want promotion.Content) (objectReadiness, error) {
	var k kustomizev1.Kustomization
	answer, err := r.objects.read(ctx, o, &k)
	if err != nil || answer.Why != "" {
		return absent(answer), err
	}
	r.appliers.add(o, &k, t)
	condition := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	switch {
	case k.Spec.Suspend:
		return progressing("%s is suspended", o), nil
	case condition == nil || k.Status.ObservedGeneration != k.Generation && condition.Status == metav1.ConditionTrue:
		return progressing("%s has not been reconciled yet", o), nil
	case r.contentFailed(&k, condition) && r.revisions.carries(ctx, t, k.Status.LastAttemptedRevision, want):
		stale, err := r.waitsForStale(ctx, t, o, &k, want)
		if stale != "" {
			return progressing("%s is not Ready: %s", o, stale), err
		}
		return failed("%s: %s", o, condition.Message), err
	case condition.Status != metav1.ConditionTrue:
		return progressing("%s is not Ready: %s", o, condition.Message), nil
	case !r.revisions.carries(ctx, t, t.applied(&k), want):
		return progressing("%s has %s, which does not have this version", o, shortRevision(t.applied(&k))), nil
	}
	return ready, nil
}

// applied is the revision that a Kustomization applied last. Where stages are in Git, one
// with an artifact that was made of commits names them as its origin.
func (t target) applied(k *kustomizev1.Kustomization) string {
	if t.tag != nil {
		return k.Status.LastAppliedRevision
	}
	if _, ok := commitOf(k.Status.LastAppliedRevision); !ok && k.Status.LastAppliedOriginRevision != "" {
		return k.Status.LastAppliedOriginRevision
	}
	return k.Status.LastAppliedRevision
}

// buildPatience is for how long a build may fail, without being Stalled, before the bundle counts as
// failed. The cause may pass by itself: the server of a remote base is down, a Secret comes with the
// same commit, the machine was overloaded. Nothing was applied meanwhile, so that waiting harms nobody.
const buildPatience = 2 * time.Minute

// contentFailed reports whether a Kustomization says that its content is at fault. What else it
// says, such as of an API server that cannot be reached, may pass; what lasts fails when its
// time is over.
func (r readyChecker) contentFailed(k *kustomizev1.Kustomization, is *metav1.Condition) bool {
	switch {
	case is.Status != metav1.ConditionFalse:
		return false
	case is.Reason == meta.HealthCheckFailedReason,
		is.Reason == meta.BuildFailedReason && apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.StalledCondition):
		return true
	case is.Reason != meta.BuildFailedReason:
		return false
	}
	left := is.LastTransitionTime.Add(buildPatience).Sub(r.clock.Now())
	if left > 0 {
		r.objects.again.requeueAfter(left)
	}
	return left <= 0
}

// commitOf is the commit that a revision names, in the notation of Flux or as it is.
func commitOf(revision string) (plumbing.Hash, bool) {
	_, hash, ok := strings.Cut(revision, "@sha1:")
	if !ok {
		hash = revision
	}
	return plumbing.NewHash(hash), plumbing.IsHash(hash)
}

func shortRevision(revision string) string {
	if tag, digest := ociRevision(revision); digest != "" {
		return strings.TrimPrefix(tag+"@"+digest[:len("sha256:")+12], "@")
	}
	branch, hash, _ := strings.Cut(revision, "@sha1:")
	return branch + "@" + shorten.Commit(hash)
}
