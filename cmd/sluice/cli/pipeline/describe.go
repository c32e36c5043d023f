// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/report"
)

// description is `sluice pipeline describe`, and `sluice explain pipeline`, which says
// where the stages stand and nothing else.
type description struct {
	cluster    *cluster.Cluster
	output     output.Flags
	clock      clock.PassiveClock
	stagesOnly bool
}

func describeCommand(c *cluster.Cluster, clk clock.PassiveClock) *cobra.Command {
	d := &description{cluster: c, clock: clk}
	cmd := &cobra.Command{
		Use:   "describe NAME",
		Short: "Say how a pipeline promotes, where its stages stand, and what became of each version",
		Long: `Say in plain words how a pipeline promotes; for each stage what it has and since when,
what it wants, what it waits for and what to do; who held or approved it and why; then
what became of each bundle in each stage, what is in quarantine, the conditions, and
the last events.`,
		Example: `  sluice pipeline describe shop -n apps
  sluice pipeline describe shop -n apps -o yaml`,
		Args:              usage.OneName("sluice pipeline get"),
		ValidArgsFunction: c.Complete(newList),
		RunE:              d.run,
	}
	d.output.Register(cmd)
	return cmd
}

// ExplainCommand is `sluice explain pipeline`.
func ExplainCommand(c *cluster.Cluster) *cobra.Command {
	d := &description{cluster: c, clock: clock.RealClock{}, stagesOnly: true}
	cmd := &cobra.Command{
		Use:     "pipeline NAME",
		Aliases: []string{"pl"},
		Short:   "Say what each stage of a pipeline wants, what it waits for, and what to do",
		Long: `Say for each stage of a pipeline what it has, what it wants, what it waits for, since
when and until when, and what to do: a command, or the page to press a button on.
sluice pipeline describe says more.`,
		Example: `  sluice explain pipeline shop -n apps
  sluice explain pipeline shop -n apps -o json`,
		Args:              usage.OneName("sluice get pipelines"),
		ValidArgsFunction: c.Complete(newList),
		RunE:              d.run,
	}
	d.output.Register(cmd)
	return cmd
}

func (d *description) run(cmd *cobra.Command, args []string) error {
	var p sluicev1.Pipeline
	k, err := d.cluster.FindToPrint(cmd, &d.output, args[0], &p)
	if err != nil {
		return err
	}
	return d.describe(cmd, k, &p)
}

func (d *description) describe(cmd *cobra.Command, k client.Client, p *sluicev1.Pipeline) error {
	if d.stagesOnly {
		return d.print(cmd, report.PipelineDescription{Pipeline: report.OfPipeline(p)})
	}
	return d.print(cmd, report.DescribePipeline(p, cluster.Events(cmd, k, p)))
}

func (d *description) print(cmd *cobra.Command, described report.PipelineDescription) error {
	if !d.output.IsTable() {
		var data any = described
		if d.stagesOnly {
			data = described.Pipeline
		}
		return d.output.Print(cmd.OutOrStdout(), rows([]report.Pipeline{described.Pipeline}).Table, data)
	}
	w := &pageWriter{page: &output.Page{}, now: d.clock.Now(), root: cmd.Root().CommandPath()}
	if !d.stagesOnly {
		w.properties(described)
	}
	w.state(described.Pipeline)
	for _, s := range described.Stages {
		w.stage(s)
	}
	if !d.stagesOnly {
		w.matrix(described.Matrix)
		w.quarantine(described.Quarantined)
		w.page.Conditions(described.Conditions, w.now)
		w.page.Events(described.Events, w.now)
	}
	_, err := w.page.WriteTo(cmd.OutOrStdout())
	return err
}

// pageWriter writes a description for people.
type pageWriter struct {
	page *output.Page
	now  time.Time
	root string // how the program is called
}

func (w *pageWriter) properties(d report.PipelineDescription) {
	w.page.Section("%s/%s promotes", d.Namespace, d.Name)
	var rows [][]string
	for _, property := range d.Properties {
		rows = append(rows, []string{property.Name, property.Text})
	}
	w.page.Lines(rows)
}

