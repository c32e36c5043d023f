// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
}

// fetch asks those that follow the tag of a target for a reconcile: those in the namespace
// of the pipeline, and where what the target waits for is, in this cluster.
func (o ociSources) fetch(ctx context.Context, p *sluicev1.Pipeline, t target, tag name.Tag) error {
	if !o.installed {
		return nil
	}
	for _, namespace := range o.namespaces(p, t) {
		var list sourcev1.OCIRepositoryList
		if err := o.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("listing OCIRepositories of namespace %s: %w", namespace, err)
		}
		for i := range list.Items {
			if !followsTag(&list.Items[i], tag) {
				continue
			}
			object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: list.Items[i].Name}}
			object.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(sourcev1.OCIRepositoryKind))
			if err := reconciler.Request(ctx, o.client, object, o.clock.Now()); err != nil {
				return fmt.Errorf("requesting a reconcile of OCIRepository %s/%s: %w", namespace, object.Name, err)
			}
		}
	}
	return nil
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
