// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
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
	l := &follow.Listing{
		Listing: cluster.Listing{Cluster: c}, Kinds: []follow.Kind{{New: newList}},
		Rows: func(lists []client.ObjectList) follow.Rows {
			found, _ := lists[0].(*flaggerv1.CanaryList) // what newList makes
			return rows(report.ListOf(found.Items, report.OfCanary).Items, time.Now())
		},
	}
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
	}
	l.Register(cmd)
	return cmd
}
