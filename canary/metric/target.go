// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/provider"
)

// vars are what the queries of a metric may ask for. Some of it only the live
// target knows.
func (k *Checker) vars(ctx context.Context, c *flaggerv1.Canary, m flaggerv1.CanaryMetric) (templateVars, error) {
	v := newTemplateVars(c, m)
	key := client.ObjectKey{Namespace: c.Namespace, Name: c.Spec.TargetRef.Name}
	var err error
	switch {
	case provider.TargetsKnative(c):
		v.route, err = newestRevision(ctx, k.client, key)
	case c.Spec.TargetRef.Kind == "StatefulSet":
		// see preparedQuery.pods
	case c.Spec.TargetRef.Kind == "DaemonSet":
		// Flagger's pattern below asks for two suffixes. No pod of a DaemonSet has
		// them, but for those of its primary: <target>-primary-x7k2p.
		v.pods = key.Name + "-[0-9a-zA-Z]+"
	default:
		v.pods = key.Name + "-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
	}
	return v, err
}

// newestRevision is what a Knative Service has made last of its template.
func newestRevision(ctx context.Context, reader client.Reader, key client.ObjectKey) (string, error) {
	service := &unstructured.Unstructured{}
	service.SetGroupVersionKind(provider.KnativeService)
	if err := reader.Get(ctx, key, service); err != nil {
		return "", fmt.Errorf("reading Knative Service %s: %w", key, err)
	}
	name, _, err := unstructured.NestedString(service.Object, "status", "latestCreatedRevisionName")
	if err != nil || name == "" {
		return "", fmt.Errorf("reading Knative Service %s: it has no revision yet", key)
	}
	return name, nil
}

// maxOrdinals is how many pods of a StatefulSet a query names one by one. Its replicas
// are a number that somebody wrote, whether there are so many pods or not.
const maxOrdinals = 1000

// updatedPods matches the pods of a StatefulSet that run its new revision: those
// from the partition on. Both copies have the same name otherwise.
func updatedPods(ctx context.Context, reader client.Reader, key client.ObjectKey) (string, error) {
	return ordinalPods(ctx, reader, key, counter.Canary)
}

// ordinalPods matches the pods of a StatefulSet that are of an arm.
func ordinalPods(ctx context.Context, reader client.Reader, key client.ObjectKey, arm counter.Arm) (string, error) {
	set := &appsv1.StatefulSet{}
	if err := reader.Get(ctx, key, set); err != nil {
		return "", fmt.Errorf("reading StatefulSet %s: %w", key, err)
	}
	var first, partition, replicas int32 = 0, 0, 1
	if set.Spec.Ordinals != nil {
		first = set.Spec.Ordinals.Start
	}
	if update := set.Spec.UpdateStrategy.RollingUpdate; update != nil && update.Partition != nil {
		partition = *update.Partition
	}
	if set.Spec.Replicas != nil {
		replicas = *set.Spec.Replicas
	}
	from, to, which := partition, replicas, "new"
	if arm == counter.Primary {
		from, to, which = 0, min(partition, replicas), "old"
	}
	if to-from > maxOrdinals {
		return "", fmt.Errorf("StatefulSet %s: a query may name at most %d pods with {{ pods }}, and %d run its %s revision",
			key, maxOrdinals, to-from, which)
	}
	var ordinals []string
	for i := from; i < to; i++ {
		ordinals = append(ordinals, fmt.Sprint(first+i))
	}
	if len(ordinals) == 0 {
		return key.Name + "-(none)", nil // no pod is called that, so that there are no values
	}
	return key.Name + "-(" + strings.Join(ordinals, "|") + ")", nil
}
