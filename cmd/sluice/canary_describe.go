package main

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
)

func canaryDescribeCommand(cluster *kube) *cobra.Command {
	return &cobra.Command{
		Use:     "describe NAME",
		Aliases: []string{"explain", "history"},
		Short:   "Say how a canary releases, where it stands, and what its releases measured",
		Long: `Say in plain words how a canary releases, where it stands, what holds it and which
command lets it go on; then its conditions, its last releases with what each step
measured and what it should have been, and its last events.`,
		Example:           `  sluice canary describe podinfo -n apps`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cluster.complete(canaries),
		RunE: func(cmd *cobra.Command, args []string) error {
			return describeCanary(cmd, cluster, args[0])
		},
	}
}

func describeCanary(cmd *cobra.Command, cluster *kube, name string) error {
	k, err := cluster.client()
	if err != nil {
		return err
	}
	var c flaggerv1.Canary
	if err := cluster.get(cmd.Context(), k, name, &c); err != nil {
		return err
	}
	var p page
	p.section("%s/%s releases %s %s", c.Namespace, c.Name, c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name)
	p.lines(specRows(&c))
	p.section("Now")
	p.lines(nowRows(cmd, &c))
	p.section("Conditions")
	p.lines(conditionRows(&c))
	p.releases(&c)
	events, err := eventsOf(cmd.Context(), k, &c)
	if err != nil {
		note(cmd, "events are left out: %v", err)
	}
	p.events(events)
	return p.writeTo(cmd.OutOrStdout())
}

// nowRows say where a canary stands.
func nowRows(cmd *cobra.Command, c *flaggerv1.Canary) [][]string {
	s := standingOf(c)
	phase := cmp.Or(string(s.Phase), "not looked at yet")
	if s.Since != nil {
		phase += " for " + lasted(*s.Since)
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
		rows = append(rows, []string{"promoted", "revision " + shortRevision(promoted)})
	}
	if applied := c.Status.Applied(); applied != "" && applied != c.Status.Promoted() {
		rows = append(rows, []string{"tried", "revision " + shortRevision(applied)})
	}
	if hint := s.hint(cmd.Root().CommandPath()); hint != "" {
		rows = append(rows, []string{"hold", hint})
	}
	if s.Phase == flaggerv1.CanaryPhaseFailed && s.Hold == nil {
		rows = append(rows, []string{"next", "it is tried again when the target changes, or with " + invocation(cmd, c, string(flaggerv1.CommandRetry))})
	}
	if l := s.LastCommand; l != nil {
		rows = append(rows, []string{"command", fmt.Sprintf("%s %s ago%s: %s", l.Verb, lasted(l.At.Time), by(l.By), cmp.Or(l.Outcome, "carried out"))})
	}
	if waiting := pending(c); waiting != nil {
		rows = append(rows, []string{"command", fmt.Sprintf("%s%s was given %s ago and not carried out yet", waiting.Verb, by(waiting.By), lasted(waiting.At.Time))})
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

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

func conditionRows(c *flaggerv1.Canary) [][]string {
	rows := [][]string{{"TYPE", "STATUS", "REASON", "FOR", "MESSAGE"}}
	for _, is := range c.Status.Conditions {
		rows = append(rows, []string{string(is.Type), string(is.Status), is.Reason, lasted(is.LastTransitionTime.Time), is.Message})
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

func (p *page) events(events []corev1.Event) {
	if len(events) == 0 {
		return
	}
	p.section("Events")
	rows := [][]string{{"AGO", "TYPE", "MESSAGE"}}
	for i := range events {
		e := &events[i]
		message := e.Message
		if e.Count > 1 {
			message += " (x" + strconv.Itoa(int(e.Count)) + ")"
		}
		rows = append(rows, []string{lasted(eventTime(e)), e.Type, message})
	}
	p.lines(rows)
}
