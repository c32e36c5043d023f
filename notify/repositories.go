// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
)

// committer is an object that commits to repositories: a Pipeline or an
// ImageUpdateAutomation.
type committer interface {
	// sources are the GitRepositories of those.
	sources() []types.NamespacedName
	// uses reports whether it reads, writes or proposes from a branch of a repository.
	uses(branch string, source types.NamespacedName, repo *sourcev1.GitRepository) bool
}

// isFor reports whether an object has to do with one of the branches of the event. Branches
// that are not known are all of them.
func (e gitEvent) isFor(c committer, source types.NamespacedName, repo *sourcev1.GitRepository) bool {
	return len(e.branches) == 0 || slices.ContainsFunc(e.branches, func(branch string) bool { return c.uses(branch, source, repo) })
}

// filterByEvent keeps the objects that a message of a forge can be about, all if it names
// no repository. Unlike images, repositories go by one name: an organization tells of all
// that it has, of the branches of all its people, and what is woken asks the forge.
func (h *Hooks) filterByEvent(
	ctx context.Context, items []metav1.PartialObjectMetadata, all func(context.Context) (map[string]committer, error), e gitEvent,
) ([]metav1.PartialObjectMetadata, error) {
	if e.repository == "" || len(items) == 0 {
		return items, nil
	}
	committers, err := all(ctx)
	if err != nil {
		return nil, err
	}
	named := repositories{hooks: h, event: e, known: map[string]map[string]*sourcev1.GitRepository{}}
	var kept []metav1.PartialObjectMetadata
	for _, item := range items {
		c := committers[item.Name]
		if c == nil {
			continue // it was deleted meanwhile
		}
		concerned, err := named.concern(ctx, c)
		if err != nil {
			return nil, err
		}
		if concerned {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

// repositories are the GitRepositories that an event can be about, by namespace and name.
type repositories struct {
	hooks *Hooks
	event gitEvent
	known map[string]map[string]*sourcev1.GitRepository
}

// concern reports whether an object commits to the repository of the event, and has to do
// with one of its branches.
func (r repositories) concern(ctx context.Context, c committer) (bool, error) {
	for _, key := range c.sources() {
		repo, err := r.get(ctx, key)
		if err != nil {
			return false, err
		}
		if repo != nil && r.event.isFor(c, key, repo) {
			return true, nil
		}
	}
	return false, nil
}

// get is a GitRepository of the event; nil if it is another one, or is not there.
func (r repositories) get(ctx context.Context, key types.NamespacedName) (*sourcev1.GitRepository, error) {
	if r.known[key.Namespace] == nil {
		var list sourcev1.GitRepositoryList
		if err := r.hooks.Reader.List(ctx, &list, client.InNamespace(key.Namespace)); err != nil {
			return nil, fmt.Errorf("listing the URLs of %s in '%s': %w", sourcev1.GitRepositoryKind, key.Namespace, err)
		}
		r.known[key.Namespace] = map[string]*sourcev1.GitRepository{}
		for i := range list.Items {
			if isRepository(list.Items[i].Spec.URL, r.event.repository) {
				r.known[key.Namespace][list.Items[i].Name] = &list.Items[i]
			}
		}
	}
	return r.known[key.Namespace][key.Name], nil
}

// pipelinesIn lists the Pipelines of a namespace by name.
func (h *Hooks) pipelinesIn(namespace string) func(context.Context) (map[string]committer, error) {
	return func(ctx context.Context) (map[string]committer, error) {
		var list sluicev1.PipelineList
		if err := h.Reader.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("listing the sources of %s in '%s': %w", sluicev1.PipelineKind, namespace, err)
		}
		found := map[string]committer{}
		for i := range list.Items {
			found[list.Items[i].Name] = pipeline{&list.Items[i]}
		}
		return found, nil
	}
}

// automationsIn lists the ImageUpdateAutomations of a namespace by name.
func (h *Hooks) automationsIn(namespace string) func(context.Context) (map[string]committer, error) {
	return func(ctx context.Context) (map[string]committer, error) {
		var list imagev1.ImageUpdateAutomationList
		if err := h.Reader.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("listing the sources of %s in '%s': %w", imagev1.ImageUpdateAutomationKind, namespace, err)
		}
		found := map[string]committer{}
		for i := range list.Items {
			found[list.Items[i].Name] = automation{&list.Items[i]}
		}
		return found, nil
	}
}

type pipeline struct{ *sluicev1.Pipeline }

func (p pipeline) sources() []types.NamespacedName { return p.Sources() }

// ourBranches is how branches of Pipelines begin: those that propose, by default, and those
// that have decisions.
const ourBranches = "sluice/"

// uses implements [committer]: a stage is written to a branch of this repository, or
// proposes from it.
func (p pipeline) uses(branch string, source types.NamespacedName, repo *sourcev1.GitRepository) bool {
	return strings.HasPrefix(branch, ourBranches) || slices.ContainsFunc(p.Spec.Stages, func(s sluicev1.Stage) bool {
		if ref := p.Spec.SourceOf(&s); ref == nil || ref.Name != source.Name {
			return false
		}
		base, pr := cmp.Or(s.Write.Branch, branchOf(repo.Spec.Reference)), s.Write.PullRequest
		return base == "" || branch == base || pr != nil && pr.BranchPrefix != "" && strings.HasPrefix(branch, pr.BranchPrefix)
	})
}

type automation struct{ *imagev1.ImageUpdateAutomation }

func (a automation) sources() []types.NamespacedName {
	ref := a.Spec.SourceRef
	key := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	if key.Namespace == "" {
		key.Namespace = a.Namespace
	}
	return []types.NamespacedName{key}
}

// uses implements [committer]: a branch is checked out, or pushed to.
func (a automation) uses(branch string, _ types.NamespacedName, repo *sourcev1.GitRepository) bool {
	ref, pushed := repo.Spec.Reference, ""
	if spec := a.Spec.GitSpec; spec != nil {
		if spec.Checkout != nil {
			ref = (*sourcev1.GitRepositoryRef)(&spec.Checkout.Reference)
		}
		if spec.Push != nil {
			pushed = spec.Push.Branch
		}
	}
	base := branchOf(ref)
	return base == "" || branch == base || branch == pushed
}

// branchOf is the branch of a reference; empty is one that is not known by name.
func branchOf(ref *sourcev1.GitRepositoryRef) string {
	if ref == nil {
		return git.Reference{}.BranchName()
	}
	return git.Reference(*ref).BranchName()
}
