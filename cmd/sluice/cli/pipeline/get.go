// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/report"
)

// getCommand is `sluice pipeline get`.
func getCommand(c *cluster.Cluster) *cobra.Command {
	cmd := GetCommand(c)
	cmd.Use, cmd.Aliases = "get [NAME]", []string{"list"}
	cmd.Example = `  sluice pipeline get -A
  sluice pipeline get shop -n apps -o yaml`
	return cmd
}

type listing struct{ cluster.Listing }

// GetCommand is `sluice get pipelines`.
func GetCommand(c *cluster.Cluster) *cobra.Command {
	l := &listing{cluster.Listing{Cluster: c}}
	cmd := &cobra.Command{
		Use:     "pipelines [NAME]",
		Aliases: []string{"pipeline", "pl"},
		Short:   "List pipelines with what each stage has and waits for",
		Long: `List pipelines: the newest bundle, what each stage has, what stages wait for, and
how many bundles are in quarantine; then whether the pipeline is ready, and its
message. sluice explain pipeline says what to do.`,
		Example: `  sluice get pipelines -A
  sluice get pipelines shop -n apps -o yaml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.Complete(newList),
		RunE:              l.run,
	}
	l.Register(cmd)
	return cmd
}

func (l *listing) run(cmd *cobra.Command, args []string) error {
	var found sluicev1.PipelineList
	if err := l.Find(cmd, args, &sluicev1.Pipeline{}, &found); err != nil {
		return err
	}
	pipelines := report.ListOf(found.Items, report.OfPipeline)
	return l.Print(cmd, table(pipelines.Items), pipelines)
}

func table(pipelines []report.Pipeline) output.Table {
	t := output.Table{Columns: []string{
		"NAMESPACE", "NAME", "NEWEST", "STAGES", "WAITING", "QUARANTINED", "SUSPENDED", "READY", "MESSAGE"}, Short: 6, Also: []int{7, 8}}
	for _, p := range pipelines {
		newest := ""
		if p.Candidate != nil {
			newest = promotion.Describe(*p.Candidate)
		}
		var has, waits []string
		for _, s := range p.Stages {
			has = append(has, s.Name+"="+bundleName(s.Has))
			if what := waitingFor(s); what != "" {
				waits = append(waits, s.Name+": "+what)
			}
		}
		t.Add("pipeline."+sluicev1.GroupVersion.Group+"/"+p.Name, p.Namespace, p.Name, newest, strings.Join(has, " "),
			strings.Join(waits, ", "), strconv.Itoa(len(p.Quarantined)), strconv.FormatBool(p.Suspended), p.Ready, p.Message)
	}
	return t
}

// bundleName is a bundle in a cell: the tag, if all versions have the same.
func bundleName(b *sluicev1.Bundle) string {
	if b == nil {
		return "-"
	}
	for _, v := range b.Versions {
		if v.Tag == "" || v.Tag != b.Versions[0].Tag {
			return strings.ReplaceAll(promotion.Describe(*b), " ", ":")
		}
	}
	if len(b.Versions) == 0 {
		return b.ID
	}
	return b.Versions[0].Tag
}

// waitingFor is what a stage waits for, in a word or two.
func waitingFor(s report.PipelineStage) string {
	switch {
	case len(s.Waiting) > 0:
		return string(s.Waiting[0].Type)
	case s.Phase == sluicev1.StageVerified, s.Phase == sluicev1.StageEmpty:
		return ""
	}
	return string(s.Phase)
}

type freezeListing struct {
	cluster *cluster.Cluster
	output  output.Flags
	clock   clock.PassiveClock
}

// GetFreezesCommand is `sluice get freezes`.
func GetFreezesCommand(c *cluster.Cluster) *cobra.Command {
	l := &freezeListing{cluster: c, clock: clock.RealClock{}}
	cmd := &cobra.Command{
		Use:     "freezes",
		Aliases: []string{"freeze"},
		Short:   "List freezes, and whether they stop pipelines now",
		Long: `List the freezes of the cluster: whether each is in force, by which window and until
when, how many pipelines it selects, and why.`,
		Example: `  sluice get freezes`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return l.run(cmd) },
	}
	l.output.Register(cmd)
	return cmd
}

func (l *freezeListing) run(cmd *cobra.Command) error {
	if err := l.output.Validate(); err != nil {
		return err
	}
	c, err := l.cluster.Client()
	if err != nil {
		return err
	}
	var found sluicev1.FreezeList
	if err := cluster.List(cmd.Context(), c, &found); err != nil {
		return err
	}
	freezes := report.ListOf(found.Items, report.OfFreeze)
	if len(freezes.Items) == 0 && l.output.IsTable() {
		output.Note(cmd, "nothing found")
		return nil
	}
	t := output.Table{
		Columns: []string{"NAME", "ACTIVE", "WINDOW", "CHANGES IN", "PIPELINES", "STAGES", "REASON", "READY", "MESSAGE"},
		Short:   8,
	}
	for _, f := range freezes.Items {
		changes := ""
		if f.NextChange != nil {
			changes = output.Ago(l.clock.Now(), *f.NextChange)
		}
		t.Add("freeze."+sluicev1.GroupVersion.Group+"/"+f.Name, f.Name, strconv.FormatBool(f.Active), f.Window, changes,
			strconv.Itoa(f.Pipelines), cmp.Or(strings.Join(f.Stages, ","), "all"), f.Reason, f.Ready, f.Message)
	}
	return l.output.Print(cmd.OutOrStdout(), t, freezes)
}
