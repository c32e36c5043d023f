// SPDX-License-Identifier: Apache-2.0

package pullrequest

// Values of autoMerge: who merges.
const (
	Never    = "never"
	Self     = "self"
	Platform = "platform"
)

// MergePolicy is what the owner of a pull request says about merging it, and what it remembers.
type MergePolicy struct {
	// AutoMerge is [Never], [Self] or [Platform]; empty is Never. Pipelines, whose default is Self, fill that in.
	AutoMerge string
	// Gates means that gates of the owner are closed. What a forge merges by itself it merges whenever
	// it likes, so that it is asked to only while all are open, and not if MayClose says that the clock
	// may close one.
	Gates, MayClose bool
	// Drafts means that the owner makes drafts of what may not be merged yet, and readies them itself.
	Drafts bool
	// Asked means that we asked the forge to merge it by itself. What a person asked for is theirs.
	Asked bool
	// Queued is the head that was in the merge queue when it was seen last: who takes it out does not
	// want it there, and checks that failed there would fail again.
	Queued string
}

// MergeAction is what is asked of the forge; the empty one is nothing.
type MergeAction string

// The actions.
const (
	// Merge merges the head that was judged; Enqueue puts it into the merge queue.
	Merge   MergeAction = "merge"
	Enqueue MergeAction = "enqueue"
	// AutoMerge asks the forge to merge by itself; ManualMerge takes that back.
	AutoMerge   MergeAction = "auto-merge"
	ManualMerge MergeAction = "no auto-merge"
)

// Wait is what an open pull request waits for.
type Wait string

// The waits.
const (
	ForMerge  Wait = "the merge" // that is asked for now
	ForPerson Wait = "a person to merge it"
	ForReady  Wait = "a person to mark it as ready" // it is a draft
	ForQueue  Wait = "a person to put it back into the merge queue"
	ForChecks Wait = "what its base demands"
)

// Merge decides about an open pull request whose head is what it should be: what to ask of the forge,
// and what it waits for. With closed gates it is not merged, whatever it waits for.
func (r MergePolicy) Merge(pr *PullRequest) (MergeAction, Wait) {
	isGreen := pr.Checks == ChecksPassed && !pr.Draft
	switch {
	case pr.Draft && !r.Drafts:
		return "", ForReady
	case r.AutoMerge != Self && r.AutoMerge != Platform:
		return "", ForPerson
	case r.hasLeftQueue(pr):
		return "", ForQueue
	case isGreen && pr.MustQueue:
		return Enqueue, ForMerge
	case isGreen:
		return Merge, ForMerge
	case pr.Checks == ChecksPending && r.AutoMerge == Platform && !pr.AutoMerge && !r.MayClose:
		return AutoMerge, ForChecks
	}
	return "", ForChecks
}

// hasLeftQueue reports whether the head was in the merge queue, and is not any more.
func (r MergePolicy) hasLeftQueue(pr *PullRequest) bool {
	return pr.MustQueue && r.Queued == pr.Head && !pr.Queued
}

// TakesBack reports whether the forge is to be asked to not merge by itself any more.
func (r MergePolicy) TakesBack(pr *PullRequest) bool {
	return pr.AutoMerge && (r.Gates || r.MayClose || r.Asked && r.AutoMerge != Platform)
}
