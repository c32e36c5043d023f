// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
)

// Owners are the stages of pipelines that write markers: by the name of the policy, then
// by the directory or file that the stage is written to. A stage is named as in "stage
// production of Pipeline apps/shop".
//
// The marker of a policy that is bundled by a pipeline gets the stage's version below the
// path of a stage. An automation that wrote the newest one there would end the stage's
// promotion before it began.
type Owners map[string]map[string]string

// ofFile are the owners of the markers of a file, by policy; that of the nearest directory
// counts. Nil if there are none.
func (o Owners) ofFile(file string) map[string]string {
	var found map[string]string
	for policy, paths := range o {
		owner := nearest(paths, file)
		if owner == "" {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[policy] = owner
	}
	return found
}

// nearest is the entry of a path, or of the directory that it is in.
func nearest(paths map[string]string, file string) string {
	for at := clean(file); ; at = path.Dir(at) {
		if owner := paths[at]; owner != "" || at == root {
			return owner
		}
	}
}

// root is the path of everything.
const root = "."

// clean is a path as files are found by: "." for everything, else without slashes at the
// ends.
func clean(name string) string { return path.Clean(strings.TrimLeft(path.Clean("/"+name), "/")) }

// add takes what a stage of a pipeline writes. The first owner of a path stays.
func (o Owners) add(p *sluicev1.Pipeline, stage *sluicev1.Stage) {
	owner := fmt.Sprintf("stage %s of %s %s/%s", stage.Name, sluicev1.PipelineKind, p.Namespace, p.Name)
	for _, a := range p.Spec.Artifacts {
		if a.ImagePolicyRef == nil {
			continue
		}
		paths := o[a.ImagePolicyRef.Name]
		if paths == nil {
			paths = map[string]string{}
			o[a.ImagePolicyRef.Name] = paths
		}
		for _, name := range stage.Paths() {
			paths[clean(name)] = cmp.Or(paths[clean(name)], owner)
		}
	}
}

// BranchOf is the branch of a repository that a stage is written to.
func BranchOf(stage *sluicev1.Stage, repo *sourcev1.GitRepository) string {
	if stage.Write.Branch != "" {
		return stage.Write.Branch
	}
	if ref := repo.Spec.Reference; ref != nil && ref.Branch != "" {
		return ref.Branch
	}
	return "master" // as Flux's default is
}

// OwnersFor reads which markers of an automation's namespace are written by stages of
// pipelines, in the branches that the automation reads or pushes to. Pipelines bundle
// policies of their own namespace, so that no others count. A suspended pipeline still
// owns its markers: what its stages have has to stay. A reader that sees some pipelines
// only, as that of a shard does, tells of no others.
func OwnersFor(ctx context.Context, reader client.Reader, a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository) (Owners, error) {
	var list sluicev1.PipelineList
	if err := reader.List(ctx, &list, client.InNamespace(a.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing pipelines: %w", err)
	}
	slices.SortFunc(list.Items, func(p, q sluicev1.Pipeline) int { return strings.Compare(p.Name, q.Name) })
	repositories := sources{reader: reader, known: map[types.NamespacedName]*sourcev1.GitRepository{client.ObjectKeyFromObject(repo): repo}}
	owners, branches := Owners{}, writtenBy(a, repo)
	for i := range list.Items {
		p := &list.Items[i]
		for j := range p.Spec.Stages {
			stage := &p.Spec.Stages[j]
			source, err := repositories.ofStage(ctx, p, stage)
			if err != nil {
				return nil, err
			}
			if source != nil && stage.Write.Tag == nil && git.SameRepository(source.Spec.URL, repo.Spec.URL) &&
				branches[branchRef(BranchOf(stage, source))] {
				owners.add(p, stage)
			}
		}
	}
	return owners, nil
}

// sources are the GitRepositories of pipelines; known are those that were read before.
type sources struct {
	reader client.Reader
	known  map[types.NamespacedName]*sourcev1.GitRepository
}

// ofStage is the GitRepository of a stage; nil if it has none, or one that does not exist.
func (s sources) ofStage(ctx context.Context, p *sluicev1.Pipeline, stage *sluicev1.Stage) (*sourcev1.GitRepository, error) {
	ref := p.Spec.SourceOf(stage)
	if ref == nil {
		return nil, nil
	}
	key := types.NamespacedName{Namespace: cmp.Or(ref.Namespace, p.Namespace), Name: ref.Name}
	if found, ok := s.known[key]; ok {
		return found, nil
	}
	found := &sourcev1.GitRepository{}
	if err := s.reader.Get(ctx, key, found); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading GitRepository %s of Pipeline %s/%s: %w", key, p.Namespace, p.Name, err)
	} else if err != nil {
		found = nil
	}
	s.known[key] = found
	return found, nil
}

// writtenBy are the branches, by their full names, that get what an automation writes: the
// one that it reads, for its commits are meant for that, and those that it pushes to.
func writtenBy(a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository) map[string]bool {
	var reads git.Reference
	if repo.Spec.Reference != nil {
		reads = git.Reference(*repo.Spec.Reference)
	}
	branches := map[string]bool{}
	spec := a.Spec.GitSpec
	if spec != nil && spec.Checkout != nil {
		reads = git.Reference(spec.Checkout.Reference)
	}
	if name := cmp.Or(reads.BranchName(), reads.Branch); name != "" {
		branches[branchRef(name)] = true
	}
	if spec == nil || spec.Push == nil {
		return branches
	}
	if spec.Push.Branch != "" {
		branches[branchRef(spec.Push.Branch)] = true
	}
	if refspec, err := ParseRefspec(spec.Push.Refspec); err == nil {
		branches[refspec.Target] = true
	}
	return branches
}
