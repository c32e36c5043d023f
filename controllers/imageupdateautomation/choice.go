// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"time"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback"
)

// trackedChoice is a policy's choice and when it was made; the time is zero if
// that is not known, or was measured. The zero value is a policy that was not seen yet.
type trackedChoice struct {
	ref  imagev1.ImageRef
	seen time.Time
}

// next is what is known after a policy was seen again. It is false if the policy has
// no choice now, or still the same one.
func (c trackedChoice) next(p *imagev1.ImagePolicy, now time.Time) (trackedChoice, bool) {
	ref, ok := writeback.ChosenRef(p)
	switch {
	case !ok || c.ref == ref:
		return trackedChoice{}, false
	case c.ref == imagev1.ImageRef{}: // it may have chosen before this process began
		return trackedChoice{ref: ref, seen: chosenAt(p)}, true
	}
	return trackedChoice{ref: ref, seen: now}, true
}

// chosenAt is when a policy made its choice; zero if it does not tell.
func chosenAt(p *imagev1.ImagePolicy) time.Time {
	if p.Status.LatestRefTime == nil {
		return time.Time{}
	}
	return p.Status.LatestRefTime.Time
}
