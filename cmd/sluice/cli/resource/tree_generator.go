// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
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
