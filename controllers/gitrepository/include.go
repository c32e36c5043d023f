// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// byInclude is the index of sources by those that they include.
const byInclude = "spec.include"

// included is an artifact of another source.
type included struct {
	sourcev1.GitRepositoryInclude
	artifact *meta.Artifact
}

// failed is an error of an include.
func (i included) failed(err error) error {
	return includeFailed("CopyFailure", fmt.Errorf("failed to copy '%s' include: %w", i.GitRepositoryRef.Name, err))
}

func includeFailed(reason string, err error) error {
	return reconciler.WithCondition(sourcev1.IncludeUnavailableCondition, reason, err)
}

// checkIncludes refuses includes that can mean nothing.
func checkIncludes(obj *sourcev1.GitRepository) error {
	if n := len(obj.Spec.Include); n > maxIncludes {
		return includeFailed("CopyFailure", fmt.Errorf("spec.include has %d entries, of which %d are allowed", n, maxIncludes))
	}
	for i, include := range obj.Spec.Include {
		at, err := tree.Split(include.GetToPath())
		if err != nil || len(at) == 0 {
			return includeFailed("IllegalPath", fmt.Errorf("spec.include[%d].toPath '%s' is no path within the repository, such as lib/%s",
				i, include.GetToPath(), include.GitRepositoryRef.Name))
		}
		if _, err := tree.Split(include.GetFromPath()); err != nil {
			return includeFailed("IllegalPath", fmt.Errorf("spec.include[%d].fromPath '%s' leads out of the artifact", i, include.GetFromPath()))
		}
	}
	return nil
}

// include finds the artifacts that a source includes.
func (r *Reconciler) include(ctx context.Context, obj *sourcev1.GitRepository) ([]included, error) {
	if err := r.checkCycle(ctx, obj); err != nil {
		return nil, err
	}
	found := make([]included, 0, len(obj.Spec.Include))
	for _, include := range obj.Spec.Include {
		name := include.GitRepositoryRef.Name
		var other sourcev1.GitRepository
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: obj.Namespace, Name: name}, &other)
		switch {
		case apierrors.IsNotFound(err):
			// It comes by and by, and is watched for.
			return nil, reconciler.Pending(includeFailed("NotFound", fmt.Errorf("could not get resource for include '%s': %w", name, err)),
				obj.Spec.Interval.Duration)
		case err != nil:
			return nil, fmt.Errorf("reading GitRepository '%s': %w", name, err)
		case other.GetArtifact() == nil:
			return nil, reconciler.Pending(includeFailed("NoArtifact", fmt.Errorf("no artifact available for include '%s'", name)),
				obj.Spec.Interval.Duration)
		}
		found = append(found, included{include, other.GetArtifact().DeepCopy()})
	}
	reconciler.RemoveCondition(obj, sourcev1.IncludeUnavailableCondition)
	return found, nil
}

// checkCycle refuses a source that includes itself by way of others: its artifact would
// grow with each look.
func (r *Reconciler) checkCycle(ctx context.Context, obj *sourcev1.GitRepository) error {
	seen := map[string]bool{}
	var left []string
	add := func(of *sourcev1.GitRepository) {
		for _, include := range of.Spec.Include {
			if name := include.GitRepositoryRef.Name; !seen[name] {
				seen[name] = true
				left = append(left, name)
			}
		}
	}
	for add(obj); len(left) > 0 && !seen[obj.Name]; {
		next := left[0]
		left = left[1:]
		var other sourcev1.GitRepository
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: obj.Namespace, Name: next}, &other)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading GitRepository '%s': %w", next, err)
		}
		add(&other)
	}
	if seen[obj.Name] {
		return reconcile.TerminalError(includeFailed("CopyFailure",
			fmt.Errorf("spec.include leads back to '%s' itself: no source can include what includes it", obj.Name)))
	}
	return nil
}

// watchIncluded wakes sources when one that they include has another artifact, or other
// includes of its own.
func (r *Reconciler) watchIncluded(ctx context.Context, mgr ctrl.Manager) (reconciler.Watch, error) {
	if err := reconciler.Index(ctx, mgr, &sourcev1.GitRepository{}, byInclude, indexInclude); err != nil {
		return nil, err
	}
	toThose := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return reconciler.Requests(ctx, mgr.GetClient(), &sourcev1.GitRepositoryList{}, reconciler.Any[*sourcev1.GitRepository],
			client.InNamespace(obj.GetNamespace()), client.MatchingFields{byInclude: obj.GetName()})
	})
	return func(b *builder.Builder) *builder.Builder {
		return b.Watches(&sourcev1.GitRepository{}, toThose, builder.WithPredicates(includedChanged()))
	}, nil
}

// indexInclude names the sources that one includes.
func indexInclude(obj client.Object) []string {
	repo, ok := obj.(*sourcev1.GitRepository)
	if !ok {
		return nil
	}
	var names []string
	for _, include := range repo.Spec.Include {
		names = append(names, include.GitRepositoryRef.Name)
	}
	return names
}

// includedChanged passes sources that others may include in another way than before.
func includedChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: reconciler.Updates(func(before, after *sourcev1.GitRepository) bool {
			return source.HasAnotherArtifact(before, after) ||
				len(before.Spec.Include) > 0 && before.Generation != after.Generation
		}),
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}
