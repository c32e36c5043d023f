// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// ociSources has OCIRepositories fetch the tags that were moved. Nobody else tells them:
// they would see it at their interval.
type ociSources struct {
	client client.Client
	clock  clock.PassiveClock
	// installed says that this cluster has OCIRepositories, which the client caches, and
	// ownNamespace that pipelines may refer to nothing outside of their namespace.
	installed, ownNamespace bool
	requests                *sourceRequests
}

// requestTag has a digest fetched that the tag of a target points at now.
func (o ociSources) requestTag(ctx context.Context, p *sluicev1.Pipeline, t target, tag name.Tag, digest string) {
	o.requests.requestFetch(ctx, "tag "+tag.Name(), o.clock.Now(), o.fetchOf(p, t, tag, digest))
}

// fetchOf asks those that follow the tag of a target for a reconcile: those in the namespace
// of the pipeline, and where what the target waits for is, in this cluster.
func (o ociSources) fetchOf(p *sluicev1.Pipeline, t target, tag name.Tag, digest string) fetchRequest {
	namespaces := o.namespaces(p, t)
	return func(ctx context.Context, since, present time.Time) error {
		if !o.installed {
			return nil
		}
		var failed []error
		for _, namespace := range namespaces {
			var list sourcev1.OCIRepositoryList
			if err := o.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
				failed = append(failed, fmt.Errorf("listing the OCIRepositories of namespace %s: %w", namespace, err))
			}
			for i := range list.Items {
				repo := &list.Items[i]
				isAsked := !since.IsZero() && !reconciler.RequestedAt(repo).Before(since)
				if followsTag(repo, tag) && !isAsked && !hasDigest(repo, digest, present) {
					failed = append(failed, o.ask(ctx, repo))
				}
			}
		}
		return errors.Join(failed...)
	}
}

func (o ociSources) ask(ctx context.Context, repo *sourcev1.OCIRepository) error {
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: repo.Namespace, Name: repo.Name}}
	object.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(sourcev1.OCIRepositoryKind))
	return reconciler.Request(ctx, o.client, object, o.clock.Now())
}

// hasDigest reports whether an OCIRepository has what its tag points at: the digest or, if it fetched
// after the time at which that was there, what somebody had it point at since.
func hasDigest(repo *sourcev1.OCIRepository, digest string, present time.Time) bool {
	a := repo.Status.Artifact
	if a == nil {
		return false
	}
	_, has := ociRevision(a.Revision)
	return has == digest || !present.IsZero() && present.Before(a.LastUpdateTime.Time)
}

func (o ociSources) namespaces(p *sluicev1.Pipeline, t target) []string {
	found := []string{p.Namespace}
	for _, ref := range t.ready {
		elsewhere := ref.KubeConfig != nil || t.kubeConfig != nil
		if !elsewhere && !o.ownNamespace && ref.Namespace != "" && !slices.Contains(found, ref.Namespace) {
			found = append(found, ref.Namespace)
		}
	}
	return found
}

// followsTag reports whether an OCIRepository fetches what a tag points at.
func followsTag(repo *sourcev1.OCIRepository, tag name.Tag) bool {
	of, err := name.NewRepository(strings.TrimPrefix(repo.Spec.URL, sourcev1.OCIRepositoryPrefix))
	if err != nil || of.Name() != tag.Repository.Name() || repo.Spec.Suspend {
		return false
	}
	ref := repo.Spec.Reference
	if ref == nil {
		return tag.TagStr() == name.DefaultTag
	}
	return ref.Digest == "" && ref.SemVer == "" && ref.Tag == tag.TagStr()
}
