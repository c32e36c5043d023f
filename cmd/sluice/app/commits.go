// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/ui"
)

// Bounds of what is fetched for people at the page.
const (
	// fetchPatience is how long somebody waits for a fetch; the page asks again.
	fetchPatience = 300 * time.Millisecond
	// fetchesPerHost run at one time, of which one is for a namespace, and maxFetches run and wait.
	fetchesPerHost, fetchesPerNamespace, maxFetches = 2, 1, 16
	// failedAge is how long what could not be fetched is not tried again; maxFailed failures are remembered.
	failedAge, maxFailed = time.Minute, 1000
	// sweepEvery is how often what nobody looks at any more is looked for.
	sweepEvery = time.Hour
)

// commits knows the commits of repositories that the controllers have a mirror of, and fetches those that a status names and that mirror
// lacks: after a restart, where another replica leads, and of stages that got what they have long ago. These are in mirrors of
// their own, so that whoever looks at old commits does not take the place of what is reconciled.
type commits struct {
	reconciled, fetched *git.Mirrors
	secrets             client.Reader
	credentials         credential.Options
	clock               clock.WithTicker

	fetches background.Runner[commitKey, struct{}]
	failed  *lru.Cache[commitKey, failedFetch]
}

// commitKey is a commit of a GitRepository as its spec is.
type commitKey struct {
	repository types.NamespacedName
	generation int64
	commit     plumbing.Hash
}

// failedFetch is why a commit could not be fetched, and when.
type failedFetch struct {
	err      error
	failedAt time.Time
}

// newCommits are the commits that reconciled mirrors have, and those that are fetched into others.
func newCommits(
	reconciled, fetched *git.Mirrors, secrets client.Reader, credentials credential.Options, clk clock.WithTicker,
) *commits {
	c := &commits{
		reconciled: reconciled, fetched: fetched, secrets: secrets, credentials: credentials, clock: clk,
		failed: lru.NewCounted[commitKey, failedFetch](maxFailed),
	}
	c.fetches.Patience, c.fetches.Limit = fetchPatience, maxFetches
	c.fetches.PerHost, c.fetches.PerNamespace = fetchesPerHost, fetchesPerNamespace
	c.fetches.Wake = c.fetches.Forget // what came is in the mirror, and what failed in failed
	return c
}

// run removes what nobody looks at any more, until the process ends. What cannot be removed is logged, and tried again: the page
// goes on without it.
func (c *commits) run(ctx context.Context) error {
	ticker := c.clock.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			if err := c.fetched.Sweep(); err != nil {
				log.FromContext(ctx).Error(err, "removing commits that nobody looks at")
			}
		}
	}
}

// Changes implements [ui.Commits].
func (c *commits) Changes(
	ctx context.Context, repository *sourcev1.GitRepository, commit plumbing.Hash, limits git.ChangeLimits,
) (*git.Changes, error) {
	found, err := c.known(repository, commit, limits)
	if !errors.Is(err, git.ErrMissing) {
		return found, err
	}
	if repository.Spec.Suspend {
		return nil, fmt.Errorf("%w: GitRepository %s is suspended", ui.ErrNotFetched, client.ObjectKeyFromObject(repository))
	}
	if err := c.fetch(ctx, repository, commit); err != nil {
		return nil, err
	}
	return c.known(repository, commit, limits)
}

// known compares a commit that a mirror has.
func (c *commits) known(repository *sourcev1.GitRepository, commit plumbing.Hash, limits git.ChangeLimits) (*git.Changes, error) {
	for _, mirrors := range []*git.Mirrors{c.reconciled, c.fetched} {
		mirror, ok := mirrors.OwnedBy(credential.Owner(repository))
		if !ok {
			continue
		}
		if changes, err := mirror.Changes(commit, limits); !errors.Is(err, git.ErrMissing) {
			return changes, err
		}
	}
	return nil, fmt.Errorf("%w: commit %s of GitRepository %s", git.ErrMissing, commit, client.ObjectKeyFromObject(repository))
}

// fetch fetches a commit of a GitRepository, and the one before it. The error is [background.ErrPending] if that takes
// longer than somebody should wait.
func (c *commits) fetch(ctx context.Context, repository *sourcev1.GitRepository, commit plumbing.Hash) error {
	key := commitKey{client.ObjectKeyFromObject(repository), repository.Generation, commit}
	if before, ok := c.failed.Get(key); ok && c.clock.Since(before.failedAt) < failedAge {
		return before.err
	}
	_, err := c.fetches.Run(context.WithoutCancel(ctx), background.Request[commitKey]{
		Key: key, Namespace: repository.Namespace, Host: credential.Route(repository), Now: c.clock.Now(),
	}, func(ctx context.Context) (struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, source.Timeout(repository.Spec.Timeout))
		defer cancel()
		err := c.fetchNow(ctx, repository, commit)
		if err != nil {
			err = fmt.Errorf("%w: %w", ui.ErrNotFetched, err)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			c.failed.Put(key, failedFetch{err, c.clock.Now()})
		}
		return struct{}{}, err
	})
	return err
}

func (c *commits) fetchNow(ctx context.Context, repository *sourcev1.GitRepository, commit plumbing.Hash) error {
	remote, err := credential.Read(ctx, c.secrets, repository, c.credentials)
	if err != nil {
		return err
	}
	mirror, err := c.fetched.Get(ctx, remote)
	if err != nil {
		return err
	}
	if err := mirror.Fetch(ctx, commit.String(), commit); err != nil {
		return credential.Advise(repository, err)
	}
	tree, err := mirror.Tree(commit)
	if err != nil {
		return err
	}
	if parents := tree.Parents(); len(parents) > 0 {
		return mirror.Fetch(ctx, parents[0].String(), parents[0])
	}
	return nil
}
