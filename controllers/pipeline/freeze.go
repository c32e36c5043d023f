// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// freezes finds the Freezes that select a pipeline.
type freezes struct {
	pipeline *sluicev1.Pipeline
	client   client.Reader
	live     client.Reader // of namespaces
}

// list are those that select the pipeline.
func (fs freezes) list(ctx context.Context) ([]promotion.Freeze, error) {
	var list sluicev1.FreezeList
	if err := fs.client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing freezes: %w", err)
	}
	var found []promotion.Freeze
	for _, f := range list.Items {
		selects, err := fs.selects(ctx, &f)
		if err != nil {
			return nil, err
		}
		if selects {
			found = append(found, promotion.Freeze{Name: f.Name, Reason: f.Spec.Reason, Stages: f.Spec.Stages, Windows: f.Spec.Windows})
		}
	}
	return found, nil
}

// selects reports whether a freeze is about the pipeline. One whose selector is wrong says
// so in its own status.
func (fs freezes) selects(ctx context.Context, f *sluicev1.Freeze) (bool, error) {
	selector, _ := promotion.ParseFreezeSelector(&f.Spec)
	return selector.Selects(fs.pipeline.Labels, func() (map[string]string, error) {
		var namespace corev1.Namespace
		if err := fs.live.Get(ctx, client.ObjectKey{Name: fs.pipeline.Namespace}, &namespace); err != nil {
			return nil, fmt.Errorf("reading namespace %s for freeze %s: %w", fs.pipeline.Namespace, f.Name, err)
		}
		return namespace.Labels, nil
	})
}
