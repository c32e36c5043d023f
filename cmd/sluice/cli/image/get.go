// SPDX-License-Identifier: Apache-2.0

// Package image lists images on their way from the registry to Git.
package image

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

type listing struct{ cluster.Listing }

// GetCommand is `sluice get images`.
func GetCommand(c *cluster.Cluster) *cobra.Command {
	l := &listing{cluster.Listing{Cluster: c}}
	cmd := &cobra.Command{
		Use:     "images",
		Aliases: []string{"image"},
		Short:   "List images from their tags to the commit that writes them",
		Long: `List the image of every policy: how many tags there are, the best one by the
policy's order, the one that was chosen, the one that an automation has written to
Git, and its last commit; sluice get pipelines has what pipelines write. BEST and CHOSEN differ while the best tag is too young,
rejected or not signed: sluice explain policy says which.`,
		Example: `  sluice get images -A
  sluice get images -n apps -o wide`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd) },
	}
	l.Register(cmd)
	return cmd
}

func (l *listing) run(cmd *cobra.Command) error {
	c, where, err := l.Connect(nil)
	if err != nil {
		return err
	}
	var policies imagev1.ImagePolicyList
	var automations imagev1.ImageUpdateAutomationList
	var repositories imagev1.ImageRepositoryList
	for _, into := range []client.ObjectList{&policies, &automations, &repositories} {
		if err := cluster.List(cmd.Context(), c, into, where...); err != nil {
			return err
		}
	}
	images := report.Images(policies.Items, repositories.Items, automations.Items)
	return l.Print(cmd, table(images.Items), images)
}

func table(images []report.Image) output.Table {
	t := output.Table{Columns: []string{
		"NAMESPACE", "POLICY", "IMAGE", "TAGS", "BEST", "CHOSEN", "WRITTEN", "COMMIT", "READY",
		"LAST SCAN", "AUTOMATION", "DIGEST", "MESSAGE"}, Short: 9, Also: []int{12}}
	for _, i := range images {
		scanned := ""
		if i.LastScan != nil {
			scanned = output.Ago(*i.LastScan, time.Now()) + " ago"
		}
		t.Add("imagepolicy."+imagev1.GroupVersion.Group+"/"+i.Policy,
			i.Namespace, i.Policy, i.Image, strconv.Itoa(i.Tags), i.Best, i.Chosen, i.Written, report.Short(i.Commit), i.Ready,
			scanned, i.Automation, i.Digest, i.Message)
	}
	return t
}
