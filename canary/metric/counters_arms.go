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

// armVars returns what queries for counters may ask for: what any query may, and the arm. Which pods of a StatefulSet
// are the canary's, and which revision of a Knative Service is, changes from release to release and from step to
// step; see [movingArms].
func (k *Checker) armVars(
	ctx context.Context, c *flaggerv1.Canary, m flaggerv1.CanaryMetric,
) (func(context.Context, counter.Arm) (templateVars, error), error) {
	canary, err := k.vars(ctx, c, m)
	if err != nil {
		return nil, err
	}
	canary.arm, canary.workload = string(counter.Canary), canary.target
	primary := canary
	primary.arm, primary.workload = string(counter.Primary), flaggerv1.PrimaryName(canary.target)
	key := client.ObjectKey{Namespace: c.Namespace, Name: c.Spec.TargetRef.Name}
	switch {
	case provider.TargetsKnative(c):
		primary.workload = canary.workload
		_, err = armRevision(ctx, k.client, key, counter.Primary)
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
		var err error
		switch {
		case provider.TargetsKnative(c):
			v.route, err = armRevision(ctx, k.client, key, arm)
		case c.Spec.TargetRef.Kind == "StatefulSet":
			v.pods, err = ordinalPods(ctx, k.client, key, arm)
		}
		return v, err
	}, nil
}

// movingArms reports whether the labels of the arms of a canary change.
func movingArms(c *flaggerv1.Canary) bool {
	return provider.TargetsKnative(c) || c.Spec.TargetRef.Kind == "StatefulSet"
}

// armRevision is the revision of a Knative Service that an arm has. While nothing is released, the newest is the primary's, and
// the canary has none.
func armRevision(ctx context.Context, reader client.Reader, key client.ObjectKey, arm counter.Arm) (string, error) {
	primary, err := primaryRevision(ctx, reader, key)
	if err != nil || arm == counter.Primary {
		return primary, err
	}
	newest, err := newestRevision(ctx, reader, key)
	if err == nil && newest == primary {
		newest = "(none)"
	}
	return newest, err
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
