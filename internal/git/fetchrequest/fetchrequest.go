// SPDX-License-Identifier: Apache-2.0

// Package fetchrequest has the GitRepositories that follow a branch fetch what was pushed to it, so
// that a release waits for no interval.
//
//	push by an automation or a Pipeline --> GitRepositories of the same URL and branch, in the namespaces involved
//	                                        |-- served by this process: woken
//	                                        '-- served by source-controller: annotation reconcile.fluxcd.io/requestedAt
//
// A GitRepository that has the commit already, or was asked since the push, is left alone. Nothing depends on a request:
// one that is lost is made up for by the interval of the GitRepository.
package fetchrequest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Waker has a GitRepository that this process serves reconciled now.
type Waker interface {
	Wake(object types.NamespacedName)
}

// Requester has GitRepositories fetch, in this process or by an annotation, whoever serves them.
type Requester struct {
	// Client should cache GitRepositories.
	Client client.Client
	// Served says that this process serves them: Waker wakes them. Others are asked for a
	// reconcile through the API, by the annotation reconcile.fluxcd.io/requestedAt.
	Served bool
	Waker  Waker
	Clock  clock.PassiveClock
}

// PushedCommit is a commit that branches of a repository got.
type PushedCommit struct {
	URL      string
	Branches []string
	Commit   string
	// Namespaces are where GitRepositories may be asked.
	Namespaces []string
	// Since is the time from which on a reconcile request is one for the commit; with the zero
	// time none is, as right after the push.
	Since time.Time
	// Present is a time at which the branches had the commit: what fetched later has it, or one
	// on top of it. The zero time is unknown.
	Present time.Time
}

// PushedTo is the push of a commit to a branch that an object of a namespace writes to by a
// GitRepository. Those beside that, and beside the object, may follow the branch, too, such as
// one that reads with credentials of its own.
func PushedTo(repo *sourcev1.GitRepository, namespace, commit string, branches ...string) PushedCommit {
	return PushedCommit{
		URL: repo.Spec.URL, Branches: branches, Commit: commit, Namespaces: slices.Compact([]string{repo.Namespace, namespace}),
	}
}

// Fetch has the GitRepositories fetch the push that follow it, do not have it and were not asked
// since. Its errors are about one each, and keep no other from being asked.
func (s Requester) Fetch(ctx context.Context, p PushedCommit) []error {
	var failed []error
	for _, namespace := range p.Namespaces {
		var list sourcev1.GitRepositoryList
		if err := s.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			failed = append(failed, fmt.Errorf("listing the GitRepositories of namespace %s: %w", namespace, err))
			continue
		}
		for i := range list.Items {
			repo := &list.Items[i]
			if !p.IsFollowedBy(repo) || p.IsIn(repo) {
				continue
			}
			if err := s.fetch(ctx, repo, p.Since); err != nil {
				failed = append(failed, err)
			}
		}
	}
	return failed
}

func (s Requester) fetch(ctx context.Context, repo *sourcev1.GitRepository, since time.Time) error {
	if s.Served {
		s.Waker.Wake(client.ObjectKeyFromObject(repo))
		return nil
	}
	if !since.IsZero() && !reconciler.RequestedAt(repo).Before(since) {
		return nil
	}
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: repo.Namespace, Name: repo.Name}}
	object.SetGroupVersionKind(sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind))
	return reconciler.Request(ctx, s.Client, object, s.Clock.Now())
}

// IsFollowedBy reports whether a GitRepository fetches a branch of the push by itself.
func (p PushedCommit) IsFollowedBy(repo *sourcev1.GitRepository) bool {
	reference := git.Reference{}
	if repo.Spec.Reference != nil {
		reference = git.Reference(*repo.Spec.Reference)
	}
	branch := reference.BranchName()
	return branch != "" && slices.Contains(p.Branches, branch) && !repo.Spec.Suspend && git.SameRepository(repo.Spec.URL, p.URL)
}

// IsIn reports whether a GitRepository that follows the push has it, as far as its status tells.
func (p PushedCommit) IsIn(repo *sourcev1.GitRepository) bool {
	a := repo.Status.Artifact
	switch {
	case a == nil:
		return false
	case p.Commit != "" && strings.HasSuffix(a.Revision, p.Commit):
		return true
	}
	return !p.Present.IsZero() && p.Present.Before(a.LastUpdateTime.Time)
}
