// SPDX-License-Identifier: Apache-2.0

// Package bucket reconciles source.toolkit.fluxcd.io Buckets: it keeps the artifact in a
// source's status at what a bucket has now.
//
//	list -> keys and etags, without what is ignored -> revision -> as in status? done
//	     -> objects with another etag than in the artifact before are read
//	     -> archive -> status.artifact, event
//
// A steady look lists and reads nothing. What was read before is taken from the artifact:
// which etags it was made of is kept beside it, so that a restart reads nothing twice.
// An object that changes between the list and its turn makes the list be asked for again.
//
// How buckets are asked is in internal/bucket. Runs wait for them outside of the workers.
package bucket

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/cache"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
)

// Reconciler reconciles Buckets.
type Reconciler struct {
	// Client makes tokens for ServiceAccounts, and Secrets reads the contents of Secrets,
	// which should not be cached.
	Client  client.Client
	Secrets client.Reader
	Clock   clock.PassiveClock
	// Tokens keeps the credentials of clouds; nil keeps none.
	Tokens *cache.TokenCache
	// Publisher makes the artifacts, and Opener reads them again.
	Publisher source.Publisher
	Opener    *source.Opener
	// Transports are what buckets are reached through, and Guard where they may be.
	Transports *outbound.Transports
	Guard      *outbound.Guard

	// opened is the client of a bucket and what else is worth to be kept of it: one entry for each source, which goes with it.
	opened source.Latest[*openedBucket]
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	secrets, err := reconciler.Secrets[*sourcev1.Bucket]{
		List: func() client.ObjectList { return &sourcev1.BucketList{} }, Of: secretsOf,
	}.Watch(ctx, mgr, &sourcev1.Bucket{}, opts)
	if err != nil {
		return err
	}
	return reconciler.Setup(mgr, kind(), r, opts, secrets)
}

// kind is what the machinery that all kinds share asks of a Bucket.
func kind() reconciler.Kind[*sourcev1.Bucket] {
	return reconciler.Kind[*sourcev1.Bucket]{
		Name:      "bucket",
		New:       func() *sourcev1.Bucket { return &sourcev1.Bucket{} },
		Suspended: func(obj *sourcev1.Bucket) bool { return obj.Spec.Suspend },
		Observed: func(obj *sourcev1.Bucket) reconciler.StatusFields {
			return reconciler.StatusFields{
				Generation: &obj.Status.ObservedGeneration, HandledAt: &obj.Status.LastHandledReconcileAt,
			}
		},
		Host: func(_ context.Context, obj *sourcev1.Bucket) string { return route(obj) },
		About: func(obj *sourcev1.Bucket) map[string]string {
			return source.About(obj.Status.Artifact)
		},
	}
}

// route names the server of a source, and the proxy before it.
func route(obj *sourcev1.Bucket) string {
	host := strings.ToLower(obj.Spec.Endpoint)
	if _, after, ok := strings.Cut(host, "://"); ok {
		host = after
	}
	if ref := obj.Spec.ProxySecretRef; ref != nil {
		return host + " through " + obj.Namespace + "/" + ref.Name
	}
	return host
}

// secretsOf are the Secrets that a source is reached with.
func secretsOf(obj *sourcev1.Bucket) []string {
	refs := []*meta.LocalObjectReference{obj.Spec.SecretRef, obj.Spec.CertSecretRef, obj.Spec.ProxySecretRef}
	if sts := obj.Spec.STS; sts != nil {
		refs = append(refs, sts.SecretRef, sts.CertSecretRef)
	}
	return source.SecretNames(refs...)
}

// Reconcile implements [reconciler.Controller].
func (r *Reconciler) Reconcile(ctx context.Context, obj *sourcev1.Bucket) (reconciler.Result, error) {
	if err := check(obj); err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), reconcile.TerminalError(err), r.Reason)
	}
	ctx, cancel := context.WithTimeout(ctx, source.Timeout(obj.Spec.Timeout))
	defer cancel()
	cached, err := r.open(ctx, obj)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	events, err := r.publish(ctx, obj, cached)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	source.ClearFailures(obj)
	result := reconciler.Result{
		Reason:  meta.SucceededReason,
		Message: fmt.Sprintf("stored artifact: revision '%s'", obj.Status.Artifact.Revision),
		After:   reconciler.Spread(obj.Spec.Interval.Duration, r.Publisher.Jitter), Events: events,
	}
	source.SetCondition(obj, r.Clock.Now(), sourcev1.ArtifactInStorageCondition, meta.SucceededReason, result.Message)
	return result, nil
}

var _ reconciler.Cleaner = (*Reconciler)(nil)

// Clean implements [reconciler.Cleaner].
func (r *Reconciler) Clean(key types.NamespacedName) error {
	r.opened.Delete(key)
	r.Transports.Forget(serverOwner(key))
	r.Transports.Forget(stsOwner(key))
	return r.Publisher.Store.Remove(source.Key{Kind: sourcev1.BucketKind, Namespace: key.Namespace, Name: key.Name})
}

// Reason implements [reconciler.Controller].
func (*Reconciler) Reason(error) string { return meta.FailedReason }

func keyOf(obj *sourcev1.Bucket) source.Key {
	return source.Key{Kind: sourcev1.BucketKind, Namespace: obj.Namespace, Name: obj.Name}
}
