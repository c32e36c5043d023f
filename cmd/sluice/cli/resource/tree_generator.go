// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"cmp"
	"context"
	"slices"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/report"
)

// generator is what an ArtifactGenerator makes.
func (b *treeBuilder) generator(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	var g generatorv1.ArtifactGenerator
	if err := b.client.Get(ctx, key, &g); err != nil {
		return nil, err
	}
	var nodes []report.TreeNode
	for _, made := range g.Status.Inventory {
		node, err := b.node(ctx, groupKind(sourcev1.GroupVersion.Group, sourcev1.ExternalArtifactKind),
			client.ObjectKey{Namespace: made.Namespace, Name: made.Name})
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// generators are the ArtifactGenerators that have a source of a kind, if the cluster knows the kind.
func (b *treeBuilder) generators(ctx context.Context, kind string, key client.ObjectKey) ([]report.TreeNode, error) {
	var list generatorv1.ArtifactGeneratorList
	err := b.list(ctx, &list, key.Namespace)
	switch {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var nodes []report.TreeNode
	for i := range list.Items {
		g := &list.Items[i]
		if !slices.ContainsFunc(g.Spec.Sources, func(s generatorv1.SourceReference) bool {
			return s.Kind == kind && s.Name == key.Name && cmp.Or(s.Namespace, g.Namespace) == key.Namespace
		}) {
			continue
		}
		node, err := b.node(ctx, groupKind(generatorv1.GroupVersion.Group, generatorv1.ArtifactGeneratorKind), client.ObjectKeyFromObject(g))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}
