// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// maxReads is how many objects that nobody watches are read at each look at the health of an owner. Of
// more, each look reads those that were read the longest time ago, and takes the others as they were then.
const maxReads = 200

// objectReads are the objects of an owner that are read, when they are more than one look reads.
type objectReads struct {
	seen map[inventory.ID]objectRead
}

// objectRead is an object as it was read last.
type objectRead struct {
	live *decide.LiveObject // nil when it was not there
	at   time.Time
}

// readAll reads the observed objects at the given indices, which nobody watches.
func (r *objectReads) readAll(ctx context.Context, s *Set, checked []decide.HealthObservation, unwatched []int) {
	if len(unwatched) <= maxReads {
		r.seen = nil
		for _, i := range unwatched {
			checked[i].Seen = s.read(ctx, &checked[i])
		}
		return
	}
	now, left, known := s.engine.clock.Now(), maxReads, r.seen
	r.seen = make(map[inventory.ID]objectRead, len(unwatched))
	// One round over all takes so many looks.
	round := time.Duration((len(unwatched)+maxReads-1)/maxReads) * decide.UnwatchedInterval
	for _, i := range unwatched {
		o := &checked[i]
		last, ok := known[o.ID]
		switch due := !ok || !now.Before(last.at.Add(round)); {
		case due && left > 0:
			left--
			last = objectRead{s.read(ctx, o), now}
		case !ok:
			o.Seen = &decide.LiveObject{Status: status.UnknownStatus, Message: "it was not read yet"}
			continue
		}
		o.Seen, r.seen[o.ID] = last.live, last
	}
}

// read reads an object; one that cannot be read is in an unknown state.
func (s *Set) read(ctx context.Context, o *decide.HealthObservation) *decide.LiveObject {
	seen, err := s.fetch(ctx, subject{gvk: o.GroupVersionKind, id: o.ID})
	if err != nil {
		return &decide.LiveObject{Status: status.UnknownStatus, Message: err.Error()}
	}
	return seen
}
