// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"
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
command lets it go on; then what each of its webhooks answered last, its conditions,
its last releases with what each step measured and what it should have been, and its
last events.`,
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
	var c flaggerv1.Canary
	k, err := d.cluster.FindToPrint(cmd, &d.output, args[0], &c)
	if err != nil {
		return err
	}
	return d.describe(cmd, k, &c)
}

func (d *description) describe(cmd *cobra.Command, k client.Client, c *flaggerv1.Canary) error {
	described := report.DescribeCanary(c, cluster.Events(cmd, k, c))
	if !d.output.IsTable() {
		return d.output.Print(cmd.OutOrStdout(), rows([]report.Canary{described.Canary}, d.clock.Now()).Table, described)
	}
	p := d.page(cmd, c, described)
	_, err := p.WriteTo(cmd.OutOrStdout())
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
	addWebhooks(p, described.Webhooks, now)
	p.Conditions(described.Conditions, now)
	addReleases(p, described, now)
	p.Events(described.Events, now)
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
	for _, row := range [][]string{{"judge", s.Judge.Verdict()}, {"outlook", s.Judge.Prospect()}, {"counted by", s.Judge.Counter()},
		{"self-test", s.Judge.SelfTest()}, {"not counted", s.Judge.NotCounted()}} {
		if row[1] != "" {
			rows = append(rows, row)
		}
	}
	if hint := hint(s.Canary, cmd.Root().CommandPath(), now); hint != "" {
		rows = append(rows, []string{"hold", hint})
	}
	if s.Phase == flaggerv1.CanaryPhaseFailed && s.Hold == nil {
		rows = append(rows,
			[]string{"next", "it is tried again when the target changes, or with " + commandLine(cmd, c, string(flaggerv1.CommandRetry))})
	}
	if l := s.LastCommand; l != nil {
		rows = append(rows, []string{"command", fmt.Sprintf("%s %s ago%s: %s",
			l.Verb, output.Ago(l.At.Time, now), report.By(l.By), cmp.Or(l.Outcome, "carried out"))})
	}
	if waiting := s.PendingCommand; waiting != nil {
		rows = append(rows, []string{"command", fmt.Sprintf("%s%s was given %s ago and not carried out yet",
			waiting.Verb, report.By(waiting.By), output.Ago(waiting.At.Time, now))})
	}
	return append(rows, []string{"message", s.Message})
}

// addWebhooks adds a section with what each webhook answered last, if there is one.
func addWebhooks(p *output.Page, webhooks []report.Webhook, now time.Time) {
	if len(webhooks) == 0 {
		return
	}
	p.Section("Webhooks")
	rows := [][]string{{"NAME", "TYPE", "OUTCOME", "FOR", "MESSAGE"}}
	for _, w := range webhooks {
		since, message := "", w.Message
		if w.Since != nil {
			since = output.Ago(*w.Since, now)
		}
		if failure := w.LastFailure; failure != nil {
			message = fmt.Sprintf("last failed %s ago: %s", output.Ago(failure.At, now), failure.Message)
		}
		rows = append(rows, []string{w.Name, string(w.Type), w.Outcome, since, message})
	}
	p.Lines(rows)
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
