// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Event is something that happened to an object.
type Event struct {
	// Time is when it happened last.
	Time time.Time `json:"time"`
	// Type is Normal or Warning.
	Type string `json:"type"`
	// Reason is one word for programs.
	Reason string `json:"reason"`
	// Message is for people.
	Message string `json:"message"`
	// Count is how often it happened.
	Count int `json:"count"`
}

// TimelineEvent is an event with the object that it happened to.
type TimelineEvent struct {
	Event
	ObjectReference
}

// Events reports events of the API server, the oldest first.
func Events(events []corev1.Event) []Event {
	found := make([]Event, 0, len(events))
	for i := range events {
		e := &events[i]
		found = append(found, Event{Time: eventTime(e), Type: e.Type, Reason: e.Reason, Message: e.Message, Count: timesOf(e)})
	}
	slices.SortStableFunc(found, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return found
}

// timesOf is how often an event happened.
func timesOf(e *corev1.Event) int {
	if e.Series != nil {
		return int(e.Series.Count)
	}
	return max(int(e.Count), 1)
}

// eventTime is when an event happened last. Which field says so depends on the API that it was written with.
func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}
