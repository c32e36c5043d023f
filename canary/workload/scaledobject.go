// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// pausedReplicas makes KEDA hold a workload at so many pods.
const pausedReplicas = "autoscaling.keda.sh/paused-replicas"

// scaledObjects are KEDA's. One would wake a stopped target as soon as there is
// load, so that it is paused meanwhile. The copy is made of one that may be
// paused, and must not be: it is what users depend on.
var scaledObjects = &scalerKind{
	GroupVersionKind: schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"},
	least:            "minReplicaCount",
	most:             "maxReplicaCount",
	adapt:            adaptScaledObject,
	inherits: func(annotations map[string]string, _ []string) map[string]string {
		return inherited(annotations)
	},
	drops: []string{pausedReplicas, "autoscaling.keda.sh/paused", pausedAnnotation},
	pause: pausedReplicas,
	idles: func(spec map[string]any) bool {
		least, _ := spec["minReplicaCount"].(int64) // KEDA's default is none
		_, idle := spec[idleReplicas]
		return least == 0 || idle
	},
}

// idleReplicas is how many pods KEDA leaves if there is nothing to do, fewer than the
// minimum: none.
const idleReplicas = "idleReplicaCount"

// adaptScaledObject makes the copy ask about the primary. The HPA that KEDA makes
// cannot have the name of the other one's.
func adaptScaledObject(p primaryScaler, spec map[string]any) {
	hpa := object.Map(spec, "advanced", "horizontalPodAutoscalerConfig")
	if name, _ := hpa["name"].(string); name != "" {
		hpa["name"] = flaggerv1.PrimaryName(name)
	}
	for _, trigger := range object.List(spec, "triggers") {
		p.adaptTrigger(trigger)
	}
}

// adaptTrigger changes what a trigger asks. Queries of the owner's for the
// primary, by the names of triggers, leave all others as they are. Triggers
// without a query measure what both copies share, such as a queue, or the copy's
// own pods; but one that counts pods has to count the primary's.
func (p primaryScaler) adaptTrigger(trigger map[string]any) {
	name, _ := trigger["name"].(string)
	metadata := object.Child(trigger, "metadata")
	queries := p.ref.PrimaryScalerQueries
	if query, ok := queries[name]; ok {
		metadata["query"] = query
	}
	if query, ok := metadata["query"].(string); ok && queries == nil {
		metadata["query"] = toPrimary(query, p.target)
	}
	if selector, ok := metadata["podSelector"].(string); ok {
		metadata["podSelector"] = p.names.podSelector(selector)
	}
}

// podSelector makes a selector that counts the target's pods count the primary's. One
// that does not parse counts nothing, and stays.
func (n naming) podSelector(selector string) string {
	requirements, err := labels.ParseToRequirements(selector)
	if err != nil {
		return selector
	}
	changed := labels.NewSelector()
	for _, r := range requirements {
		values := r.ValuesUnsorted()
		if i := slices.Index(values, n.own[r.Key()]); i >= 0 && n.fixed[r.Key()] != "" {
			values[i] = n.fixed[r.Key()]
		}
		replaced, err := labels.NewRequirement(r.Key(), r.Operator(), values)
		if err != nil {
			return selector
		}
		changed = changed.Add(*replaced)
	}
	return changed.String()
}

// toPrimary replaces the name of the target, or of its canary, by the primary's
// wherever it occurs in a text.
func toPrimary(text, name string) string {
	primary := flaggerv1.PrimaryName(name)
	return strings.NewReplacer(name+"-canary", primary, primary, primary, name, primary).Replace(text)
}
