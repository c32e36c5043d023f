// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/provider"
)

// armVars returns what queries for counters may ask for: what any query may, and the arm. The revision
// of a Knative Service is that of this moment; which pods of a StatefulSet are the canary's changes.
func (k *Checker) armVars(
	ctx context.Context, c *flaggerv1.Canary, m flaggerv1.CanaryMetric,
) (func(context.Context, counter.Arm) (templateVars, error), error) {
	canary, err := k.vars(ctx, c, m)
	if err != nil {
		return nil, err
	}
	canary.arm, canary.workload = string(counter.Canary), canary.target
	primary := canary
	primary.arm, primary.workload = string(counter.Primary), canary.target+"-primary"
	key := client.ObjectKey{Namespace: c.Namespace, Name: c.Spec.TargetRef.Name}
	switch {
	case provider.TargetsKnative(c):
		primary.workload = canary.workload
		primary.route, err = primaryRevision(ctx, k.client, key)
	case c.Spec.TargetRef.Kind == "StatefulSet":
		primary.workload = canary.workload // there is one, with two revisions
	case c.Spec.TargetRef.Kind == "DaemonSet":
		primary.pods = primary.workload + "-[0-9a-zA-Z]+"
	default:
		primary.pods = primary.workload + "-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
	}
	if err != nil {
		return nil, err
	}
	arms := map[counter.Arm]templateVars{counter.Canary: canary, counter.Primary: primary}
	return func(ctx context.Context, arm counter.Arm) (templateVars, error) {
		v := arms[arm]
		if c.Spec.TargetRef.Kind != "StatefulSet" {
			return v, nil
		}
		var err error
		v.pods, err = k.ordinalPods(ctx, key, arm)
		return v, err
	}, nil
}

// primaryRevisionAnnotation is Flagger's on a Knative Service: the revision that users trust.
const primaryRevisionAnnotation = "flagger.app/primary-revision"

func primaryRevision(ctx context.Context, c client.Reader, key client.ObjectKey) (string, error) {
	service := &unstructured.Unstructured{}
	service.SetGroupVersionKind(provider.KnativeService)
	if err := c.Get(ctx, key, service); err != nil {
		return "", fmt.Errorf("reading Knative Service %s: %w", key, err)
	}
	name := service.GetAnnotations()[primaryRevisionAnnotation]
	if name == "" {
		return "", fmt.Errorf("reading Knative Service %s: no annotation %s names its primary yet", key, primaryRevisionAnnotation)
	}
	return name, nil
}
