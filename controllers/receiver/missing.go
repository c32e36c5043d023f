// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"fmt"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/notify"
)

const (
	// maxChecked is how many objects of one Receiver are looked for.
	maxChecked = 100
	// maxMissing is how many of those that are not there are named.
	maxMissing = 10
)

// missing says which of spec.resources name an object that is not there, "" if none does.
// Flux tells only the log of a request. Objects in other namespaces are not looked for:
// the author of a Receiver may not know what they have. What cannot be read now is not
// said to be missing.
func (r *Reconciler) missing(ctx context.Context, obj *notificationv1.Receiver) string {
	var missing []string
	for i, resource := range obj.Spec.Resources[:min(len(obj.Spec.Resources), maxChecked)] {
		if resource.Name == "*" || resource.Namespace != "" && resource.Namespace != obj.Namespace {
			continue
		}
		kind, err := notify.KindOf(resource)
		if err != nil {
			continue // notify.Check refused it
		}
		var found metav1.PartialObjectMetadata
		found.SetGroupVersionKind(kind)
		err = r.Resources.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: resource.Name}, &found)
		switch {
		case apierrors.IsNotFound(err):
			missing = append(missing, fmt.Sprintf("spec.resources[%d]: %s '%s/%s' is not there", i, resource.Kind, obj.Namespace, resource.Name))
		case apimeta.IsNoMatchError(err):
			missing = append(missing, fmt.Sprintf("spec.resources[%d]: the cluster has no %s of %s", i, resource.Kind, kind.GroupVersion()))
		case err != nil:
			log.FromContext(ctx).V(1).Info("an object of a Receiver could not be looked for",
				"kind", resource.Kind, "target", resource.Name, "error", err.Error())
		}
	}
	if more := len(missing) - maxMissing; more > 0 {
		missing = append(missing[:maxMissing], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(missing, "; ")
}
