// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// primaryRevision is Flagger's annotation on a Knative Service: the name of the
// Revision that users trust. The workload writes it.
const primaryRevision = "flagger.app/primary-revision"

// knative splits the traffic of a Knative Service between its latest Revision and
// the one that its annotation names, as Flagger does:
//
//	spec.traffic:
//	- {latestRevision: true, percent: 20}
//	- {revisionName: app-00001, percent: 80}
type knative struct{ Deps }

func newKnative(d Deps) Router { return knative{d} }

func (knative) object(c *flaggerv1.Canary) object.Ref {
	return object.NewRef(provider.KnativeService, c.Namespace, c.Spec.TargetRef.Name)
}

// Reconcile implements [Router]: the split names the primary of today. A Service
// without a primary is not split.
func (k knative) Reconcile(ctx context.Context, c *flaggerv1.Canary) error {
	return k.split(ctx, c, func(u *unstructured.Unstructured) int64 {
		percent, ok := latestPercent(u)
		if !ok {
			return 0
		}
		return percent
	})
}

// SetWeights implements [Router].
func (k knative) SetWeights(ctx context.Context, c *flaggerv1.Canary, w provider.Weights) error {
	return k.split(ctx, c, func(*unstructured.Unstructured) int64 { return int64(w.Canary) })
}

func (k knative) split(ctx context.Context, c *flaggerv1.Canary, canary func(*unstructured.Unstructured) int64) error {
	live, err := k.read(ctx, k.object(c))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	primary := live.GetAnnotations()[primaryRevision]
	if primary == "" {
		return nil
	}
	wanted, percent := live.DeepCopy(), canary(live)
	if err := unstructured.SetNestedSlice(wanted.Object, []any{
		map[string]any{"latestRevision": true, "percent": percent},
		map[string]any{"revisionName": primary, "percent": 100 - percent},
	}, "spec", "traffic"); err != nil {
		return fmt.Errorf("splitting knative service %s.%s: %w", c.Spec.TargetRef.Name, c.Namespace, err)
	}
	return k.update(ctx, k.object(c), live, wanted)
}

// latestPercent is what the latest Revision gets, if the split is one of ours.
func latestPercent(u *unstructured.Unstructured) (int64, bool) {
	traffic, _, _ := unstructured.NestedSlice(u.Object, "spec", "traffic")
	var sum, latest int64
	found := false
	for _, entry := range traffic {
		target, _ := entry.(map[string]any)
		percent, _ := target["percent"].(int64)
		sum += percent
		if target["latestRevision"] == true {
			latest, found = percent, true
		}
	}
	return latest, found && len(traffic) == 2 && sum == 100
}

// Weights implements [Router].
func (k knative) Weights(ctx context.Context, c *flaggerv1.Canary) (provider.Weights, error) {
	live, err := k.read(ctx, k.object(c))
	if err != nil {
		return provider.Weights{}, err
	}
	percent, ok := latestPercent(live)
	if !ok {
		return provider.Weights{}, &NotAccepted{Why: fmt.Sprintf("knative service %s.%s: spec.traffic is not split in two",
			live.GetName(), live.GetNamespace())}
	}
	if why := notRouted(live); why != "" {
		return provider.Weights{}, &NotAccepted{Why: fmt.Sprintf("knative service %s.%s: %s", live.GetName(), live.GetNamespace(), why)}
	}
	return provider.Weights{Primary: 100 - int(percent), Canary: int(percent)}, nil
}

// notRouted says why the split is not in force yet; empty is that it is, as far as
// Knative has said anything.
func notRouted(u *unstructured.Unstructured) string {
	observed, ok, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if ok && observed < u.GetGeneration() {
		return "Knative has not seen the split yet"
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, entry := range conditions {
		condition, _ := entry.(map[string]any)
		if condition["type"] == "RoutesReady" && condition["status"] != "True" {
			return "routes are not ready" + joinReasons(object.Text(condition, "reason"), object.Text(condition, "message"))
		}
	}
	return ""
}

// Finalize implements [Router]: the latest Revision gets everybody, as it does
// when nobody splits the traffic.
func (k knative) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	live, err := k.read(ctx, k.object(c))
	if errors.Is(err, ErrNotInstalled) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	annotations := live.GetAnnotations()
	if _, ours := annotations[primaryRevision]; !ours {
		return nil
	}
	wanted := live.DeepCopy()
	delete(annotations, primaryRevision)
	wanted.SetAnnotations(annotations)
	unstructured.RemoveNestedField(wanted.Object, "spec", "traffic")
	return k.update(ctx, k.object(c), live, wanted)
}

// Objects implements [Router].
func (k knative) Objects(c *flaggerv1.Canary) []object.Ref { return []object.Ref{k.object(c)} }

// Supports implements [Router].
func (knative) Supports(c *flaggerv1.Canary) error {
	if !provider.TargetsKnative(c) {
		return terminal("spec.targetRef: provider knative is for a Service of %s, not for a %s of %q",
			provider.KnativeService.GroupVersion(), c.Spec.TargetRef.Kind, c.Spec.TargetRef.APIVersion)
	}
	return nil
}
