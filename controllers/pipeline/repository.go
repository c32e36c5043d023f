// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/writeback"
)

// repository is what stages are written to. The one of the pipeline has the state branch,
// too.
type repository struct {
	object *sourcev1.GitRepository
	remote git.Remote
	mirror *git.Mirror
	signer git.Signer
	author git.Signature
	// forge is nil until it is needed, and recent what it said changed last.
	forge  forge.Forge
	recent []forge.PullRequest
}

func (r *repository) key() types.NamespacedName { return client.ObjectKeyFromObject(r.object) }

// revision is the commit of the branch that the GitRepository follows; zero if it is not
// known.
func (r *repository) revision() (label string, commit plumbing.Hash) {
	if r.object.Status.Artifact == nil {
		return "", plumbing.ZeroHash
	}
	label = r.object.Status.Artifact.Revision
	_, hash, _ := strings.Cut(label, "@sha1:")
	return label, plumbing.NewHash(hash)
}

// at is a branch of the repository.
func (r *repository) at(branch string) branchKey { return branchKey{r.key(), branch} }

// branchKey is a branch of a repository, which has the key of its GitRepository.
type branchKey struct {
	repository types.NamespacedName
	branch     string
}

// sourceKey names the GitRepository of a pipeline; it is false if the pipeline has none.
func sourceKey(p *sluicev1.Pipeline) (types.NamespacedName, bool) {
	if p.Spec.SourceRef == nil {
		return types.NamespacedName{}, false
	}
	return access.KeyOf(p.Namespace, *p.Spec.SourceRef), true
}

// sourceKeyOf names the GitRepository of a stage: its own, or the pipeline's.
func sourceKeyOf(p *sluicev1.Pipeline, stage *sluicev1.Stage) types.NamespacedName {
	if ref := p.Spec.SourceOf(stage); ref != nil {
		return access.KeyOf(p.Namespace, *ref)
	}
	return types.NamespacedName{}
}

// openRepository reads a GitRepository, its credentials and the key that signs.
func (r *Reconciler) openRepository(ctx context.Context, p *sluicev1.Pipeline, key types.NamespacedName) (*repository, error) {
	repo := &repository{author: git.Signature{Name: "Sluice", Email: "sluice@users.noreply.sluice.dev"}}
	var err error
	if repo.object, err = r.Access.Repository(ctx, p.Namespace, key, p.Spec.Interval.Duration); err != nil {
		return nil, err
	}
	if repo.remote, err = r.Access.Remote(ctx, repo.object); err != nil {
		return nil, err
	}
	if c := p.Spec.Commit; c != nil {
		if c.Author.Email != "" {
			repo.author = git.Signature{Name: c.Author.Name, Email: c.Author.Email}
		}
		if repo.signer, err = r.Access.Signer(ctx, p.Namespace, "spec.commit.signingKey", c.SigningKey); err != nil {
			return nil, err
		}
	}
	repo.mirror, err = r.Mirrors.Get(ctx, repo.remote)
	return repo, err
}

// openRepositories opens those of the stages. One that cannot be opened is a fault of the
// stages that are written to it alone.
func (r *run) openRepositories(ctx context.Context) error {
	opened := map[types.NamespacedName]*repository{}
	if r.stateRepo != nil {
		opened[r.stateRepo.key()] = r.stateRepo
	}
	failed := map[types.NamespacedName]error{}
	r.repos = map[string]*repository{}
	for i := range r.pipeline.Spec.Stages {
		stage := &r.pipeline.Spec.Stages[i]
		if stage.Write.Tag != nil {
			continue
		}
		key := sourceKeyOf(r.pipeline, stage)
		if opened[key] == nil && failed[key] == nil {
			repo, err := r.openRepository(ctx, r.pipeline, key)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if failed[key] = err; err == nil {
				opened[key] = repo
			}
		}
		if err := failed[key]; err != nil {
			r.fail(stage.Name, fmt.Errorf("spec.stages[%s].write.sourceRef: %w", stage.Name, err))
			continue
		}
		r.repos[stage.Name] = opened[key]
	}
	return nil
}

// branchOf is the branch that a stage is written to.
func branchOf(repo *repository, stage *sluicev1.Stage) string {
	return writeback.BranchOf(stage, repo.object)
}

// filesOf are the repository of a stage and the files at the head of its branch; nil if
// they cannot be read, which is a fault of the stage.
func (r *run) filesOf(ctx context.Context, stage *sluicev1.Stage) (*repository, *git.CommitTree) {
	repo := r.repos[stage.Name]
	if repo == nil {
		return nil, nil
	}
	head, err := r.head(ctx, repo, branchOf(repo, stage))
	if err == nil {
		var files *git.CommitTree
		if files, err = repo.mirror.Tree(head); err == nil {
			return repo, files
		}
	}
	r.fail(stage.Name, fmt.Errorf("stage %s: branch %s of GitRepository %s: %w", stage.Name, branchOf(repo, stage), repo.key(), err))
	return repo, nil
}

// head is the newest commit of a branch that is known. The GitRepository tells of its
// own branch, and we of what we pushed after that. A GitRepository that moved to another
// commit than ours since our push may be ahead of it or, if it fetched just before, behind:
// then the remote is asked.
func (r *run) head(ctx context.Context, repo *repository, branch string) (plumbing.Hash, error) {
	ref := plumbing.NewBranchReferenceName(branch).String()
	label, commit := repo.revision()
	pushed, wePushed := r.memory.heads[repo.at(branch)]
	if wePushed && pushed.revision == label {
		return pushed.commit, nil
	}
	delete(r.memory.heads, repo.at(branch))
	if follows := strings.HasPrefix(label, branch+"@"); !follows || commit.IsZero() || wePushed && commit != pushed.commit {
		var err error
		if commit, err = repo.mirror.Resolve(ctx, ref); err != nil {
			return commit, err
		}
	}
	if wePushed {
		r.memory.heads[repo.at(branch)] = pushedHead{commit: commit, revision: label}
	}
	return commit, repo.mirror.Fetch(ctx, ref, commit)
}