// state says what holds up the whole pipeline, if anything does.
func (w *pageWriter) state(p report.Pipeline) {
	var rows [][]string
	if p.Suspended {
		rows = append(rows, []string{"suspended", "nothing is written, merged or rolled back before spec.suspend is false"})
	}
	if p.Ready != "True" && p.Message != "" {
		rows = append(rows, []string{"not ready", p.Message})
	}
	if p.CommandsIgnored != "" {
		rows = append(rows, []string{"commands", p.CommandsIgnored})
	}
	if p.Warning != "" {
		for line := range strings.SplitSeq(p.Warning, "\n") {
			rows = append(rows, []string{"warning", line})
		}
	}
	if p.Candidate != nil {
		newest := report.NameBundle(*p.Candidate)
		for _, q := range p.Quarantined {
			if q.Bundle.ID == p.Candidate.ID {
				newest += ", in quarantine for " + output.Ago(q.At.Time, w.now)
			}
		}
		rows = append(rows, []string{"newest", newest})
	}
	w.page.Section("%s/%s", p.Namespace, p.Name)
	w.page.Lines(rows)
}

// stage says where a stage stands and what to do.
func (w *pageWriter) stage(s report.PipelineStage) {
	w.page.Section("Stage %s: %s", s.Name, cmp.Or(string(s.Phase), "not looked at yet"))
	rows := [][]string{{"has", w.bundleOf(s)}, {"wants", wants(s)}}
	for _, g := range s.Waiting {
		rows = append(rows, []string{"waits", w.gate(g)})
	}
	if len(s.Waiting) == 0 && s.Message != "" {
		rows = append(rows, []string{"stands", s.Message})
	}
	if q := s.PassedOver; q != nil {
		rows = append(rows, []string{"passes over", w.passedOver(q)})
	}
	for _, r := range s.Remedies {
		rows = append(rows, []string{"do", w.remedy(r)})
	}
	rows = append(rows, pullRequestRows(s.PullRequest)...)
	rows = append(rows, w.decisions(s)...)
	for _, t := range s.Targets {
		if t.Name != "" || t.Message != "" {
			rows = append(rows, []string{cmp.Or(t.Name, "objects"), strings.TrimSuffix("Ready="+string(t.Ready)+": "+t.Message, ": ")})
		}
	}
	w.page.Lines(rows)
}

// bundleOf says what a stage has, since when and by whom.
func (w *pageWriter) bundleOf(s report.PipelineStage) string {
	switch {
	case s.Phase == "":
		return "not known yet"
	case s.Has == nil:
		return "nothing that could be read"
	}
	text := report.NameBundle(*s.Has)
	if s.Since != nil {
		text += " for " + output.Ago(s.Since.Time, w.now)
	}
	if s.Commit != "" {
		text += ", commit " + shorten.Commit(s.Commit) + report.By(s.By)
	}
	if s.Verified != nil {
		return text + ", verified " + output.Ago(s.Verified.Time, w.now) + " ago"
	}
	return text + ", not verified"
}

func wants(s report.PipelineStage) string {
	switch {
	case s.Phase == "":
		return "not known yet"
	case s.Wants == nil && len(s.Waiting) > 0:
		return "nothing yet"
	case s.Wants == nil:
		return "nothing else"
	}
	return report.NameBundle(*s.Wants)
}

// gate says what a gate waits for, since when and until when.
func (w *pageWriter) gate(g sluicev1.Gate) string {
	text := string(g.Type) + ": " + g.Message
	var times []string
	if g.Since != nil {
		times = append(times, "for "+output.Ago(g.Since.Time, w.now)+" now")
	}
	if g.Until != nil {
		times = append(times, "another "+output.Ago(w.now, g.Until.Time))
	}
	if len(times) > 0 {
		text += " (" + strings.Join(times, ", ") + ")"
	}
	return text
}

func (w *pageWriter) remedy(r report.Remedy) string {
	if r.Command == "" {
		return r.Text + ": " + r.URL
	}
	return r.Text + ": " + w.root + " " + r.Command
}
