// SPDX-License-Identifier: Apache-2.0

// Package gitrepository reconciles source.toolkit.fluxcd.io GitRepositories: it
// keeps the artifact in a source's status at what its ref is now.
//
//	resolve the ref (one round trip) -> as in status? done
//	   -> fetch the delta into the mirror -> archive -> status.artifact, event
//
// The mirror is shared with those who write to the repository, so a commit that
// was pushed from here is here already; the hint that comes with the push makes
// its artifact appear at once.
//
// What an artifact has besides the files of the commit is put together without any of it
// being copied: directories of a sparse checkout, submodules, which are commits of other
// mirrors, and artifacts of other sources that are included. A source is looked at again
// when one of those has a new artifact.
//
// A restart loses which signatures were verified with which keys; they are verified again.
package gitrepository

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/source"
)

// Reconciler reconciles GitRepositories.
type Reconciler struct {
	// Client reads the Secrets that sources name, and sources that others include, and
	// Clock dates what is done; unless set, they are those of the manager.
	Client client.Reader
	Clock  clock.PassiveClock
	// Credentials are what the identities of clouds need.
	Credentials credential.Options
	// Mirrors are shared with the writers of the same repositories.
	Mirrors *git.Mirrors
	// Publisher makes the artifacts.
	Publisher source.Publisher
	// Opener opens the artifacts of other sources, to include them.
	Opener *source.Opener
	// Pushed wakes sources for which this process has pushed a commit.
	Pushed *wake.Source

	// verified is what of a source was last found signed, and by which keys: one entry for
	// each source, which goes with it.
	verified source.Latest[verification]
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	if r.Client == nil {
		r.Client = mgr.GetClient()
	}
	if r.Clock == nil {
		r.Clock = opts.Clock
	}
	pushed := func(b *builder.Builder) *builder.Builder {
		return b.WatchesRawSource(r.Pushed)
	}
	secrets, err := reconciler.Secrets[*sourcev1.GitRepository]{
		List: func() client.ObjectList { return &sourcev1.GitRepositoryList{} }, Of: secretsOf,
	}.Watch(ctx, mgr, &sourcev1.GitRepository{}, opts)
	if err != nil {
		return err
	}
	included, err := r.watchIncluded(ctx, mgr)
	if err != nil {
		return err
	}
	return reconciler.Setup(mgr, kind(), r, opts, pushed, secrets, included)
}

// kind is what the machinery that all kinds share asks of a GitRepository.
func kind() reconciler.Kind[*sourcev1.GitRepository] {
	return reconciler.Kind[*sourcev1.GitRepository]{
		Name:      "gitrepository",
		New:       func() *sourcev1.GitRepository { return &sourcev1.GitRepository{} },
		Suspended: func(obj *sourcev1.GitRepository) bool { return obj.Spec.Suspend },
		Observed: func(obj *sourcev1.GitRepository) reconciler.StatusFields {
			return reconciler.StatusFields{
				Generation: &obj.Status.ObservedGeneration, HandledAt: &obj.Status.LastHandledReconcileAt,
			}
		},
		Host: func(_ context.Context, obj *sourcev1.GitRepository) string { return credential.Route(obj) },
		About: func(obj *sourcev1.GitRepository) map[string]string {
			return source.About(obj.Status.Artifact)
		},
	}
}

// secretsOf are the Secrets that a source is reached and verified with.
func secretsOf(obj *sourcev1.GitRepository) []string {
	var names []string
	for _, ref := range []*meta.LocalObjectReference{obj.Spec.SecretRef, obj.Spec.ProxySecretRef} {
		if ref != nil {
			names = append(names, ref.Name)
		}
	}
	if obj.Spec.Verification != nil {
		names = append(names, obj.Spec.Verification.SecretRef.Name)
	}
	return names
}

// Reconcile implements [reconciler.Controller].
func (r *Reconciler) Reconcile(ctx context.Context, obj *sourcev1.GitRepository) (reconciler.Result, error) {
	if err := check(obj); err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), reconcile.TerminalError(err), r.Reason)
	}
	ctx, cancel := context.WithTimeout(ctx, source.Timeout(obj.Spec.Timeout))
	defer cancel()
	seen, err := r.observe(ctx, obj)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	verified, err := r.verify(ctx, obj, seen)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	reconciler.RemoveCondition(obj, sourcev1.FetchFailedCondition)
	result := reconciler.Result{
		Reason:  meta.SucceededReason,
		Message: fmt.Sprintf("stored artifact for revision '%s'", seen.Revision()),
		After:   reconciler.Spread(obj.Spec.Interval.Duration, r.Publisher.Jitter),
	}
	included, err := r.include(ctx, obj)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	events, err := r.publish(ctx, obj, seen, included)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	result.Events = append(verified, events...)
	source.ClearFailures(obj)
	source.SetCondition(obj, r.Clock.Now(), sourcev1.ArtifactInStorageCondition, meta.SucceededReason, result.Message)
	return result, nil
}

var _ reconciler.Cleaner = (*Reconciler)(nil)

// Clean implements [reconciler.Cleaner].
func (r *Reconciler) Clean(key types.NamespacedName) error {
	r.Mirrors.Forget(credential.OwnerOf(key))
	r.verified.Delete(key)
	return r.Publisher.Store.Remove(source.Key{Kind: sourcev1.GitRepositoryKind, Namespace: key.Namespace, Name: key.Name})
}

// Reason implements [reconciler.Controller].
func (*Reconciler) Reason(error) string { return meta.FailedReason }

func keyOf(obj *sourcev1.GitRepository) source.Key {
	return source.Key{Kind: sourcev1.GitRepositoryKind, Namespace: obj.Namespace, Name: obj.Name}
}
