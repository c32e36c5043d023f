// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
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

// pathClaim is what a target of a stage writes: fields below a path of a branch, or a tag. Two who
// write the same would take each other's versions for commits of people.
type pathClaim struct {
	stage string
	// scope is the branch of a repository, whichever object names it, and path what is written there;
	// or scope is a tag. display is the same for people.
	scope, path, display string
	tag                  bool
	// policies are those whose markers it writes, and setters the other fields.
	policies []types.NamespacedName
	setters  []sluicev1.Setter
}

// overlaps reports whether files below one path are below the other, too.
func (a pathClaim) overlaps(b pathClaim) bool {
	return a.scope == b.scope && (within(a.path, b.path) || within(b.path, a.path))
}

// within reports whether a path is another one, or below that.
func within(inner, outer string) bool {
	return outer == "" || inner == outer || strings.HasPrefix(inner, outer+"/")
}

// sharesFieldsWith says which fields both write; empty is none. A stage that has setters has no
// markers, or nobody would have written setters.
func (a pathClaim) sharesFieldsWith(b pathClaim) string {
	if !a.overlaps(b) {
		return ""
	}
	if a.tag {
		return "the tag"
	}
	for _, s := range a.setters {
		for _, other := range b.setters {
			if equality.Semantic.DeepEqual(fieldOf(a.path, s), fieldOf(b.path, other)) {
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

// fieldOf is the field that a setter writes, without the artifact that it is for.
func fieldOf(below string, s sluicev1.Setter) sluicev1.Setter {
	s.Artifact, s.File = "", path.Join(below, s.File)
	return s
}

// branchLookup tell which branch of which repository a GitRepository is about. Several objects may be
// about one repository.
type branchLookup func(types.NamespacedName) (repository, branch string)

// branches reads each GitRepository once.
func (r *Reconciler) branches(ctx context.Context) branchLookup {
	read := map[types.NamespacedName][2]string{}
	return func(key types.NamespacedName) (string, string) {
		if known, ok := read[key]; ok {
			return known[0], known[1]
		}
		var repo sourcev1.GitRepository
		_ = r.Client.Get(ctx, key, &repo) // who opens it says that it does not exist
		read[key] = [2]string{cmp.Or(sameRepository(repo.Spec.URL), key.String()), writeback.BranchOf(&sluicev1.Stage{}, &repo)}
		return read[key][0], read[key][1]
	}
}

// sameRepository is the address of a repository without what makes no difference. One by SSH and
// one by HTTPS are taken for two: forges may serve them at other paths.
func sameRepository(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.User, u.Host = nil, strings.ToLower(u.Host)
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), ".git")
	return u.String()
}

// placesOf are what the stages of a pipeline write.
func placesOf(p *sluicev1.Pipeline, of branchLookup) []pathClaim {
	var policies []types.NamespacedName
	for _, a := range p.Spec.Artifacts {
		if a.ImagePolicyRef != nil {
			policies = append(policies, types.NamespacedName{Namespace: p.Namespace, Name: a.ImagePolicyRef.Name})
		}
	}
	var places []pathClaim
	for i := range p.Spec.Stages {
		stage := &p.Spec.Stages[i]
		for _, t := range targetsOf(stage) {
			if t.tag != nil {
				if tag, err := tagName(t.tag); err == nil { // who opens it says what is wrong with it
					places = append(places, pathClaim{stage: stage.Name, scope: tag.Name(), display: tag.Name(), tag: true})
				}
				continue
			}
			key := sourceKeyOf(p, stage)
			where := strings.TrimPrefix(path.Clean("/"+t.path), "/")
			repository, branch := of(key)
			branch = cmp.Or(stage.Write.Branch, branch)
			places = append(places, pathClaim{
				stage: stage.Name, scope: repository + "#" + branch, path: where,
				display:  fmt.Sprintf("path %q of branch %s of GitRepository %s", where, branch, key),
				policies: policies, setters: stage.Write.Setters,
			})
		}
	}
	return places
}

// distinct refuses two stages that write the same.
func distinct(places []pathClaim) error {
	for i, a := range places {
		for _, b := range places[:i] {
			if fields := a.sharesFieldsWith(b); fields != "" && a.stage != b.stage {
				if a.tag {
					return refuse("spec.stages[%s].write.tag: stage %s writes %s, too: give each a tag of its own", a.stage, b.stage, b.display)
				}
				return refuse("spec.stages[%s].write.path: stage %s writes %s at %s, too: give each a path or a branch of its own",
					a.stage, b.stage, fields, b.display)
			}
		}
	}
	return nil
}

// byFields is an index of pipelines by what two of them cannot both write: who has nothing of it
// in common with another one cannot be in its way. A pipeline finds those that may be without a
// look at all that there are.
const byFields = "spec.stages.write"

// fieldKeys are the values of [byFields]: tags, markers of policies, and files that setters name.
func fieldKeys(obj client.Object) []string {
	p, ok := obj.(*sluicev1.Pipeline)
	if !ok {
		return nil
	}
	anywhere := func(types.NamespacedName) (string, string) { return "", "" }
	keys := map[string]bool{}
	for _, at := range placesOf(p, anywhere) {
		if at.tag {
			keys["tag "+at.scope] = true
		}
		for _, policy := range at.policies {
			keys["policy "+policy.String()] = true
		}
		for _, s := range at.setters {
			keys["file "+path.Join(at.path, s.File)] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// checkPathConflicts refuses a pipeline that writes what an older one writes, or of which two stages write the
// same.
func (r *Reconciler) checkPathConflicts(ctx context.Context, p *sluicev1.Pipeline) error {
	of := r.branches(ctx)
	ours := placesOf(p, of)
	if err := distinct(ours); err != nil {
		return err
	}
	for _, key := range fieldKeys(p) {
		var some sluicev1.PipelineList
		if err := r.Client.List(ctx, &some, client.MatchingFields{byFields: key}, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("listing pipelines: %w", err)
		}
		for i := range some.Items {
			if other := &some.Items[i]; isOlder(other, p) {
				if err := refuseConflicts(ours, other, placesOf(other, of)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// refuseConflicts refuses places that another pipeline has, too.
func refuseConflicts(ours []pathClaim, other *sluicev1.Pipeline, theirs []pathClaim) error {
	for _, b := range theirs {
		for _, a := range ours {
			fields := a.sharesFieldsWith(b)
			if fields == "" {
				continue
			}
			field, remedy := "path", "another path or branch"
			if a.tag {
				field, remedy = "tag", "another tag"
			}
			return reconcile.TerminalError(reconciler.WithReason(sluicev1.PathInUseReason, fmt.Errorf(
				"spec.stages[%s].write.%s: stage %s of Pipeline %s/%s writes %s at %s, too: give one of them %s, or delete one",
				a.stage, field, b.stage, other.Namespace, other.Name, fields, b.display, remedy)))
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
		return r.affected().pipelines(ctx, "", func(p *sluicev1.Pipeline) bool {
			c := apimeta.FindStatusCondition(p.Status.Conditions, meta.StalledCondition)
			return c != nil && c.Reason == sluicev1.PathInUseReason
		})
	}), builder.WithPredicates(predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: predicate.GenerationChangedPredicate{}.Update,
	}))
}
