// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

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
	events := report.Events(found.Items)
	return events[max(0, len(events)-shownEvents):], nil
}
