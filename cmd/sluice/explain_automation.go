package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback"
)

// explainAutomation is `sluice explain automation`.
type explainAutomation struct {
	cluster *kube
	output  output
	dir     string
}

func explainAutomationCommand(cluster *kube) *cobra.Command {
	e := &explainAutomation{cluster: cluster}
	cmd := &cobra.Command{
		Use:     "automation NAME",
		Aliases: []string{"imageupdateautomation", "iua"},
		Short:   "Say what becomes of every marker in the files of an automation",
		Long: `List every marker below spec.update.path of an automation: where it is, which
policy it names, the value in the file, the value that the policy stands for, and
why the marker has no effect if it has none.

The files are those of the branch that the automation reads, fetched with the
credentials of the GitRepository, or those of a local checkout with --dir.
Nothing is written anywhere.`,
		Example: `  sluice explain automation fleet -n apps
  sluice explain automation fleet -n apps --dir . -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cluster.complete(automations),
		RunE:              e.run,
	}
	cmd.Flags().StringVar(&e.dir, "dir", "", "read the files of this local checkout instead of the repository")
	_ = cmd.MarkFlagDirname("dir") // the flag exists
	e.output.register(cmd)
	return cmd
}

func (e *explainAutomation) run(cmd *cobra.Command, args []string) error {
	if err := e.output.validate(); err != nil {
		return err
	}
	c, err := e.cluster.client()
	if err != nil {
		return err
	}
	var a imagev1.ImageUpdateAutomation
	if err := e.cluster.get(cmd.Context(), c, args[0], &a); err != nil {
		return err
	}
	known, err := surveyPolicies(cmd.Context(), c, &a)
	if err != nil {
		return err
	}
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
	markers := markersOf(p.Report, isOutdated)
	note(cmd, "%d markers at %s: %d current, %d outdated, %d skipped", len(markers), revision,
		count(markers, isCurrent), count(markers, isOutdated), count(markers, isSkipped))
	return e.output.print(cmd.OutOrStdout(), markerTable(markers, "CURRENT", "WANTED"), struct {
		Namespace  string   `json:"namespace"`
		Automation string   `json:"automation"`
		Revision   string   `json:"revision"`
		Markers    []marker `json:"markers"`
	}{a.Namespace, a.Name, revision, markers})
}

// files opens what is to be read: the local directory, or the commit.
func (e *explainAutomation) files(cmd *cobra.Command, c client.Client, a *imagev1.ImageUpdateAutomation) (writeback.Files, string, func(), error) {
	if e.dir == "" {
		return fetchFiles(cmd, c, a)
	}
	dir, err := writeback.OpenDirectory(e.dir)
	if err != nil {
		return nil, "", nil, fmt.Errorf("--dir: %w", err)
	}
	return dir, e.dir, func() { _ = dir.Close() }, nil
}
