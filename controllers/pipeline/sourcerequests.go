// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git/fetchrequest"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
)

// fetchSlack is for how long a fetch that began before a push may go on.
const fetchSlack = time.Minute

// fetchRequest asks the sources that follow a branch or a tag to fetch what that has, but those that have
// it, or were asked at this time or since; the zero time leaves out none of these. What was fetched
// after present counts as having it, which is not known at the zero time.
type fetchRequest func(ctx context.Context, since, present time.Time) error

// sourceRequests are what was pushed by a pipeline while sources that follow it may not have been
// asked to fetch it, by branch or tag. They are asked at each run until that went through, or they
// have it. What a restart loses is made out from the state again: see restoreSourceRequests.
type sourceRequests struct {
	all map[string]*sourceRequest
	// restored are the stages that the state was looked through for.
	restored map[string]bool
}

type sourceRequest struct {
	fetch          fetchRequest
	since, present time.Time
	err            error // of the last time
	reported       bool
}

// requestFetch notes a push, and asks.
func (m *sourceRequests) requestFetch(ctx context.Context, what string, now time.Time, ask fetchRequest) {
	m.add(what, &sourceRequest{fetch: ask, since: now, present: now.Add(fetchSlack)})
	m.attempt(ctx, what, time.Time{}, time.Time{})
}

func (m *sourceRequests) add(what string, u *sourceRequest) {
	if m.all == nil {
		m.all = map[string]*sourceRequest{}
	}
	m.all[what] = u
}

func (m *sourceRequests) attempt(ctx context.Context, what string, since, present time.Time) {
	u := m.all[what]
	if u.err = u.fetch(ctx, since, present); u.err == nil {
		delete(m.all, what)
	}
}

// retry asks those that are left.
func (m *sourceRequests) retry(ctx context.Context) {
	for _, what := range slices.Sorted(maps.Keys(m.all)) {
		m.attempt(ctx, what, m.all[what].since, m.all[what].present)
	}
}

// events say once why sources could not be asked, which delays a release and loses nothing.
func (m *sourceRequests) events() []reconciler.Event {
	var events []reconciler.Event
	for _, what := range slices.Sorted(maps.Keys(m.all)) {
		if u := m.all[what]; u.err != nil && !u.reported {
			u.reported = true
			events = append(events, reconciler.Event{
				Type: corev1.EventTypeWarning, Reason: sluicev1.SourceRequestFailedReason,
				Message: fmt.Sprintf("%s: %v; it is asked again soon, and fetches at its interval in any case", what, u.err),
			})
		}
	}
	return events
}

// gitSources has GitRepositories fetch what was pushed to the branches that they follow.
type gitSources struct {
	reach     fetchrequest.Requester
	requests  *sourceRequests
	namespace string // of the pipeline
	clock     clock.PassiveClock
}

// requestBranch has a commit fetched that a branch has now.
func (s gitSources) requestBranch(ctx context.Context, repo *repository, branch, commit string) {
	s.requests.requestFetch(ctx, describeBranch(repo, branch), s.clock.Now(), s.fetchOf(s.pushOf(repo, branch, commit)))
}

func (s gitSources) pushOf(repo *repository, branch, commit string) fetchrequest.PushedCommit {
	return fetchrequest.PushedTo(repo.object, s.namespace, commit, branch)
}

func (s gitSources) fetchOf(p fetchrequest.PushedCommit) fetchRequest {
	return func(ctx context.Context, since, present time.Time) error {
		p.Since, p.Present = since, present
		return errors.Join(s.reach.Fetch(ctx, p)...)
	}
}

func describeBranch(repo *repository, branch string) string {
	return fmt.Sprintf("branch %s of GitRepository %s", branch, repo.key())
}

// restoreSourceRequests makes out of the state, at the first run of a process, what the one before pushed, and may
// have ended before it asked the sources for that, or before they fetched it. A GitRepository that
// did not fetch since a landing may be behind it: its branch is looked at, or what it lacks
// would seem to have been taken out.
func (r *run) restoreSourceRequests() {
	m := &r.cache.sourceRequests
	newest := map[branchKey]time.Time{}
	for i := range r.pipeline.Spec.Stages {
		stage := &r.pipeline.Spec.Stages[i]
		repo := r.repos[stage.Name]
		if m.restored[stage.Name] || stage.Write.Tag == nil && repo == nil {
			continue
		}
		if m.restored == nil {
			m.restored = map[string]bool{}
		}
		m.restored[stage.Name] = true
		if stage.Write.Tag != nil {
			r.restoreTagRequests(stage)
		} else {
			r.restoreBranchRequest(stage, repo, newest)
		}
	}
}

// restoreBranchRequest does this for the branch of a stage, unless this process pushed to that already, or a later
// landing there is restored.
func (r *run) restoreBranchRequest(stage *sluicev1.Stage, repo *repository, newest map[branchKey]time.Time) {
	landings, branch := r.cache.kept.state.Stages[stage.Name].Landings, branchOf(repo, stage)
	at := repo.branch(branch)
	if len(landings) == 0 || landings[0].Found || landings[0].Kind == sluicev1.LandingManual || landings[0].Commit == "" {
		return
	}
	last := landings[0]
	if _, known := r.cache.heads.known[at]; known && newest[at].IsZero() || last.At.Before(newest[at]) {
		return
	}
	push := r.sources.pushOf(repo, branch, last.Commit)
	push.Present = last.At
	if follows := push.IsFollowedBy(repo.object); follows && push.IsIn(repo.object) {
		return
	} else if follows && repo.object.Status.Artifact != nil {
		r.cache.heads.restore(repo, branch, last.Commit)
	}
	newest[at] = last.At
	r.cache.sourceRequests.add(describeBranch(repo, branch), &sourceRequest{fetch: r.sources.fetchOf(push), since: last.At, present: last.At})
}

// restoreTagRequests does this for the tags of a stage.
func (r *run) restoreTagRequests(stage *sluicev1.Stage) {
	state := r.cache.kept.state
	kept := state.Stages[stage.Name]
	var last promotion.Landing
	switch {
	case kept.Writing != nil: // it may have been moved
		last.Bundle, last.At = kept.Writing.Bundle, kept.Writing.At
	case len(kept.Landings) > 0 && !kept.Landings[0].Found:
		last = kept.Landings[0]
	default:
		return
	}
	b, _ := state.Bundle(last.Bundle)
	for _, t := range targetsOf(stage) {
		tag, err := tagName(t.tag)
		v, has := versionOf(b, artifactOf(r.pipeline, t.tag))
		if err == nil && has && v.Digest != "" {
			ask := r.tags.sources.fetchOf(r.pipeline, t, tag, v.Digest)
			r.cache.sourceRequests.add("tag "+tag.Name(), &sourceRequest{fetch: ask, since: last.At, present: last.At})
		}
	}
}
