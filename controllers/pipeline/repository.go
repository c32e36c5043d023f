// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
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

// branch is a branch of the repository.
func (r *repository) branch(branch string) branchKey { return branchKey{r.key(), branch} }

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
	if repo.remote, err = r.remotes.get(ctx, remoteKeyOf(repo.object), freshIfFailing(p, r.Clock.Now()), r.Clock.Now(),
		func(ctx context.Context) (git.Remote, error) { return r.Access.Remote(ctx, repo.object) }); err != nil {
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
	if repo.mirror, err = r.Mirrors.Get(ctx, repo.remote); err == nil {
		r.opened.set(key, repo.mirror)
	}
	return repo, err
}

// refsOf lists the refs of the repository of a pipeline, once for all that are woken together.
func (r *Reconciler) refsOf(p *sluicev1.Pipeline, repo *repository, now time.Time) func(context.Context) (map[string]plumbing.Hash, error) {
	return func(ctx context.Context) (map[string]plumbing.Hash, error) {
		return r.refs.get(ctx, remoteKeyOf(repo.object), lastRequestAt(p, now), now, repo.mirror.Refs)
	}
}

// remotes are the credentials of GitRepositories. All pipelines on one are woken by each of
// its commits, and share one read of its Secret.
type remotes = sharedRequests[remoteKey, git.Remote]

// remoteKey is a GitRepository as it was read.
type remoteKey struct {
	repository types.NamespacedName
	version    string // of the resource
}

func remoteKeyOf(repo *sourcev1.GitRepository) remoteKey {
	return remoteKey{repository: client.ObjectKeyFromObject(repo), version: repo.ResourceVersion}
}

// freshIfFailing is the time since when credentials must have been read: now, if something
// is wrong with a pipeline, which a new Secret may have mended.
func freshIfFailing(p *sluicev1.Pipeline, now time.Time) time.Time {
	if apimeta.IsStatusConditionTrue(p.Status.Conditions, meta.ReadyCondition) {
		return time.Time{}
	}
	return now
}

// repositories are those that the stages of a pipeline are written to, by stage. A stage
// whose repository cannot be opened, or that is not in Git, has none.
type repositories map[string]*repository

// openRepositories opens those of the stages; state is the one of the pipeline, which is
// open already, or nil. One that cannot be opened is a fault of the stages that are written
// to it alone.
func openRepositories(
	ctx context.Context, p *sluicev1.Pipeline, state *repository, found stageErrors, open func(types.NamespacedName) (*repository, error),
) (repositories, error) {
	opened := map[types.NamespacedName]*repository{}
	if state != nil {
		opened[state.key()] = state
	}
	failed := map[types.NamespacedName]error{}
	repos := repositories{}
	for i := range p.Spec.Stages {
		stage := &p.Spec.Stages[i]
		if stage.Write.Tag != nil {
			continue
		}
		key := sourceKeyOf(p, stage)
		if opened[key] == nil && failed[key] == nil {
			repo, err := open(key)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if failed[key] = err; err == nil {
				opened[key] = repo
			}
		}
		if err := failed[key]; err != nil {
			found[stage.Name] = access.WithField(fmt.Sprintf("spec.stages[%s].write.sourceRef", stage.Name), err)
			continue
		}
		repos[stage.Name] = opened[key]
	}
	return repos, nil
}

// branchOf is the branch that a stage is written to.
func branchOf(repo *repository, stage *sluicev1.Stage) string {
	return writeback.BranchOf(stage, repo.object)
}

// files are those at the head of the branch of a stage.
func (r repositories) files(ctx context.Context, stage *sluicev1.Stage, known *pushedHeads) (*git.CommitTree, error) {
	repo := r[stage.Name]
	branch := branchOf(repo, stage)
	head, err := known.newest(ctx, repo, branch)
	if err == nil {
		var files *git.CommitTree
		if files, err = repo.mirror.Tree(head); err == nil {
			return files, nil
		}
	}
	if errors.Is(err, git.ErrRefNotFound) {
		return nil, fmt.Errorf("spec.stages[%s].write.branch: GitRepository %s has no branch %s: create it, or correct the name: %w",
			stage.Name, repo.key(), branch, err)
	}
	return nil, fmt.Errorf("stage %s: branch %s of GitRepository %s: %w", stage.Name, branch, repo.key(), err)
}

// trees are the ids of what is at the paths of a stage; empty if they cannot be read.
func (r repositories) trees(ctx context.Context, stage *sluicev1.Stage, known *pushedHeads) string {
	files, err := r.files(ctx, stage, known)
	if err != nil {
		return "" // the observation says so
	}
	var ids []string
	for _, t := range targetsOf(stage) {
		id, _ := files.Hash(t.path) // likewise
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

// filesOf are those of a commit of the repository of a stage; nil if they cannot be read.
func (r repositories) filesOf(ctx context.Context, stage, revision string) *git.CommitTree {
	commit, ok := commitOf(revision)
	repo := r[stage]
	if !ok || repo.mirror.Fetch(ctx, commit.String(), commit) != nil {
		return nil
	}
	files, err := repo.mirror.Tree(commit)
	if err != nil {
		return nil
	}
	return files
}
