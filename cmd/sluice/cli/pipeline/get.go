// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
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

// GetCommand is `sluice get pipelines`.
func GetCommand(c *cluster.Cluster) *cobra.Command {
	l := &follow.Listing{
		Listing: cluster.Listing{Cluster: c}, Kinds: []follow.Kind{{New: newList}},
		Rows: func(lists []client.ObjectList) follow.Rows {
			found, _ := lists[0].(*sluicev1.PipelineList) // what newList makes
			return rows(report.ListOf(found.Items, report.OfPipeline).Items)
		},
	}
	cmd := &cobra.Command{
		Use:     "pipelines [NAME]",
		Aliases: []string{"pipeline", "pl"},
		Short:   "List pipelines with what each stage has and waits for",
		Long: `List pipelines: the newest bundle, what each stage has, what stages wait for, and
how many bundles are in quarantine; then whether the pipeline is ready, and its
message. sluice explain pipeline says what to do.`,
		Example: `  sluice get pipelines -A
  sluice get pipelines shop -n apps -o yaml`,
	}
	l.Register(cmd)
	return cmd
}

func rows(pipelines []report.Pipeline) follow.Rows {
	rows := follow.Rows{Table: output.Table{Columns: []string{
		"NAMESPACE", "NAME", "NEWEST", "STAGES", "WAITING", "QUARANTINED", "SUSPENDED", "READY", "MESSAGE"}, Short: 6, Also: []int{7, 8}}}
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
		rows.Add(p, "pipeline."+sluicev1.GroupVersion.Group+"/"+p.Name, p.Namespace, p.Name, newest, strings.Join(has, " "),
			strings.Join(waits, ", "), strconv.Itoa(len(p.Quarantined)), strconv.FormatBool(p.Suspended), p.Ready, p.Message)
	}
	return rows
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

// GetFreezesCommand is `sluice get freezes`.
func GetFreezesCommand(c *cluster.Cluster) *cobra.Command {
	l := &follow.Listing{
		Listing: cluster.Listing{Cluster: c, Clusterwide: true},
		Kinds:   []follow.Kind{{New: func() client.ObjectList { return &sluicev1.FreezeList{} }}},
		Rows: func(lists []client.ObjectList) follow.Rows {
			found, _ := lists[0].(*sluicev1.FreezeList) // what New makes
			return freezeRows(report.ListOf(found.Items, report.OfFreeze).Items, time.Now())
		},
	}
	cmd := &cobra.Command{
		Use:     "freezes [NAME]",
		Aliases: []string{"freeze"},
		Short:   "List freezes, and whether they stop pipelines now",
		Long: `List the freezes of the cluster: whether each is in force, by which window and until
when, how many pipelines it selects, and why.`,
		Example: `  sluice get freezes`,
	}
	l.Register(cmd)
	return cmd
}

func freezeRows(freezes []report.Freeze, now time.Time) follow.Rows {
	rows := follow.Rows{Table: output.Table{
		Columns: []string{"NAME", "ACTIVE", "WINDOW", "CHANGES IN", "PIPELINES", "STAGES", "REASON", "READY", "MESSAGE"},
		Short:   8,
	}}
	for _, f := range freezes {
		changes := ""
		if f.NextChange != nil {
			changes = output.Ago(now, *f.NextChange)
		}
		rows.Add(f, "freeze."+sluicev1.GroupVersion.Group+"/"+f.Name, f.Name, strconv.FormatBool(f.Active), f.Window, changes,
			strconv.Itoa(f.Pipelines), cmp.Or(strings.Join(f.Stages, ","), "all"), f.Reason, f.Ready, f.Message)
	}
	return rows
}
