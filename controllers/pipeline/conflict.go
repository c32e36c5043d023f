// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fluxcd/pkg/apis/meta"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
)

// place is what a target of a stage writes: fields below a path of a branch, or a tag. Two who
// write the same would take each other's versions for commits of people.
type place struct {
	stage string
	// at is the repository, the branch and the path, or the tag, for people.
	at string
	// policies are those whose markers it writes, and setters the other fields.
	policies []types.NamespacedName
	setters  []sluicev1.Setter
}

// sharesFieldsWith says which fields both write; empty is none. A stage that has setters has no
// markers, or nobody would have written setters.
func (a place) sharesFieldsWith(b place) string {
	if a.at != b.at {
		return ""
	}
	for _, s := range a.setters {
		s.Artifact = ""
		for _, other := range b.setters {
			if other.Artifact = ""; equality.Semantic.DeepEqual(s, other) {
				return "the field of a setter in " + s.File
			}
		}
	}
	for _, policy := range a.policies {
		if slices.Contains(b.policies, policy) && (len(a.setters) == 0 || len(b.setters) == 0) {
			return fmt.Sprintf("the markers of ImagePolicy %s", policy)
		}
	}
	return ""
}

// placesOf are what the stages of a pipeline write in Git; branch is that of a GitRepository.
func placesOf(p *sluicev1.Pipeline, branch func(types.NamespacedName) string) []place {
	var policies []types.NamespacedName
	for _, a := range p.Spec.Artifacts {
		if a.ImagePolicyRef != nil {
			policies = append(policies, types.NamespacedName{Namespace: p.Namespace, Name: a.ImagePolicyRef.Name})
		}
	}
	var places []place
	for i := range p.Spec.Stages {
		stage := &p.Spec.Stages[i]
		if stage.Write.Tag != nil {
			continue
		}
		key := sourceKeyOf(p, stage)
		for _, t := range targetsOf(stage) {
			where := strings.TrimPrefix(path.Clean("/"+t.path), "/")
			places = append(places, place{
				stage: stage.Name, at: fmt.Sprintf("path %q of branch %s of GitRepository %s", where, cmp.Or(stage.Write.Branch, branch(key)), key),
				policies: policies, setters: stage.Write.Setters,
			})
		}
	}
	return places
}

// distinct refuses two stages that write the same.
func distinct(places []place) error {
	for i, a := range places {
		for _, b := range places[:i] {
			if fields := a.sharesFieldsWith(b); fields != "" && a.stage != b.stage {
				return refuse("spec.stages[%s].write.path: stage %s writes %s at %s, too: give each a path or a branch of its own",
					a.stage, b.stage, fields, a.at)
			}
		}
	}
	return nil
}

// alone refuses a pipeline that writes what an older one writes, or of which two stages write the
// same.
func (r *Reconciler) alone(ctx context.Context, p *sluicev1.Pipeline) error {
	var all sluicev1.PipelineList
	if err := r.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing pipelines: %w", err)
	}
	branch := func(key types.NamespacedName) string {
		var repo sourcev1.GitRepository
		_ = r.Client.Get(ctx, key, &repo) // who opens it says that it does not exist
		return writeback.BranchOf(&sluicev1.Stage{}, &repo)
	}
	ours := placesOf(p, branch)
	if err := distinct(ours); err != nil {
		return err
	}
	for i := range all.Items {
		other := &all.Items[i]
		shared := func(key types.NamespacedName) bool { return slices.Contains(p.Sources(), key) }
		if !isOlder(other, p) || !slices.ContainsFunc(other.Sources(), shared) {
			continue
		}
		if err := apart(ours, other, placesOf(other, branch)); err != nil {
			return err
		}
	}
	return nil
}

// apart refuses places that another pipeline has, too.
func apart(ours []place, other *sluicev1.Pipeline, theirs []place) error {
	for _, b := range theirs {
		for _, a := range ours {
			if fields := a.sharesFieldsWith(b); fields != "" {
				return reconcile.TerminalError(reconciler.WithReason(sluicev1.PathInUseReason, fmt.Errorf(
					"spec.stages[%s].write.path: stage %s of Pipeline %s/%s writes %s at %s, too: give one of them another path or branch, or delete one",
					a.stage, b.stage, other.Namespace, other.Name, fields, a.at)))
			}
		}
	}
	return nil
}

// isOlder reports whether another pipeline was there before this one.
func isOlder(other, p *sluicev1.Pipeline) bool {
	if client.ObjectKeyFromObject(other) == client.ObjectKeyFromObject(p) {
		return false
	}
	if !other.CreationTimestamp.Equal(&p.CreationTimestamp) {
		return other.CreationTimestamp.Before(&p.CreationTimestamp)
	}
	return other.Namespace+"/"+other.Name < p.Namespace+"/"+p.Name
}

// watchConflicts brings pipelines back that another one was in the way of, once that is another
// one or gone.
func (r *Reconciler) watchConflicts(b *builder.Builder) *builder.Builder {
	return b.Watches(&sluicev1.Pipeline{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
		return r.pipelines(ctx, "", func(p *sluicev1.Pipeline) bool {
			c := apimeta.FindStatusCondition(p.Status.Conditions, meta.StalledCondition)
			return c != nil && c.Reason == sluicev1.PathInUseReason
		})
	}), builder.WithPredicates(predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: predicate.GenerationChangedPredicate{}.Update,
	}))
}
