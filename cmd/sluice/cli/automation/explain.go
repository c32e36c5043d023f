// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/markers"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/writeback"
)

// explanation is `sluice explain automation`.
type explanation struct {
	cluster *cluster.Cluster
	output  output.Flags
	dir     string
}

// ExplainCommand is `sluice explain automation`.
func ExplainCommand(c *cluster.Cluster) *cobra.Command {
	e := &explanation{cluster: c}
	cmd := &cobra.Command{
		Use:     "automation NAME",
		Aliases: []string{"imageupdateautomation", "iua"},
		Short:   "Say what becomes of every marker in the files of an automation",
		Long: `List every marker below spec.update.path of an automation: where it is, which
policy it names, the value in the file, the value that the policy stands for, and
why the marker has no effect if it has none.

The files are those of the branch that the automation reads, fetched with the
credentials of the GitRepository, or those of a local checkout with --dir.
Nothing is written anywhere.

Of an automation that proposes by pull request it also says where that stands, and
what it waits for.`,
		Example: `  sluice explain automation fleet -n apps
  sluice explain automation fleet -n apps --dir . -o json`,
		Args:              usage.OneName("sluice get automations"),
		ValidArgsFunction: c.Complete(newList),
		RunE:              e.run,
	}
	cmd.Flags().StringVar(&e.dir, "dir", "", "read the files of this local checkout instead of the repository")
	_ = cmd.MarkFlagDirname("dir") // the flag exists
	e.output.Register(cmd)
	return cmd
}

func (e *explanation) run(cmd *cobra.Command, args []string) error {
	var a imagev1.ImageUpdateAutomation
	c, err := e.cluster.FindToPrint(cmd, &e.output, args[0], &a)
	if err != nil {
		return err
	}
	if refusal := report.Refusal(a.Status.Conditions); refusal != "" {
		output.Note(cmd, "ImageUpdateAutomation %s: %s", a.Name, refusal)
	}
	known, err := policiesOf(cmd.Context(), c, &a)
	if err != nil {
		return err
	}
	known.Owners = ownersOf(cmd, c, &a)
	files, revision, closeFiles, err := e.files(cmd, c, &a)
	if err != nil {
		return err
	}
	defer closeFiles()
	path := ""
	if a.Spec.Update != nil {
		path = a.Spec.Update.Path
	}
	p, err := writeback.Plan(cmd.Context(), files, path, known)
	if err != nil {
		return fmt.Errorf("looking for the markers of ImageUpdateAutomation %s/%s: %w", a.Namespace, a.Name, err)
	}
	found := report.AutomationMarkers{
		Namespace: a.Namespace, Automation: a.Name, Revision: revision,
		PullRequest: a.Status.PullRequest, Markers: markersOf(&a, p.Report),
	}
	explainPullRequest(cmd, &a)
	output.Note(cmd, "%d markers at %s: %d current, %d outdated, %d held, %d skipped", len(found.Markers), revision,
		report.CountMarkers(found.Markers, report.MarkerCurrent), report.CountMarkers(found.Markers, report.MarkerOutdated),
		report.CountMarkers(found.Markers, report.MarkerHeld), report.CountMarkers(found.Markers, report.MarkerSkipped))
	return e.output.Print(cmd.OutOrStdout(), markers.Table(found.Markers, "CURRENT", "WANTED"), found)
}

// explainPullRequest says where the pull request of an automation stands.
func explainPullRequest(cmd *cobra.Command, a *imagev1.ImageUpdateAutomation) {
	pr := a.Status.PullRequest
	if pr == nil {
		return
	}
	output.Note(cmd, "pull request #%d is %s: %s", pr.Number, pr.State, pr.URL)
	if about := report.AboutPullRequest(pr); about != "" {
		output.Note(cmd, "%s", about)
	}
}

// markersOf reports every marker, with the commit that reverted it where one did.
func markersOf(a *imagev1.ImageUpdateAutomation, found writeback.Report) []report.Marker {
	reports := markers.Reports(markers.FromReport(found, report.MarkerOutdated))
	for i, m := range reports {
		for _, held := range a.Status.Held {
			if m.Why == string(writeback.Reverted) && m.Policy() == held.Policy {
				reports[i].Why = report.WhyHeld(a, held)
			}
		}
	}
	return reports
}

// files opens what is to be read: the local directory, or the commit.
func (e *explanation) files(
	cmd *cobra.Command, c client.Client, a *imagev1.ImageUpdateAutomation,
) (writeback.Files, string, func(), error) {
	if e.dir == "" {
		return checkOutFiles(cmd, c, a)
	}
	dir, err := writeback.OpenDirectory(e.dir)
	if err != nil {
		return nil, "", nil, fmt.Errorf("--dir: %w", err)
	}
	return dir, e.dir, func() { _ = dir.Close() }, nil
}
