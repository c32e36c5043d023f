// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// filterByEvent keeps the Pipelines that a message of a forge can be about, all if it names
// no repository. Unlike images, repositories go by one name: an organization tells of all
// that it has, of the branches of all its people, and a Pipeline that is woken asks the forge.
func (h *Hooks) filterByEvent(
	ctx context.Context, items []metav1.PartialObjectMetadata, in client.InNamespace, e gitEvent,
) ([]metav1.PartialObjectMetadata, error) {
	if e.repository == "" || len(items) == 0 {
		return items, nil
	}
	var list sluicev1.PipelineList
	if err := h.Reader.List(ctx, &list, in); err != nil {
		return nil, fmt.Errorf("listing the sources of %s in '%s': %w", sluicev1.PipelineKind, string(in), err)
	}
	pipelines := map[string]*sluicev1.Pipeline{}
	for i := range list.Items {
		pipelines[list.Items[i].Name] = &list.Items[i]
	}
	named := repositories{hooks: h, event: e, known: map[string]map[string]*sourcev1.GitRepository{}}
	var kept []metav1.PartialObjectMetadata
	for _, item := range items {
		p := pipelines[item.Name]
		if p == nil {
			continue // it was deleted meanwhile
		}
		concerned, err := named.concern(ctx, p)
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

// concern reports whether a Pipeline is written to the repository of the event, and has to
// do with one of its branches.
func (r repositories) concern(ctx context.Context, p *sluicev1.Pipeline) (bool, error) {
	for _, key := range p.Sources() {
		repo, err := r.at(ctx, key)
		if err != nil {
			return false, err
		}
		if repo != nil && r.event.isOfBranches(p, key, repo) {
			return true, nil
		}
	}
	return false, nil
}

// at is a GitRepository of the event; nil if it is another one, or is not there.
func (r repositories) at(ctx context.Context, key types.NamespacedName) (*sourcev1.GitRepository, error) {
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

// ourBranches is how branches of Pipelines begin: those that propose, by default, and those
// that have decisions.
const ourBranches = "sluice/"

// isOfBranches reports whether a Pipeline has to do with a branch of the event: a stage of
// it is written to that in this repository, or proposes from it. Branches that are not
// known are all of them.
func (e gitEvent) isOfBranches(p *sluicev1.Pipeline, source types.NamespacedName, repo *sourcev1.GitRepository) bool {
	return len(e.branches) == 0 || slices.ContainsFunc(e.branches, func(branch string) bool {
		return strings.HasPrefix(branch, ourBranches) || slices.ContainsFunc(p.Spec.Stages, func(s sluicev1.Stage) bool {
			if ref := p.Spec.SourceOf(&s); ref == nil || ref.Name != source.Name {
				return false
			}
			base, known := baseOf(&s, repo)
			pr := s.Write.PullRequest
			return !known || branch == base || pr != nil && pr.BranchPrefix != "" && strings.HasPrefix(branch, pr.BranchPrefix)
		})
	})
}

// baseOf is the branch that a stage is written to, if it is known by name.
func baseOf(s *sluicev1.Stage, repo *sourcev1.GitRepository) (string, bool) {
	ref := repo.Spec.Reference
	switch {
	case s.Write.Branch != "":
		return s.Write.Branch, true
	case ref == nil:
		return "master", true // as Flux has it
	}
	return ref.Branch, ref.Branch != ""
}
