// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/sluice-cd/sluice/source"
)

// artifactSweeper removes artifacts that an earlier process left and no object owns, once at the
// start. It is a Runnable of a manager, for who holds the lease.
type artifactSweeper struct {
	store   *source.Store
	objects client.Reader
}

// Start implements manager.Runnable. What cannot be removed stays, which keeps nobody from
// working.
func (u *artifactSweeper) Start(ctx context.Context) error {
	if err := u.store.RemoveUnowned(ctx, u.owners); err != nil && ctx.Err() == nil {
		log.FromContext(ctx).Error(err, "removing artifacts that no object owns")
	}
	return nil
}

// owners lists the sources that have artifacts.
func (u *artifactSweeper) owners(ctx context.Context) ([]source.Key, error) {
	var all []source.Key
	for kind, list := range map[string]client.ObjectList{
		sourcev1.GitRepositoryKind: &sourcev1.GitRepositoryList{},
		sourcev1.OCIRepositoryKind: &sourcev1.OCIRepositoryList{},
		sourcev1.BucketKind:        &sourcev1.BucketList{},
		// Those of ArtifactGenerators; of others there is nothing here.
		sourcev1.ExternalArtifactKind: &sourcev1.ExternalArtifactList{},
	} {
		if err := u.objects.List(ctx, list); err != nil {
			return nil, fmt.Errorf("listing %s objects: %w", kind, err)
		}
		err := apimeta.EachListItem(list, func(o runtime.Object) error {
			object := o.(client.Object) // which the items of these lists are
			all = append(all, source.Key{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName()})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing %s objects: %w", kind, err)
		}
	}
	return all, nil
}
