// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/report"
)

// Commits knows what commits changed, of repositories that this process has a copy of.
type Commits interface {
	// Changes compares a commit of a GitRepository with the one before it. An error that wraps [background.ErrPending] or
	// [background.ErrBusy] says that they are on their way, and [ErrNotFetched] why they are not; if it wraps [git.ErrUnreachable],
	// too, they may be later.
	Changes(context.Context, *sourcev1.GitRepository, plumbing.Hash, git.ChangeLimits) (*git.Changes, error)
}

// ErrNotFetched means that a commit is not here, and that fetching it failed or is not done.
var ErrNotFetched = errors.New("the commit could not be fetched")

// changeLimits bound what is read of a commit for one request.
var changeLimits = git.ChangeLimits{Paths: 200, Files: 50, File: 128 << 10, Total: 1 << 20}

// maxCommits are compared at one time for all.
const maxCommits = 2

// unknownCommitError is about a commit that an object's status does not name.
type unknownCommitError struct{ kind, commit string }

func (e *unknownCommitError) Error() string {
	return fmt.Sprintf("commit %q is none that the status of the %s names: it may be replaced by a newer one", e.commit, e.kind)
}

// Why the files of a commit are not shown.
const (
	elsewhere = "What it changed is shown where the controller itself serves the page (--ui-addr): it has a copy of the repository, " +
		"and this process has none."
	onItsWay = "The commit is being fetched: what it changed stands here as soon as it has come."
)

// commitsSubresource is the right to read what commits of a GitRepository changed, which is more than the right to read the object,
// as pods/log is more than pods. The API server serves no such resource; it only decides about it.
const commitsSubresource = "commits"

func (v *view) mayReadCommits(ctx context.Context, repository client.ObjectKey) (bool, error) {
	return v.may(ctx, authorizationv1.ResourceAttributes{
		Namespace: repository.Namespace, Name: repository.Name, Verb: "get", Group: sourcev1.GroupVersion.Group,
		Version: sourcev1.GroupVersion.Version, Resource: "gitrepositories", Subresource: commitsSubresource,
	})
}

// commit tells what a commit changed that the status of an object names, to who may read the object and the GitRepository and what
// its commits changed. No other commit is looked at, whatever its hash.
func (s *Server) commit(ctx context.Context, v *view, key client.ObjectKey, r *http.Request) (any, error) {
	kind, commit := r.PathValue("kind"), r.PathValue("commit")
	repository, err := v.repositoryOf(ctx, kind, key, commit)
	if err != nil {
		return nil, err
	}
	var of sourcev1.GitRepository
	if err := v.client.Get(ctx, repository, &of); err != nil {
		return nil, err
	}
	found := CommitDetail{
		Commit: report.OfCommit("", "", nil), URL: git.CommitURL(of.Spec.URL, of.Spec.Provider, commit), Command: "git show " + commit,
		Repository: report.ObjectReference{Kind: sourcev1.GitRepositoryKind, Namespace: of.Namespace, Name: of.Name},
	}
	found.Commit.Commit = commit
	if s.Commits == nil {
		found.Problem = elsewhere
		return found, nil
	}
	if allowed, err := v.mayReadCommits(ctx, repository); err != nil {
		return nil, err
	} else if !allowed {
		found.Problem = fmt.Sprintf("You may not see what it changed: that needs the verb get on gitrepositories/%s of %s, "+
			"for %s in namespace %s.", commitsSubresource, sourcev1.GroupVersion.Group, of.Name, of.Namespace)
		return found, nil
	}
	changes, err := s.Commits.Changes(ctx, &of, plumbing.NewHash(commit), changeLimits)
	switch {
	case errors.Is(err, background.ErrPending), errors.Is(err, background.ErrBusy):
		found.Problem, found.Pending = onItsWay, true
	case errors.Is(err, ErrNotFetched):
		found.Problem, found.Pending = "What it changed is not known here: "+err.Error(), errors.Is(err, git.ErrUnreachable)
	case err != nil:
		return nil, err
	default:
		found.Commit = commitOf(changes)
	}
	return found, nil
}

// repositoryOf names the GitRepository of a commit that the status of an object names, which the user may read.
func (v *view) repositoryOf(ctx context.Context, kind string, key client.ObjectKey, commit string) (client.ObjectKey, error) {
	unknown := &unknownCommitError{kind, commit}
	switch kind {
	case imagev1.ImageUpdateAutomationKind:
		var a imagev1.ImageUpdateAutomation
		if err := v.client.Get(ctx, key, &a); err != nil {
			return client.ObjectKey{}, err
		}
		proposed := a.Status.PullRequest != nil && a.Status.PullRequest.Head == commit
		if commit != a.Status.LastPushCommit && !proposed {
			return client.ObjectKey{}, unknown
		}
		return access.KeyOf(a.Namespace, a.Spec.SourceRef), nil
	case sluicev1.PipelineKind:
		var p sluicev1.Pipeline
		if err := v.client.Get(ctx, key, &p); err != nil {
			return client.ObjectKey{}, err
		}
		for i := range p.Spec.Stages {
			stage := &p.Spec.Stages[i]
			if ref := p.Spec.SourceOf(stage); ref != nil && hasCommit(&p, stage.Name, commit) {
				return access.KeyOf(p.Namespace, *ref), nil
			}
		}
		return client.ObjectKey{}, unknown
	}
	return client.ObjectKey{}, &unknownKindError{kind}
}

// hasCommit reports whether a stage got a bundle in a commit, as far as the status tells.
func hasCommit(p *sluicev1.Pipeline, stage, commit string) bool {
	at := slices.IndexFunc(p.Status.Stages, func(s sluicev1.StageStatus) bool { return s.Name == stage })
	if at < 0 || commit == "" {
		return false
	}
	status := &p.Status.Stages[at]
	return status.Commit == commit || slices.ContainsFunc(status.Landings, func(l sluicev1.Landing) bool { return l.Commit == commit })
}

func commitOf(changes *git.Changes) report.Commit {
	files := make([]report.FileVersions, 0, len(changes.Files))
	for _, f := range changes.Files {
		files = append(files, report.FileVersions{
			Path: f.Path, Existed: f.Existed, Exists: f.Exists, Old: string(f.Old), New: string(f.New), Omitted: f.Omitted,
		})
	}
	by := &changes.Info.Author
	found := report.OfCommit(cmp.Or(by.Name, by.Email), changes.Info.Message, files)
	found.Commit, found.At, found.More = changes.Commit.String(), &by.When, changes.More
	if !changes.Parent.IsZero() {
		found.Parent = changes.Parent.String()
	}
	return found
}
