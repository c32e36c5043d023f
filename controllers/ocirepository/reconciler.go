// SPDX-License-Identifier: Apache-2.0

// Package ocirepository reconciles source.toolkit.fluxcd.io OCIRepositories: it keeps
// the artifact in a source's status at what its ref in a registry is now.
//
//	ref.digest ----------------------------------.
//	ref.semver -> list of tags (shared) -> tag --+
//	ref.tag, or latest -------------- HEAD ------+-> digest -> as in status? done
//	     -> signatures -> manifest -> layer -> archive, or a copy -> status.artifact, event
//
// A steady look is one HEAD on a connection that is kept, and none for a digest. What is
// pulled is pulled by the digest that was verified, so that a tag that moves meanwhile
// changes nothing, and what the registry sends has that digest or is an error. Layers
// are read whole into memory, within the share of their namespace, and files of layers
// within the bounds of all trees.
//
// How registries are asked, with which credentials and how often, is in
// internal/registry, and lists of tags are shared with ImageRepositories by package scan.
// Runs wait for registries outside of the workers.
//
// A restart loses which signatures were verified with which keys; they are verified again.
package ocirepository

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/signature"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/source"
)

// Reconciler reconciles OCIRepositories.
type Reconciler struct {
	// Client reads the metadata of Secrets, which may be cached, and Secrets reads the
	// contents, and ServiceAccounts, which should not be.
	Client, Secrets client.Reader
	Clock           clock.PassiveClock
	// Registry asks registries, and Scanner lists tags over it.
	Registry *registry.Client
	Scanner  *scan.Scanner
	// Publisher makes the artifacts.
	Publisher source.Publisher
	// PublicGood is what keyless signatures are verified by; nil refuses those.
	PublicGood *signature.PublicGood
	// Guard decides where certificates may have their revocation looked up.
	Guard *outbound.Guard
	// Tagged wakes sources of a tag, by its name as [Followed] has it, that this process
	// has moved.
	Tagged *wake.Source

	// verified is by which trust the artifact of a source was last found signed, or need not be: one entry
	// for each source, which goes with it.
	verified source.Latest[verification]
	mu       sync.Mutex
	// pushed are the sources for which this process has pushed a tag that they may choose,
	// until they look: one entry for each source, which goes with it.
	pushed map[types.NamespacedName]bool
}

const (
	// calls is how many requests one after the other may each take as long.
	calls = 3
)

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, opts reconciler.Options) error {
	if err := reconciler.Index(ctx, mgr, &sourcev1.OCIRepository{}, byTag, indexTag); err != nil {
		return err
	}
	tagged := func(b *builder.Builder) *builder.Builder {
		return b.WatchesRawSource(r.Tagged.Map(r.followersOf(mgr.GetClient())))
	}
	secrets, err := reconciler.Secrets[*sourcev1.OCIRepository]{
		List: func() client.ObjectList { return &sourcev1.OCIRepositoryList{} }, Of: secretsOf,
	}.Watch(ctx, mgr, &sourcev1.OCIRepository{}, opts)
	if err != nil {
		return err
	}
	return reconciler.Setup(mgr, kind(), r, opts, tagged, secrets)
}

// kind is what the machinery that all kinds share asks of an OCIRepository.
func kind() reconciler.Kind[*sourcev1.OCIRepository] {
	return reconciler.Kind[*sourcev1.OCIRepository]{
		Name:      "ocirepository",
		New:       func() *sourcev1.OCIRepository { return &sourcev1.OCIRepository{} },
		Suspended: func(obj *sourcev1.OCIRepository) bool { return obj.Spec.Suspend },
		Observed: func(obj *sourcev1.OCIRepository) reconciler.StatusFields {
			return reconciler.StatusFields{
				Generation: &obj.Status.ObservedGeneration, HandledAt: &obj.Status.LastHandledReconcileAt,
			}
		},
		Host: func(_ context.Context, obj *sourcev1.OCIRepository) string { return route(obj) },
		About: func(obj *sourcev1.OCIRepository) map[string]string {
			return source.About(obj.Status.Artifact)
		},
	}
}

// route names the registry of a source, and the proxy before it.
func route(obj *sourcev1.OCIRepository) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(obj.Spec.URL, sourcev1.OCIRepositoryPrefix), "/")
	if ref := obj.Spec.ProxySecretRef; ref != nil {
		return host + " through " + obj.Namespace + "/" + ref.Name
	}
	return host
}

// secretsOf are the Secrets that a source is reached and verified with.
func secretsOf(obj *sourcev1.OCIRepository) []string {
	refs := []*meta.LocalObjectReference{obj.Spec.SecretRef, obj.Spec.CertSecretRef, obj.Spec.ProxySecretRef}
	if verify := obj.Spec.Verify; verify != nil {
		refs = append(refs, verify.SecretRef, verify.TrustedRootSecretRef)
	}
	return source.SecretNames(refs...)
}

// Reconcile implements [reconciler.Controller].
func (r *Reconciler) Reconcile(ctx context.Context, obj *sourcev1.OCIRepository) (reconciler.Result, error) {
	wanted, err := r.parse(obj)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), reconcile.TerminalError(err), r.Reason)
	}
	ctx, cancel := context.WithTimeout(ctx, calls*source.Timeout(obj.Spec.Timeout))
	defer cancel()
	seen, err := r.observe(ctx, obj, wanted)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	unverified, err := r.verify(ctx, obj, seen)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	events, err := r.publish(ctx, obj, seen)
	if err != nil {
		return reconciler.Result{}, source.Failed(obj, r.Clock.Now(), err, r.Reason)
	}
	source.ClearFailures(obj)
	result := reconciler.Result{
		Reason:  meta.SucceededReason,
		Message: fmt.Sprintf("stored artifact for digest '%s'", seen.revision()),
		After:   reconciler.Spread(obj.Spec.Interval.Duration, r.Publisher.Jitter), Events: events,
	}
	source.SetCondition(obj, r.Clock.Now(), sourcev1.ArtifactInStorageCondition, meta.SucceededReason, result.Message)
	if unverified != "" {
		result.Message += "; nobody's signature was verified: " + unverified
	}
	return result, nil
}

var _ reconciler.Cleaner = (*Reconciler)(nil)

// Clean implements [reconciler.Cleaner].
func (r *Reconciler) Clean(key types.NamespacedName) error {
	r.verified.Delete(key)
	_ = r.takePushed(key)
	return r.Publisher.Store.Remove(source.Key{Kind: sourcev1.OCIRepositoryKind, Namespace: key.Namespace, Name: key.Name})
}

// Reason implements [reconciler.Controller].
func (*Reconciler) Reason(error) string { return meta.FailedReason }

func keyOf(obj *sourcev1.OCIRepository) source.Key {
	return source.Key{Kind: sourcev1.OCIRepositoryKind, Namespace: obj.Namespace, Name: obj.Name}
}
