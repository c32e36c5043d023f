// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"fmt"
	"slices"
	"strings"
)

// Judgement is what decides whether an open pull request has all that its base demands.
type Judgement struct {
	Rules  Rules
	Checks Checks
	// Own is the commit status that says what is decided with this, and does not count; ""
	// is none. Shown means that it is a success on the head.
	Own   string
	Shown bool
	// Can is what the forge can do.
	Can Capabilities
}

// Of says whether a pull request may be merged (success), will be able to (pending), or
// not before somebody mends it (failure), and what it lacks.
func (j Judgement) Of(pr *PullRequest) (CheckState, string) {
	if state, why := j.checks(); state != CheckSuccess {
		return state, why
	}
	if pr.Approvals < j.Rules.Approvals {
		return CheckPending, fmt.Sprintf("%d of %d approvals", pr.Approvals, j.Rules.Approvals)
	}
	for _, why := range pr.Blocked {
		byUs := why == ByDraft || j.Own != "" && !j.Shown && (why == ByChecks || why == ByRules)
		if !byUs {
			return CheckPending, "the forge says that it is blocked by " + string(why)
		}
	}
	if pr.Mergeable == Unknown && j.Can.Mergeability && !j.Rules.Protected {
		return CheckPending, "the forge is finding out whether it can be merged"
	}
	return CheckSuccess, ""
}

// checks judges the checks of a head: those that the base requires or, if it names none,
// all that there are.
func (j Judgement) checks() (CheckState, string) {
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
			return CheckFailure, fmt.Sprintf("check %s failed", name)
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
		return CheckPending, waits
	}
	return CheckSuccess, ""
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
