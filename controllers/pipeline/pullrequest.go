// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// pulls is the pull request of a stage, and the forge that has it.
type pulls struct {
	pipeline   *sluicev1.Pipeline
	stage      *sluicev1.Stage
	repo       *repository
	forge      forge.Forge
	can        forge.Capabilities
	base, head string // branches
	seen       *pullRequestCache
	cache      *forgeCache
	// proposal is how the state has it.
	proposal *promotion.Proposal
	heads    *pushedHeads
	sources  gitSources
	// recent are the pull requests of the repository that changed last.
	recent func(context.Context) ([]forge.PullRequest, error)
	clock  clock.PassiveClock
	again  *requeue
}

// pulls opens what is known of the pull request of a stage.
func (r *run) pulls(ctx context.Context, stage string) (pulls, error) {
	spec, repo, m := r.pipeline.Spec.Stage(stage), r.repos[stage], r.cache
	p := pulls{
		pipeline: r.pipeline, stage: spec, repo: repo, base: branchOf(repo, spec), head: headBranch(r.pipeline, spec), cache: &m.forge,
		proposal: m.kept.state.Stages[stage].Proposal, heads: &m.heads, sources: r.sources, clock: r.controller.Clock, again: &r.again,
	}
	if repo.forge == nil {
		found, err := r.connection(repo).Open(ctx, r.controller.Forges, r.controller.Client)
		if err != nil {
			return p, err
		}
		repo.forge = found
	}
	p.forge, p.seen = repo.forge, m.forge.stages[stage]
	if p.seen == nil {
		p.seen = &pullRequestCache{}
		m.forge.stages[stage] = p.seen
	}
	p.recent = func(ctx context.Context) ([]forge.PullRequest, error) {
		now := r.controller.Clock.Now()
		return r.controller.recents.get(ctx, recentKeyOf(r.pipeline, repo), lastChangeAt(r.pipeline, r.repos, now), now, repo.forge.Recent)
	}
	provider, err := r.connection(repo).ProviderName()
	if err != nil {
		return p, err
	}
	p.can, err = forge.CapabilitiesOf(provider)
	return p, err
}

