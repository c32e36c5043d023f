// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/report"
)

// getCommand is `sluice canary get`.
func getCommand(c *cluster.Cluster) *cobra.Command {
	cmd := GetCommand(c)
	cmd.Use, cmd.Aliases = "get [NAME]", []string{"list"}
	cmd.Example = `  sluice canary get -A
  sluice canary get podinfo -n apps -o yaml`
	return cmd
}

// GetCommand is `sluice get canaries`.
func GetCommand(c *cluster.Cluster) *cobra.Command {
	l := &listing{cluster.Listing{Cluster: c}, clock.RealClock{}}
	cmd := &cobra.Command{
		Use:     "canaries [NAME]",
		Aliases: []string{"canary"},
		Short:   "List canaries with the release that each is about",
		Long: `List canaries: the phase, the canary's percentage of the users, the image that is
tried or was tried last, the step of the analysis, the failed checks of those that
roll back, what holds the release, and for how long it has been so; then whether the
canary is ready, and its message. sluice canary describe says what was measured.`,
		Example: `  sluice get canaries -A
  sluice get canaries podinfo -n apps -o yaml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.Complete(newList),
		RunE:              l.run,
	}
	l.Register(cmd)
	return cmd
}

type listing struct {
	cluster.Listing
	clock clock.PassiveClock
}

func (l *listing) run(cmd *cobra.Command, args []string) error {
	var found flaggerv1.CanaryList
	if err := l.Find(cmd, args, &flaggerv1.Canary{}, &found); err != nil {
		return err
	}
	canaries := report.ListOf(found.Items, report.OfCanary)
	return l.Print(cmd, table(canaries.Items, l.clock.Now()), canaries)
}
