// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"maps"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/workload"
)

// recognised reports whether the target is, with its configuration, what Flagger
// recorded last.
func recognised(c *flaggerv1.Canary, w *workload.Workloads) bool {
	return w.Revision != nil && w.Target.Alias != "" && w.Target.Alias == c.Status.LastAppliedSpec &&
		maps.Equal(w.Revision.TrackedConfigs(), c.Status.TrackedConfigs)
}

// recordRevisions writes the revisions of a state into the status, in memory: under
// their own names, and under those that Flagger would look for after a hand-back.
func recordRevisions(c *flaggerv1.Canary, target canary.Workload, state canary.State) {
	before := c.Status.DeepCopy()
	c.Status.AppliedRevision, c.Status.LastAppliedSpec = namesOf(state.Applied, target, before)
	c.Status.PromotedRevision, c.Status.LastPromotedSpec = namesOf(state.Promoted, target, before)
}

// namesOf are the digest of a revision, and its alias. A revision that only Flagger
// has seen has no digest; one that Flagger has no name for is called by its digest.
func namesOf(revision string, target canary.Workload, before *flaggerv1.CanaryStatus) (digest, alias string) {
	switch {
	case !canary.Ours(revision):
		return "", revision
	case revision == target.Revision:
		return revision, cmp.Or(target.Alias, revision)
	case revision == before.AppliedRevision:
		return revision, before.LastAppliedSpec
	case revision == before.PromotedRevision:
		return revision, before.LastPromotedSpec
	default:
		return revision, revision
	}
}
