package imageupdateautomation

import (
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// lastOf is what the status tells of the run before. After a change of the spec
// what was written then and is not there now may be another branch's or another
// repository's, and after a resume nothing is to be held against anyone.
func lastOf(a *imagev1.ImageUpdateAutomation) writeback.Last {
	last := writeback.Last{
		Push: plumbing.NewHash(a.Status.LastPushCommit), Base: plumbing.NewHash(a.Status.LastPushBase),
	}
	if _, released := writeback.ResumeRequest(a); released || a.Generation != a.Status.ObservedGeneration {
		return last
	}
	last.Source = commitOf(a.Status.ObservedSourceRevision)
	last.Choices = map[string]edit.Image{}
	for policy, ref := range a.Status.ObservedPolicies {
		last.Choices[policy] = writeback.ImageOf(ref)
	}
	return last
}

// commitOf is the commit of a revision such as main@sha1:abc, zero if it has none.
func commitOf(revision string) plumbing.Hash {
	_, commit, found := strings.Cut(revision, "sha1:")
	if !found || !plumbing.IsHash(commit) {
		return plumbing.ZeroHash
	}
	return plumbing.NewHash(commit)
}
