// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// shownEvents is how many of the last events are shown.
const shownEvents = 15

// Events returns the last events of an object, the oldest first. Who may not read them
// is told so, and does without.
func Events(cmd *cobra.Command, k client.Client, of client.Object) []report.Event {
	events, err := listEvents(cmd.Context(), k, of)
	if err != nil {
		output.Note(cmd, "events are left out: %v", err)
	}
	return events
}

func listEvents(ctx context.Context, k client.Client, of client.Object) ([]report.Event, error) {
	var found corev1.EventList
	if err := k.List(ctx, &found, client.InNamespace(of.GetNamespace()),
		client.MatchingFields{"involvedObject.uid": string(of.GetUID())}); err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	events := found.Items
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return eventTime(&a).Compare(eventTime(&b)) })
	var last []report.Event
	for _, e := range events[max(0, len(events)-shownEvents):] {
		last = append(last, report.Event{Time: eventTime(&e), Type: e.Type, Reason: e.Reason, Message: e.Message, Count: timesOf(&e)})
	}
	return last, nil
}

// timesOf is how often an event happened.
func timesOf(e *corev1.Event) int {
	if e.Series != nil {
		return int(e.Series.Count)
	}
	return max(int(e.Count), 1)
}

// eventTime is when an event happened last. Which field says so depends on the API
// that it was written with.
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
