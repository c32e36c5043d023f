// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// ages are the times at which tags were first seen, from the status of a policy: after a restart
// the store may have lost them, and all tags would be too young again. They count for that policy
// alone: otherwise a user who may write its status could make a tag old for the policies of others.
type ages map[age]time.Time

type age struct{ tag, digest string }

// agesKey is whose ages they are, and of which image.
type agesKey struct {
	policy types.UID
	image  string
}

// maxAges is how many ages of a policy outlive the status that they are from: several times
// as many as a status has.
const maxAges = 5 * maxListed

// rememberAges takes up what the status knows. What it knew before in the life of the process
// counts as well: a tag may be no candidate for a while.
func (r *Reconciler) rememberAges(in *inputs) ages {
	status := in.policy.Status
	key := agesKey{in.policy.UID, in.tags.Image()}
	known, _ := r.caches().ages.Get(key)
	if status.Decision == nil || in.isStatusOfAnotherImage() {
		return known
	}
	all := make(ages, len(known))
	for i, c := range status.Decision.Candidates {
		if c.FirstSeen != nil && c.Digest != "" && i < maxListed {
			all.note(age{c.Tag, c.Digest}, c.FirstSeen.Time)
		}
	}
	for what, at := range known {
		if len(all) < maxAges {
			all.note(what, at)
		}
	}
	r.caches().ages.Put(key, all)
	return all
}

// note keeps the earlier time.
func (a ages) note(what age, at time.Time) {
	if known, ok := a[what]; !ok || at.Before(known) {
		a[what] = at
	}
}

// firstSeen is when a tag was first seen, whatever it pointed to; zero is never.
func (a ages) firstSeen(tag string) time.Time {
	var first time.Time
	for what, at := range a {
		if what.tag == tag {
			first = earlier(first, at)
		}
	}
	return first
}

// earlier is the earlier one of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
