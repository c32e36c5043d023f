// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
	"github.com/sluice-cd/sluice/report"
)

func describeCommand(c *cluster.Cluster) *cobra.Command {
	return &cobra.Command{
		Use:     "describe NAME",
		Aliases: []string{"explain", "history"},
		Short:   "Say how a canary releases, where it stands, and what its releases measured",
		Long: `Say in plain words how a canary releases, where it stands, what holds it and which
command lets it go on; then its conditions, its last releases with what each step
measured and what it should have been, and its last events.`,
		Example:           `  sluice canary describe podinfo -n apps`,
		Args:              usage.OneName("sluice canary get"),
		ValidArgsFunction: c.Complete(newList),
		RunE: func(cmd *cobra.Command, args []string) error {
			return describe(cmd, c, args[0])
		},
	}
}

func describe(cmd *cobra.Command, in *cluster.Cluster, name string) error {
	k, err := in.Client()
	if err != nil {
		return err
	}
	var c flaggerv1.Canary
	if err := in.Get(cmd.Context(), k, name, &c); err != nil {
		return err
	}
	var p output.Page
	p.Section("%s/%s releases %s %s", c.Namespace, c.Name, c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name)
	p.Lines(specRows(&c))
	p.Section("Now")
	p.Lines(nowRows(cmd, &c))
	p.Section("Conditions")
	p.Lines(conditionRows(&c))
	addReleases(&p, &c)
	events, err := eventsOf(cmd.Context(), k, &c)
	if err != nil {
		output.Note(cmd, "events are left out: %v", err)
	}
	addEvents(&p, events)
	_, err = p.WriteTo(cmd.OutOrStdout())
	return err
}

// specRows say how a canary releases.
func specRows(c *flaggerv1.Canary) [][]string {
	var rows [][]string
	for _, property := range report.HowItReleases(c) {
		rows = append(rows, []string{property.Name, property.Text})
	}
	return rows
}

// nowRows say where a canary stands.
func nowRows(cmd *cobra.Command, c *flaggerv1.Canary) [][]string {
	s := report.OfCanary(c)
	phase := cmp.Or(string(s.Phase), "not looked at yet")
	if s.Since != nil {
		phase += " for " + output.Ago(*s.Since)
	}
	rows := [][]string{{"phase", phase}}
	if s.Stage > 0 {
		rows = append(rows, []string{"step", fmt.Sprintf("%d of %d", s.Stage, s.Stages)})
	}
	if c.HasService() {
		rows = append(rows, []string{"users", users(s.Weight)})
	}
	if s.FailedChecks > 0 {
		rows = append(rows, []string{"checks", fmt.Sprintf("%d failed of the %d that roll back", s.FailedChecks, s.Threshold)})
	}
	if promoted := c.Status.Promoted(); promoted != "" {
		rows = append(rows, []string{"promoted", "revision " + report.ShortRevision(promoted)})
	}
	if applied := c.Status.Applied(); applied != "" && applied != c.Status.Promoted() {
		rows = append(rows, []string{"tried", "revision " + report.ShortRevision(applied)})
	}
	if hint := hint(s, cmd.Root().CommandPath()); hint != "" {
		rows = append(rows, []string{"hold", hint})
	}
	if s.Phase == flaggerv1.CanaryPhaseFailed && s.Hold == nil {
		rows = append(rows, []string{"next", "it is tried again when the target changes, or with " + commandLine(cmd, c, string(flaggerv1.CommandRetry))})
	}
	if l := s.LastCommand; l != nil {
		rows = append(rows, []string{"command", fmt.Sprintf("%s %s ago%s: %s", l.Verb, output.Ago(l.At.Time), report.By(l.By), cmp.Or(l.Outcome, "carried out"))})
	}
	if waiting := report.PendingCommand(c); waiting != nil {
		rows = append(rows, []string{"command", fmt.Sprintf("%s%s was given %s ago and not carried out yet", waiting.Verb, report.By(waiting.By), output.Ago(waiting.At.Time))})
	}
	return append(rows, []string{"message", s.Message})
}

func users(weight int) string {
	switch weight {
	case 0:
		return "all on the primary"
	case 100:
		return "all on the canary"
	default:
		return fmt.Sprintf("%d%% on the canary, %d%% on the primary", weight, 100-weight)
	}
}

func conditionRows(c *flaggerv1.Canary) [][]string {
	rows := [][]string{{"TYPE", "STATUS", "REASON", "FOR", "MESSAGE"}}
	for _, is := range c.Status.Conditions {
		rows = append(rows, []string{string(is.Type), string(is.Status), is.Reason, output.Ago(is.LastTransitionTime.Time), is.Message})
	}
	return rows
}

// shownEvents is how many of the last events are shown.
const shownEvents = 15

// eventsOf returns the last events of a canary, the oldest first.
func eventsOf(ctx context.Context, k client.Client, c *flaggerv1.Canary) ([]corev1.Event, error) {
	var found corev1.EventList
	if err := k.List(ctx, &found, client.InNamespace(c.Namespace), client.MatchingFields{"involvedObject.uid": string(c.UID)}); err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	events := found.Items
	slices.SortStableFunc(events, func(a, b corev1.Event) int { return eventTime(&a).Compare(eventTime(&b)) })
	return events[max(0, len(events)-shownEvents):], nil
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

func addEvents(p *output.Page, events []corev1.Event) {
	if len(events) == 0 {
		return
	}
	p.Section("Events")
	rows := [][]string{{"AGO", "TYPE", "MESSAGE"}}
	for i := range events {
		e := &events[i]
		message := e.Message
		if e.Count > 1 {
			message += " (x" + strconv.Itoa(int(e.Count)) + ")"
		}
		rows = append(rows, []string{output.Ago(eventTime(e)), e.Type, message})
	}
	p.Lines(rows)
}
