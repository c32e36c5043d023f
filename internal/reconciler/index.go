// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Index registers an index of the manager's cache, by which lists can select objects
// with client.MatchingFields. The context bounds the registration, which waits for nothing.
func Index(ctx context.Context, mgr ctrl.Manager, obj client.Object, field string, values client.IndexerFunc) error {
	return mgr.GetFieldIndexer().IndexField(ctx, obj, field, values)
}
