// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"slices"
)

// driver is one repository at a forge. Its parts speak the protocol of that forge; its
// methods, in lifecycle.go, are what has to be done in several requests and is the same
// at every forge. All drivers have three types: <name>API is the connection, <name>Pulls
// are pull requests, <name>Commits is what is known about commits and branches.
type driver struct {
	identity func(context.Context) (User, error)
	pulls    pullRequests
	commits  commits
	// The rest is nil at forges that cannot do it; [Capabilities] say the same.
	reopening reopening
	autoMerge autoMerge
	queue     mergeQueue
	// comments and workflows are what Providers of Flux write to.
	comments  comments
	workflows workflows
}

// pullRequests are the pull requests of a repository.
type pullRequests interface {
	// candidates lists pull requests, among them all of the branch into base that matter:
	// the open one, and the newest.
	candidates(ctx context.Context, base, branch string) ([]PullRequest, error)
	// recent is as Forge.Recent; the caller clears what not every list says.
	recent(ctx context.Context) ([]PullRequest, error)
	get(ctx context.Context, number int64) (*snapshot, error)
	open(ctx context.Context, p NewPullRequest) (*PullRequest, error)
	// update writes a text that differs from that of now.
	update(ctx context.Context, now *snapshot, text Text) error
	comment(ctx context.Context, number int64, body string) error
	close(ctx context.Context, number int64) error
	// merge asks for a merge. A refusal that does not say why is returned as it is: the
	// caller reads the pull request again, which says what blocks it.
	merge(ctx context.Context, number int64, m Merge) error
}

// commits are the checks of commits, and what branches demand of them.
type commits interface {
	// statuses returns the latest status of each context, and whether these are all.
	statuses(ctx context.Context, sha string) (found []Status, complete bool, err error)
	setStatus(ctx context.Context, sha string, s Status) error
	rules(ctx context.Context, branch string) (Rules, error)
}

type reopening interface {
	reopen(ctx context.Context, number int64) error
}

// autoMerge is called with an open pull request whose head is the one that was judged.
type autoMerge interface {
	enableAutoMerge(ctx context.Context, now *snapshot, m Merge) error
	disableAutoMerge(ctx context.Context, now *snapshot) error
}

type mergeQueue interface {
	// enqueue is called with an open pull request that is not queued.
	enqueue(ctx context.Context, now *snapshot) error
}

// comments are those of pull requests, of which one is kept up to date.
type comments interface {
	// listComments returns a page, from 1, oldest first, and whether there are more: one that is
	// kept up to date is written when the pull request is young, for the most part.
	listComments(ctx context.Context, number int64, page int) (found []comment, more bool, err error)
	editComment(ctx context.Context, number, id int64, body string) error
}

// comment is one comment, and the login of who wrote it.
type comment struct {
	id           int64
	author, body string
}

// workflows are started from outside.
type workflows interface {
	dispatch(ctx context.Context, kind string, payload any) error
}

// snapshot is a pull request as it was read, and what a forge wants to have back in the
// request that changes it.
type snapshot struct {
	PullRequest
	// nodeID names it in GraphQL, at GitHub.
	nodeID string
	// version is counted by Bitbucket Data Center, which refuses a change of another one.
	version int64
	// reviewers are removed by an update at both Bitbuckets unless it names them again: by
	// UUID at Bitbucket Cloud, by name at Data Center.
	reviewers []string
}

// expect returns an error unless the pull request is open and its head is the given one.
func (s *snapshot) expect(headSHA string) error {
	switch {
	case s.State != Open:
		return notMergeable(&s.PullRequest, "")
	case s.HeadSHA != headSHA:
		return ErrHeadMoved
	}
	return nil
}

// readAll translates a list as a forge sends it.
func readAll[T any](list []T, read func(T) *snapshot) []PullRequest {
	found := make([]PullRequest, len(list))
	for i := range list {
		found[i] = read(list[i]).PullRequest
	}
	return found
}

// maxStatuses is how many statuses of a commit are asked for; GitHub, GitLab, Azure DevOps
// and Bitbucket give no more in one answer.
const maxStatuses = 100

// pageSize is how many pull requests are asked for.
const pageSize = 50

// combine is the state of a commit with these checks.
func combine(statuses []Status) CheckState {
	state := CheckNone
	for _, s := range statuses {
		switch {
		case s.State == CheckFailure:
			return CheckFailure
		case s.State == CheckPending:
			state = CheckPending
		case state == CheckNone:
			state = CheckSuccess
		}
	}
	return state
}

// checkState reads the word of a forge for the state of a check. One that is not in the
// table is a failure: error, cancelled, and what may be added.
func checkState[W comparable](table map[W]CheckState, word W) CheckState {
	if state, ok := table[word]; ok {
		return state
	}
	return CheckFailure
}

// allowed lists the methods that are, in the order in which they are preferred.
func allowed(are map[Method]bool) []Method {
	var methods []Method
	for _, m := range []Method{MergeCommit, Squash, Rebase, FastForward} {
		if are[m] {
			methods = append(methods, m)
		}
	}
	return methods
}

// require adds a check that has to succeed, once.
func (r *Rules) require(check string) {
	if !slices.Contains(r.RequiredChecks, check) {
		r.RequiredChecks = append(r.RequiredChecks, check)
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
