// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// lastOf is what the status tells of the last run.
func lastOf(a *imagev1.ImageUpdateAutomation) writeback.Last {
	last := writeback.Last{
		Push: plumbing.NewHash(a.Status.LastPushCommit), Base: plumbing.NewHash(a.Status.LastPushBase),
	}
	if p := a.Status.PendingPush; p != nil {
		last.Pending, last.PendingBase = plumbing.NewHash(p.Commit), plumbing.NewHash(p.Base)
	}
	if !ignoresLastRun(a) {
		last.Source = commitOf(a.Status.ObservedSourceRevision)
	}
	return last
}

// editsOf are the edits that an automation asks for.
func editsOf(a *imagev1.ImageUpdateAutomation, policies writeback.Policies) writeback.ImageEdits {
	edits := writeback.ImageEdits{Policies: policies, CommitPerPolicy: a.Spec.GitSpec.Commit.Per == imagev1.CommitPerPolicy}
	if a.Spec.Update != nil {
		edits.Path = a.Spec.Update.Path
	}
	if ignoresLastRun(a) {
		return edits
	}
	edits.LastChosen = map[string]edit.Image{}
	for policy, ref := range a.Status.ObservedPolicies {
		edits.LastChosen[policy] = writeback.ImageOf(ref)
	}
	return edits
}

// ignoresLastRun reports whether a run must not take what is missing now for reverted:
// after a change of the spec the last run may have written to another branch or
// repository, and a resume request releases everything.
func ignoresLastRun(a *imagev1.ImageUpdateAutomation) bool {
	_, released := writeback.ResumeRequest(a)
	return released || a.Generation != a.Status.ObservedGeneration
}

// commitOf is the commit of a revision such as main@sha1:abc, zero if it has none.
func commitOf(revision string) plumbing.Hash {
	_, commit, found := strings.Cut(revision, "sha1:")
	if !found || !plumbing.IsHash(commit) {
		return plumbing.ZeroHash
	}
	return plumbing.NewHash(commit)
}
