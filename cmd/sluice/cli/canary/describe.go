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
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
	"github.com/sluice-cd/sluice/report"
)

// description is `sluice canary describe`.
type description struct {
	cluster *cluster.Cluster
	output  output.Flags
	clock   clock.PassiveClock
}

func describeCommand(c *cluster.Cluster, clk clock.PassiveClock) *cobra.Command {
	d := &description{cluster: c, clock: clk}
	cmd := &cobra.Command{
		Use:     "describe NAME",
		Aliases: []string{"explain", "history"},
		Short:   "Say how a canary releases, where it stands, and what its releases measured",
		Long: `Say in plain words how a canary releases, where it stands, what holds it and which
command lets it go on; then its conditions, its last releases with what each step
measured and what it should have been, and its last events.`,
		Example: `  sluice canary describe podinfo -n apps
  sluice canary describe podinfo -n apps -o yaml`,
		Args:              usage.OneName("sluice canary get"),
		ValidArgsFunction: c.Complete(newList),
		RunE:              d.run,
	}
	d.output.Register(cmd)
	return cmd
}

func (d *description) run(cmd *cobra.Command, args []string) error {
	if err := d.output.Validate(); err != nil {
		return err
	}
	k, err := d.cluster.Client()
	if err != nil {
		return err
	}
	namespace, err := d.cluster.Namespace()
	if err != nil {
		return err
	}
	return d.describe(cmd, k, client.ObjectKey{Namespace: namespace, Name: args[0]})
}

func (d *description) describe(cmd *cobra.Command, k client.Client, key client.ObjectKey) error {
	var c flaggerv1.Canary
	if err := cluster.Get(cmd.Context(), k, key, &c); err != nil {
		return err
	}
	events, err := eventsOf(cmd.Context(), k, &c)
	if err != nil {
		output.Note(cmd, "events are left out: %v", err)
	}
	described := report.DescribeCanary(&c, events)
	if !d.output.IsTable() {
		return d.output.Print(cmd.OutOrStdout(), table([]report.Canary{described.Canary}, d.clock.Now()), described)
	}
	p := d.page(cmd, &c, described)
	_, err = p.WriteTo(cmd.OutOrStdout())
	return err
}

// page is a description for people.
func (d *description) page(cmd *cobra.Command, c *flaggerv1.Canary, described report.CanaryDescription) *output.Page {
	now := d.clock.Now()
	p := &output.Page{}
	p.Section("%s/%s releases %s %s", c.Namespace, c.Name, c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name)
	p.Lines(specRows(described))
	p.Section("Now")
	p.Lines(nowRows(cmd, c, described, now))
	p.Section("Conditions")
	p.Lines(conditionRows(described, now))
	addReleases(p, described, now)
	addEvents(p, described.Events, now)
	return p
}

// specRows say how a canary releases.
func specRows(d report.CanaryDescription) [][]string {
	var rows [][]string
	for _, property := range d.Properties {
		rows = append(rows, []string{property.Name, property.Text})
	}
	return rows
}

// nowRows say where a canary stands.
func nowRows(cmd *cobra.Command, c *flaggerv1.Canary, s report.CanaryDescription, now time.Time) [][]string {
	phase := cmp.Or(string(s.Phase), "not looked at yet")
	if s.Since != nil {
		phase += " for " + output.Ago(*s.Since, now)
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
	if s.Promoted != "" {
		rows = append(rows, []string{"promoted", "revision " + report.ShortRevision(s.Promoted)})
	}
	if s.Applied != "" && s.Applied != s.Promoted {
		rows = append(rows, []string{"tried", "revision " + report.ShortRevision(s.Applied)})
	}
	if hint := hint(s.Canary, cmd.Root().CommandPath(), now); hint != "" {
		rows = append(rows, []string{"hold", hint})
	}
	if s.Phase == flaggerv1.CanaryPhaseFailed && s.Hold == nil {
		rows = append(rows, []string{"next", "it is tried again when the target changes, or with " + commandLine(cmd, c, string(flaggerv1.CommandRetry))})
	}
	if l := s.LastCommand; l != nil {
		rows = append(rows, []string{"command", fmt.Sprintf("%s %s ago%s: %s", l.Verb, output.Ago(l.At.Time, now), report.By(l.By), cmp.Or(l.Outcome, "carried out"))})
	}
	if waiting := s.PendingCommand; waiting != nil {
		rows = append(rows, []string{"command", fmt.Sprintf("%s%s was given %s ago and not carried out yet", waiting.Verb, report.By(waiting.By), output.Ago(waiting.At.Time, now))})
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

func conditionRows(d report.CanaryDescription, now time.Time) [][]string {
	rows := [][]string{{"TYPE", "STATUS", "REASON", "FOR", "MESSAGE"}}
	for _, is := range d.Conditions {
		rows = append(rows, []string{is.Type, is.Status, is.Reason, output.Ago(is.Since, now), is.Message})
	}
	return rows
}

// shownEvents is how many of the last events are shown.
const shownEvents = 15

// eventsOf returns the last events of a canary, the oldest first.
func eventsOf(ctx context.Context, k client.Client, c *flaggerv1.Canary) ([]report.Event, error) {
	var found corev1.EventList
	if err := k.List(ctx, &found, client.InNamespace(c.Namespace), client.MatchingFields{"involvedObject.uid": string(c.UID)}); err != nil {
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

func addEvents(p *output.Page, events []report.Event, now time.Time) {
	if len(events) == 0 {
		return
	}
	p.Section("Events")
	rows := [][]string{{"AGO", "TYPE", "MESSAGE"}}
	for _, e := range events {
		message := e.Message
		if e.Count > 1 {
			message += " (x" + strconv.Itoa(e.Count) + ")"
		}
		rows = append(rows, []string{output.Ago(e.Time, now), e.Type, message})
	}
	p.Lines(rows)
}
