// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// MergeCheck is what decides whether an open pull request has all that its base demands.
type MergeCheck struct {
	Rules  Rules
	Checks Checks
	// Own is the commit status that says what is decided with this, and does not count; ""
	// is none. Shown means that it is a success on the head.
	Own   string
	Shown bool
	// Can is what the forge can do.
	Can Capabilities
}

// Observe returns a pull request of a Pipeline or an automation in the form from which decisions are made. Who is the user
// of the credential; asked says that we enabled auto-merge, which some forges do not report.
func Observe(pr *PullRequest, who User, asked bool) *pullrequest.PullRequest {
	return &pullrequest.PullRequest{
		Number: pr.Number, URL: pr.URL, Open: pr.State == Open, Merged: pr.State == Merged,
		Head: pr.HeadSHA, Base: pr.Base, Draft: pr.Draft,
		Behind: slices.Contains(pr.Blocked, ByBehind), Conflicted: slices.Contains(pr.Blocked, ByConflict),
		ClosedBy: pr.ClosedBy, ClosedByUs: pr.ClosedAsStale || who.IsUs(pr.ClosedBy), MergedBy: pr.MergedBy,
		Approved: pr.Approvals > 0, Queued: pr.Queued, AutoMerge: pr.Auto == Yes || pr.Auto == Unknown && asked,
		Keep: slices.Contains(pr.Labels, KeepLabel), Retry: slices.Contains(pr.Labels, RetryLabel),
		MustQueue: pr.QueueOnly,
	}
}

// Judge adds what the base of an open pull request demands, and whether it is there.
func (j MergeCheck) Judge(pr *PullRequest, seen *pullrequest.PullRequest) {
	seen.MustBeUpToDate, seen.MustQueue = j.Rules.UpToDate, j.Rules.Queue || pr.QueueOnly
	seen.Checks, seen.Lacks = j.requirements(pr)
}

// requirements says whether a pull request has all that its base demands, and what it lacks.
func (j MergeCheck) requirements(pr *PullRequest) (pullrequest.Checks, string) {
	if checks, lacks := j.checks(); checks != pullrequest.ChecksPassed {
		return checks, lacks
	}
	if pr.Approvals < j.Rules.Approvals {
		return pullrequest.ChecksPending, fmt.Sprintf("%d of %d approvals", pr.Approvals, j.Rules.Approvals)
	}
	for _, why := range pr.Blocked {
		byUs := why == ByDraft || j.Own != "" && !j.Shown && (why == ByChecks || why == ByRules)
		if !byUs {
			return pullrequest.ChecksPending, "the forge says that it is blocked by " + string(why)
		}
	}
	if pr.Mergeable == Unknown && j.Can.Mergeability && !j.Rules.Protected {
		return pullrequest.ChecksPending, "the forge is finding out whether it can be merged"
	}
	return pullrequest.ChecksPassed, ""
}

// checks judges the checks of a head: those that the base requires or, if it names none,
// all that there are.
func (j MergeCheck) checks() (pullrequest.Checks, string) {
	byName := map[string]CheckState{}
	for _, s := range j.Checks.Statuses {
		byName[s.Context] = s.State
	}
	required := slices.Clone(j.Rules.RequiredChecks)
	if len(required) == 0 || j.Rules.AllChecks {
		for _, s := range j.Checks.Statuses {
			required = append(required, s.Context)
		}
	}
	waits := ""
	for _, name := range required {
		switch state, there := byName[name]; {
		case name == j.Own || strings.Contains(name, "*"): // a pattern is the forge's to judge
		case state == CheckFailure:
			return pullrequest.ChecksFailed, fmt.Sprintf("check %s failed", name)
		case !there:
			waits = fmt.Sprintf("check %s has not begun", name)
		case state != CheckSuccess && waits == "":
			waits = fmt.Sprintf("check %s is running", name)
		}
	}
	if j.Checks.Incomplete && waits == "" {
		waits = "not all of its checks can be read"
	}
	if waits != "" {
		return pullrequest.ChecksPending, waits
	}
	return pullrequest.ChecksPassed, ""
}

// MethodFor is the method of a wish or, without one, the first that a base allows.
func (r Rules) MethodFor(wish Method) Method {
	switch {
	case wish != "":
		return wish
	case len(r.Methods) > 0:
		return r.Methods[0]
	}
	return MergeCommit
}

// Labels by which people say what is to become of a pull request.
const (
	// KeepLabel keeps a pull request as it is although there is something newer.
	KeepLabel = "sluice/keep"
	// RetryLabel lets commits of others be discarded for as long as it is there.
	RetryLabel = "sluice/retry"
)
