// SPDX-License-Identifier: Apache-2.0

// Package automation has the commands about ImageUpdateAutomations:
//
//	get       list them with their last push
//	explain   say for each marker in the files of one which image it gets, and why not another
//	release   have an update written that a person had reverted, and that is held since
//
// Files are read as the controller reads them, by package writeback.
package automation

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/report"
)

func newList() client.ObjectList { return &imagev1.ImageUpdateAutomationList{} }

// GetCommand is `sluice get automations`.
func GetCommand(c *cluster.Cluster) *cobra.Command {
	l := &follow.Listing{
		Listing: cluster.Listing{Cluster: c}, Kinds: []follow.Kind{{New: newList}},
		Rows: func(lists []client.ObjectList) follow.Rows {
			found, _ := lists[0].(*imagev1.ImageUpdateAutomationList) // what newList makes
			return rows(report.ListOf(found.Items, report.OfAutomation).Items)
		},
	}
	cmd := &cobra.Command{
		Use:     "automations [NAME]",
		Aliases: []string{"automation", "iua", "imageupdateautomations", "imageupdateautomation"},
		Short:   "List automations with the state of their markers",
		Long: `List automations: how many markers their files have, how many of them are
current, held or without effect, and the last commit. sluice explain automation
names each one. With -o wide also the last pull request, if the automation opens
any.`,
		Example: `  sluice get automations -A`,
	}
	l.Register(cmd)
	return cmd
}

func rows(automations []report.Automation) follow.Rows {
	rows := follow.Rows{Table: output.Table{Columns: []string{
		"NAMESPACE", "NAME", "MARKERS", "CURRENT", "HELD", "SKIPPED", "COMMIT", "READY", "SUSPENDED",
		"SOURCE", "REVISION", "PULL REQUEST", "MESSAGE"}, Short: 9, Also: []int{12}}}
	for _, a := range automations {
		total, current, held, skipped := counts(a.Markers)
		rows.Add(a, "imageupdateautomation."+imagev1.GroupVersion.Group+"/"+a.Name,
			a.Namespace, a.Name, total, current, held, skipped, shorten.Commit(a.Commit), a.Ready, fmt.Sprint(a.Suspended),
			a.Source, a.Revision, pullRequest(a.PullRequest), a.Message)
	}
	return rows
}

// pullRequest is the last pull request as a cell, empty if there is none.
func pullRequest(pr *imagev1.PullRequestStatus) string {
	if pr == nil {
		return ""
	}
	return fmt.Sprintf("#%d %s", pr.Number, pr.State)
}

// counts are numbers of markers as cells, empty before the first run.
func counts(m *imagev1.MarkerCounts) (total, current, held, skipped string) {
	if m == nil {
		return "", "", "", ""
	}
	n := 0
	for _, s := range m.Skipped {
		n += s.Count
	}
	return strconv.Itoa(m.Total), strconv.Itoa(m.Current), strconv.Itoa(m.Held), strconv.Itoa(n)
}
