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
func recognised(c *flaggerv1.Canary, pair *workload.Workloads) bool {
	return pair.Revision != nil && pair.Target.Alias != "" && pair.Target.Alias == c.Status.LastAppliedSpec &&
		maps.Equal(pair.Revision.TrackedConfigs(), c.Status.TrackedConfigs)
}

// nameRevisions writes the revisions of a state into the status, in memory: under
// their own names, and under those that Flagger would look for after a hand-back.
func (l *look) nameRevisions(state canary.State) {
	status, before := &l.canary.Status, l.canary.Status.DeepCopy()
	status.AppliedRevision, status.LastAppliedSpec = l.names(before, state.Applied)
	status.PromotedRevision, status.LastPromotedSpec = l.names(before, state.Promoted)
}

// names are the digest of a revision, and its alias. A revision that only Flagger
// has seen has no digest; one that Flagger has no name for is called by its digest.
func (l *look) names(before *flaggerv1.CanaryStatus, revision string) (digest, alias string) {
	switch {
	case !canary.Ours(revision):
		return "", revision
	case revision == l.pair.Target.Revision:
		return revision, cmp.Or(l.pair.Target.Alias, revision)
	case revision == before.AppliedRevision:
		return revision, before.LastAppliedSpec
	case revision == before.PromotedRevision:
		return revision, before.LastPromotedSpec
	default:
		return revision, revision
	}
}
