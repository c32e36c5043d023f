// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"maps"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// affectedPipelines finds the pipelines that the change of another object concerns.
type affectedPipelines struct{ client.Reader }

func (r *Reconciler) affected() affectedPipelines { return affectedPipelines{r.Client} }

// pipelines are those of a namespace, "" for all, that wanted accepts.
func (a affectedPipelines) pipelines(ctx context.Context, namespace string, wanted func(*sluicev1.Pipeline) bool) []reconcile.Request {
	return reconciler.Requests(ctx, a.Reader, &sluicev1.PipelineList{}, wanted, client.InNamespace(namespace))
}

func (a affectedPipelines) pipelinesOfPolicy(ctx context.Context, policy client.Object) []reconcile.Request {
	return a.pipelines(ctx, policy.GetNamespace(), func(p *sluicev1.Pipeline) bool {
		for _, a := range p.Spec.Artifacts {
			if a.ImagePolicyRef != nil && a.ImagePolicyRef.Name == policy.GetName() {
				return true
			}
		}
		return false
	})
}

func (a affectedPipelines) allPipelines(ctx context.Context, _ client.Object) []reconcile.Request {
	return a.pipelines(ctx, "", reconciler.Any[*sluicev1.Pipeline])
}

// pipelinesOfObject are those that wait for an object to be Ready, are verified by it, or
// take their versions from it.
func (a affectedPipelines) pipelinesOfObject(kind string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		return a.pipelines(ctx, "", func(p *sluicev1.Pipeline) bool { return refersTo(p, kind, client.ObjectKeyFromObject(object)) })
	}
}

func refersTo(p *sluicev1.Pipeline, kind string, key client.ObjectKey) bool {
	for _, a := range p.Spec.Artifacts {
		if ref := a.OCIRepositoryRef; ref != nil && kind == sourcev1.OCIRepositoryKind && keyOf(p, "", ref.Name) == key {
			return true
		}
	}
	for _, stage := range p.Spec.Stages {
		for _, target := range targetsOf(&stage) {
			for _, ref := range target.ready {
				if ref.Kind == kind && keyOf(p, ref.Namespace, ref.Name) == key {
					return true
				}
			}
		}
		for _, v := range stage.Verify {
			if kind == flaggerv1.CanaryKind && v.Canary != nil && keyOf(p, v.Canary.Namespace, v.Canary.Name) == key {
				return true
			}
		}
	}
	return false
}

func (a affectedPipelines) pipelinesOfSource(ctx context.Context, repo client.Object) []reconcile.Request {
	return a.pipelines(ctx, "", isOn(repo))
}

// pipelinesOfSpec are the pipelines on a GitRepository, and those that write what one of these
// writes: which repository and branch a GitRepository is about decides who is in whose way.
func (a affectedPipelines) pipelinesOfSpec(ctx context.Context, repo client.Object) []reconcile.Request {
	var on sluicev1.PipelineList
	if err := a.List(ctx, &on, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "listing pipelines on a GitRepository")
		return nil
	}
	onIt, keys, found := isOn(repo), map[string]bool{}, map[reconcile.Request]bool{}
	for i := range on.Items {
		if p := &on.Items[i]; onIt(p) {
			found[reconcile.Request{NamespacedName: client.ObjectKeyFromObject(p)}] = true
			for _, key := range fieldKeys(p) {
				keys[key] = true
			}
		}
	}
	for key := range keys {
		for _, beside := range reconciler.Requests(ctx, a.Reader, &sluicev1.PipelineList{}, reconciler.Any[*sluicev1.Pipeline],
			client.MatchingFields{byFields: key}) {
			found[beside] = true
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b reconcile.Request) int { return strings.Compare(a.String(), b.String()) })
}

// pipelinesToGuard are the pipelines to reconcile when the policy or its binding changes.
func (a affectedPipelines) pipelinesToGuard(ctx context.Context, policy client.Object) []reconcile.Request {
	if policy.GetName() != PolicyName {
		return nil
	}
	return a.pipelines(ctx, "", func(p *sluicev1.Pipeline) bool {
		commands, _ := commandsOf(p)
		return needsGuard(p, commands)
	})
}