// pullRequest observes the pull request of a stage. What is wrong with the forge is a
// problem of the stage, whose pull request is then as it was seen last.
func (r *run) pullRequest(ctx context.Context, stage *sluicev1.Stage, seen *promotion.StageObservation) error {
	p, err := r.pulls(ctx, stage.Name)
	if err == nil && r.faults[stage.Name] == nil {
		err = p.refresh(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.faults[stage.Name] = err
	}
	seen.Problem = r.faults.problem(stage.Name)
	if p.seen == nil {
		return nil
	}
	seen.Pushed, seen.Base = p.seen.pushed, p.base
	if p.seen.pr != nil {
		seen.PullRequest = p.observed()
	}
	return nil
}

// refresh reads what may have changed since the last reconcile.
func (p pulls) refresh(ctx context.Context) error {
	m := p.seen
	if m.isFresh(p.clock.Now()) {
		p.again.requeueAt(m.again, p.clock.Now())
		return nil
	}
	found, err := p.read(ctx)
	if err != nil {
		return forge.Explain("spec.forge", err)
	}
	if found == nil || m.pr == nil || found.Number != m.pr.Number || found.HeadSHA != m.pr.HeadSHA {
		m.wait = 0
	}
	m.landing = p.isLanding(found)
	m.known, m.stale, m.again, m.refusedHead, m.pr = true, false, time.Time{}, "", found
	switch {
	case found == nil:
		return nil
	case found.State == forge.Open:
		return p.complete(ctx)
	case m.landing:
		return p.noteMerged(ctx)
	case found.State == forge.Closed && found.ClosedBy != "" && p.login() == "":
		return p.identify(ctx)
	}
	return nil
}

// isLanding reports whether a pull request was merged since it was seen last, which was by this process
// or, as the state says, by one before; or whether what it was merged into could not be looked at.
func (p pulls) isLanding(found *forge.PullRequest) bool {
	switch {
	case found == nil || found.State != forge.Merged:
		return false
	case p.seen.pr != nil:
		return p.seen.landing || p.seen.pr.State == forge.Open
	}
	return p.proposal != nil && (p.proposal.Number == found.Number || p.proposal.Number == 0 && found.Number > p.proposal.After)
}

// login is who we are at the forge; empty is not known.
func (p pulls) login() string { return p.cache.logins[p.repo.key()] }

// identify finds out who we are, to tell our own doings from those of people.
func (p pulls) identify(ctx context.Context) error {
	who, err := p.forge.CurrentUser(ctx)
	if err != nil {
		return forge.Explain("spec.forge", err)
	}
	if p.cache.logins == nil {
		p.cache.logins = map[types.NamespacedName]string{}
	}
	p.cache.logins[p.repo.key()] = who.Login
	return nil
}

// noteMerged has the branch be looked at that a pull request was merged into: the
// GitRepository may tell of it later. If that fails, it is tried again at the next run.
func (p pulls) noteMerged(ctx context.Context) error {
	p.seen.landing = true
	ref := plumbing.NewBranchReferenceName(p.base).String()
	commit, err := p.repo.mirror.Resolve(ctx, ref)
	if err == nil {
		err = p.repo.mirror.Fetch(ctx, ref, commit)
	}
	if err != nil {
		p.seen.stale = true
		return fmt.Errorf("branch %s: %w", p.base, err)
	}
	p.seen.landing = false
	p.heads.set(p.repo, p.base, commit)
	p.sources.requestBranch(ctx, p.repo, p.base, commit.String())
	return nil
}

// read finds the pull request. One that is open is asked for by its number; for others the
// list of what changed last says whether there is anything new.
func (p pulls) read(ctx context.Context) (*forge.PullRequest, error) {
	m := p.seen
	switch {
	case m.pr != nil && m.pr.State == forge.Open:
		found, err := p.forge.Get(ctx, m.pr.Number)
		if !errors.Is(err, forge.ErrNotFound) {
			return found, err
		}
	case m.known:
		if news, err := p.isNew(ctx); err != nil || !news {
			return m.pr, err
		}
	}
	if p.proposal != nil && !p.proposal.IsInto(p.base) { // an earlier one into this branch would hide it
		if found, err := p.intoOtherBranch(ctx); err != nil || found != nil {
			return found, err
		}
	}
	found, err := p.forge.Find(ctx, p.base, p.head)
	if errors.Is(err, forge.ErrNotFound) {
		return p.intoOtherBranch(ctx)
	}
	return found, err
}

// intoOtherBranch is the pull request of the state if it is open, into another branch than the one that the
// stage is written to; nil if there is none.
func (p pulls) intoOtherBranch(ctx context.Context) (*forge.PullRequest, error) {
	if p.proposal == nil || p.proposal.Number == 0 && p.proposal.IsInto(p.base) {
		return nil, nil
	}
	get := func() (*forge.PullRequest, error) { return p.forge.Get(ctx, p.proposal.Number) }
	if p.proposal.Number == 0 { // a process that was killed may have opened it
		get = func() (*forge.PullRequest, error) { return p.forge.Find(ctx, p.proposal.Base, p.head) }
	}
	found, err := get()
	if errors.Is(err, forge.ErrNotFound) || err == nil && found.State != forge.Open {
		return nil, nil
	}
	return found, err
}

// isNew reports whether the list of pull requests that changed last has one of the stage
// that is not known.
func (p pulls) isNew(ctx context.Context) (bool, error) {
	if p.repo.recent == nil {
		var err error
		if p.repo.recent, err = p.recent(ctx); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(p.repo.recent, func(pr forge.PullRequest) bool {
		return pr.Base == p.base && pr.Branch == p.head && (p.seen.pr == nil ||
			pr.Number > p.seen.pr.Number || pr.Number == p.seen.pr.Number && pr.State != p.seen.pr.State)
	}), nil
}

// complete reads what decides about an open pull request besides itself.
func (p pulls) complete(ctx context.Context) error {
	m := p.seen
	var err error
	if _, known := p.cache.rules[p.repo.branch(p.base)]; !known {
		rules, err := p.forge.Rules(ctx, p.base)
		if err != nil {
			return forge.Explain("spec.forge", err)
		}
		p.cache.rules[p.repo.branch(p.base)] = rules
	}
	if m.checks, err = p.forge.Checks(ctx, m.pr.HeadSHA); err != nil {
		return forge.Explain("spec.forge", err)
	}
	head := plumbing.NewHash(m.pr.HeadSHA)
	if err := p.repo.mirror.Fetch(ctx, plumbing.NewBranchReferenceName(p.head).String(), head); err != nil {
		return fmt.Errorf("branch %s: %w", p.head, err)
	}
	tip, err := p.repo.mirror.Tree(head)
	if err != nil {
		return err
	}
	m.claims = p.claims(tip)
	if p.observed().Checks == pullrequest.ChecksPending && m.refusedHead != m.pr.HeadSHA {
		m.soon(p.clock.Now(), awaitedChecks)
		p.again.requeueAt(m.again, p.clock.Now())
	}
	return nil
}

// observed is the pull request as a decision is made from it.
func (p pulls) observed() *pullrequest.PullRequest {
	m, pr := p.seen, p.seen.pr
	seen := forge.Observe(pr, forge.User{Login: p.login()}, p.proposal != nil && p.proposal.AutoMerge)
	seen.HeadOurs = m.claims || p.pushed(pr.HeadSHA)
	if seen.Open {
		forge.MergeCheck{
			Rules: p.cache.rules[p.repo.branch(p.base)], Checks: m.checks, Can: p.can,
			// Our own status does not count: it says what is decided with this.
			Own: statusName(p.pipeline, p.stage.Name), Shown: m.shown.Head == pr.HeadSHA && m.shown.Open,
		}.Judge(pr, seen)
		if m.refusedHead == pr.HeadSHA {
			seen.Checks, seen.Lacks = pullrequest.ChecksPending, "the forge does not merge it: "+m.refused
		}
	}
	return seen
}
