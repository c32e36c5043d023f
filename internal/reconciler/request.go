// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Request asks whoever serves the object for a reconcile, as `flux reconcile` and
// Flux's Receivers do: by the annotation reconcile.fluxcd.io/requestedAt. Of the
// object only the metadata is written; the right to patch it is enough.
func Request(ctx context.Context, writer client.Writer, object *metav1.PartialObjectMetadata, at time.Time) error {
	kind, name := object.Kind, client.ObjectKeyFromObject(object)
	// With the nanoseconds no two requests are the same.
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, at.Format(time.RFC3339Nano))
	if err := writer.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("annotating %s '%s': %w", kind, name, err)
	}
	return nil
}

// RequestedAt is when a reconcile of the object was last asked for. A request whose
// value is no time, or none at all, was made at the zero time.
func RequestedAt(object client.Object) time.Time {
	at, err := time.Parse(time.RFC3339Nano, object.GetAnnotations()[meta.ReconcileRequestAnnotation])
	if err != nil {
		return time.Time{}
	}
	return at
}
