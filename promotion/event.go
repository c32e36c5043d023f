// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"time"
)

// maxEvents bounds how many events of a state wait to be told.
const maxEvents = 50

// Event is a sentence for people.
type Event struct {
	// Serial is the serial of the state which was kept with it.
	Serial int64 `json:"serial,omitempty"`
	// At is when it was decided, to the second; zero in states that were written before there were times.
	At      time.Time `json:"at,omitzero"`
	Warning bool      `json:"warning,omitempty"`
	Stage   string    `json:"stage,omitempty"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	// Commit and Verdict are those of the landing that it is about, as that was then; empty if it is
	// about none.
	Commit  string `json:"commit,omitempty"`
	Verdict string `json:"verdict,omitempty"`
}

// EventsAfter are the events that were kept after the state of a serial.
func (s State) EventsAfter(serial int64) []Event {
	i := slices.IndexFunc(s.Events, func(e Event) bool { return e.Serial > serial })
	if i < 0 {
		return nil
	}
	return s.Events[i:]
}

// EventsSince are the events that were decided at a time or later.
func (s State) EventsSince(at time.Time) []Event {
	return slices.DeleteFunc(slices.Clone(s.Events), func(e Event) bool { return e.At.IsZero() || e.At.Before(at) })
}

// WithEvents is the state with the events of the decision that it is kept for, and without those that
// were told: up to the serial told.
func (s State) WithEvents(decided []Event, told int64, now time.Time) State {
	events := slices.Clone(s.EventsAfter(told))
	for _, e := range decided {
		e.Serial, e.At = s.Serial, now.UTC().Truncate(time.Second)
		events = append(events, e)
	}
	s.Events = newest(events, maxEvents)
	return s
}
