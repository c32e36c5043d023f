// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/report"
)

// history is `sluice pipeline history`.
type history struct {
	cluster *cluster.Cluster
	output  output.Flags
	clock   clock.PassiveClock
}

func historyCommand(c *cluster.Cluster, clk clock.PassiveClock) *cobra.Command {
	h := &history{cluster: c, clock: clk}
	cmd := &cobra.Command{
		Use:   "history NAME [STAGE]",
		Short: "List what the stages of a pipeline got, by whom, and what came of it",
		Long: `List what the stages of a pipeline got, the newest first: when, in which commit, by
whom, and whether it was verified, failed or was replaced. The last ten of each stage
are known.`,
		Example: `  sluice pipeline history shop production -n apps
  sluice pipeline history shop -n apps -o json`,
		Args:              nameAndStage,
		ValidArgsFunction: completeStages(c),
		RunE:              h.run,
	}
	h.output.Register(cmd)
	return cmd
}

func (h *history) run(cmd *cobra.Command, args []string) error {
	var p sluicev1.Pipeline
	if _, err := h.cluster.FindToPrint(cmd, &h.output, args[0], &p); err != nil {
		return err
	}
	stage := ""
	if len(args) > 1 {
		stage = args[1]
		if p.Spec.Stage(stage) == nil {
			return fmt.Errorf("%s", report.ObjectionToStage(&p, stage, report.GivenCommand{}, h.clock.Now()))
		}
	}
	landings := report.Landings(&p, stage)
	if len(landings.Items) == 0 && h.output.IsTable() {
		output.Note(cmd, "no stage of %s/%s got anything yet", p.Namespace, p.Name)
		return nil
	}
	return h.output.Print(cmd.OutOrStdout(), landingsTable(landings.Items, h.clock.Now()), landings)
}

func landingsTable(landings []report.PipelineLanding, now time.Time) output.Table {
	t := output.Table{Columns: []string{"AGO", "STAGE", "BUNDLE", "KIND", "COMMIT", "BY", "VERDICT", "REASON"}}
	for _, l := range landings {
		t.Add(l.Bundle.ID, output.Ago(l.At.Time, now), l.Stage, report.NameBundle(l.Bundle),
			string(l.Kind), shorten.Commit(l.Commit), l.By, l.Verdict, l.Reason)
	}
	return t
}

// nameAndStage wants the name of a pipeline, and of a stage if there is one.
func nameAndStage(cmd *cobra.Command, args []string) error {
	if len(args) == 1 || len(args) == 2 {
		return nil
	}
	return fmt.Errorf("%s needs a NAME and a STAGE, not %d arguments: %s; list pipelines with sluice pipeline get",
		cmd.CommandPath(), len(args), cmd.UseLine())
}

// completeStages offers the names of pipelines, and then those of the stages.
func completeStages(c *cluster.Cluster) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return c.Complete(newList)(cmd, args, toComplete)
		}
		k, err := c.Client()
		var p sluicev1.Pipeline
		if len(args) > 1 || err != nil || c.Get(cmd.Context(), k, args[0], &p) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, s := range p.Spec.Stages {
			names = append(names, s.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
