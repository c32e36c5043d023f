// SPDX-License-Identifier: Apache-2.0

// Package pullrequest has the rules for a pull request that Sluice opened, which are the same for a
// stage of a Pipeline and for an ImageUpdateAutomation: what keeps it as it is, when its head is made
// anew, and when it is merged and by whom. What it proposes, and what becomes of that once it has
// ended, is for its owner to decide.
//
//	open   approved, queued, label sluice/keep -----> keeps what it proposes
//	       conflict; behind a base that takes only
//	       what is up to date ----------------------> its head is made anew
//	       checks passed, no draft -----------------> merged, or put into the merge queue of the base
//	       checks running, autoMerge: platform -----> the forge is asked to merge it by itself
//	       left the queue, draft, autoMerge: never -> a person has to act
//
// Only the head that was judged is merged: whoever performs a [Merge] names it, and the forge refuses
// any other.
package pullrequest

// PullRequest is a pull request as its forge shows it, and as far as a decision depends on it.
type PullRequest struct {
	Number int64
	URL    string
	Open   bool
	Merged bool
	Head   string // commit
	Base   string // branch
	Draft  bool
	// Behind means that it is not built on the head of its base, Conflicted that it cannot
	// be merged without being built anew.
	Behind, Conflicted bool
	// ClosedBy is who closed it, if it is closed and not merged; ClosedByUs that it was us, or a program
	// that closes what is old.
	ClosedBy   string
	ClosedByUs bool
	MergedBy   string
	// HeadOurs means that nothing is lost if its head is made anew: it says that its owner
	// made it. What is merged is only the head that was pushed.
	HeadOurs bool
	// Approved means that somebody approved this head; Queued that it is in a merge queue.
	Approved, Queued bool
	// AutoMerge means that the forge was asked to merge by itself.
	AutoMerge bool
	// Keep and Retry are the labels sluice/keep and sluice/retry.
	Keep, Retry bool
	// Checks is whether all that the base demands is there, and Lacks what is not.
	Checks Checks
	Lacks  string
	// MustBeUpToDate means that the base takes nothing that is behind it; MustQueue that
	// it takes pull requests through a merge queue alone.
	MustBeUpToDate, MustQueue bool
}

// Checks is whether a pull request has all that its base demands: checks, approvals, and what else
// the forge blocks a merge by.
type Checks int

const (
	// ChecksPending means that it has not, and may have without a new head.
	ChecksPending Checks = iota
	// ChecksPassed means that it has.
	ChecksPassed
	// ChecksFailed means that somebody has to mend it.
	ChecksFailed
)

// Frozen says why an open pull request keeps what it proposes although there is something newer; empty
// if nothing keeps it.
func (pr *PullRequest) Frozen() string {
	switch {
	case pr.Queued:
		return "it is in the merge queue"
	case pr.Approved:
		return "it is approved"
	case pr.Keep:
		return "it has the label sluice/keep"
	}
	return ""
}

// IsStale reports whether the base does not take the head, and would take one that is made anew.
func (pr *PullRequest) IsStale() bool {
	return pr.Conflicted || pr.Behind && pr.MustBeUpToDate
}
