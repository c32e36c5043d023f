// SPDX-License-Identifier: Apache-2.0

// Package image is `sluice get images`: for each ImageRepository and its ImagePolicies the tags that were scanned, the tag
// that was chosen, and the commit that wrote it to Git.
package image

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/report"
)

// GetCommand is `sluice get images`.
func GetCommand(c *cluster.Cluster) *cobra.Command {
	l := &follow.Listing{
		Listing: cluster.Listing{Cluster: c},
		Kinds: []follow.Kind{
			{New: func() client.ObjectList { return &imagev1.ImagePolicyList{} }},
			{New: func() client.ObjectList { return &imagev1.ImageRepositoryList{} }, Beside: true},
			{New: func() client.ObjectList { return &imagev1.ImageUpdateAutomationList{} }, Beside: true},
		},
		Rows: func(lists []client.ObjectList) follow.Rows {
			policies, _ := lists[0].(*imagev1.ImagePolicyList) // what New makes
			repositories, _ := lists[1].(*imagev1.ImageRepositoryList)
			automations, _ := lists[2].(*imagev1.ImageUpdateAutomationList)
			return rows(report.Images(policies.Items, repositories.Items, automations.Items).Items, time.Now())
		},
	}
	cmd := &cobra.Command{
		Use:     "images [POLICY]",
		Aliases: []string{"image"},
		Short:   "List images from their tags to the commit that writes them",
		Long: `List the image of every policy: how many tags there are, the best one by the
policy's order, the one that was chosen, the one that an automation has written to
Git, and its last commit; sluice get pipelines has what pipelines write. BEST and
CHOSEN differ while the best tag is too young, rejected or not signed: sluice explain
policy says which. Names and labels are those of policies.

As in Flux's CLI, sluice get image repository, policy and update list the objects of
one kind, and sluice get images all those of all three.`,
		Example: `  sluice get images -A
  sluice get images -n apps -o wide
  sluice get image policy podinfo -n apps --watch`,
	}
	l.Register(cmd)
	return cmd
}

func rows(images []report.Image, now time.Time) follow.Rows {
	rows := follow.Rows{Table: output.Table{Columns: []string{
		"NAMESPACE", "POLICY", "IMAGE", "TAGS", "BEST", "CHOSEN", "WRITTEN", "COMMIT", "READY",
		"LAST SCAN", "AUTOMATION", "DIGEST", "MESSAGE"}, Short: 9, Also: []int{12}}}
	for _, i := range images {
		scanned := ""
		if i.LastScan != nil {
			scanned = output.Ago(*i.LastScan, now) + " ago"
		}
		rows.Add(i, "imagepolicy."+imagev1.GroupVersion.Group+"/"+i.Policy,
			i.Namespace, i.Policy, i.Image, strconv.Itoa(i.Tags), i.Best, i.Chosen, i.Written, shorten.Commit(i.Commit), i.Ready,
			scanned, i.Automation, i.Digest, i.Message)
	}
	return rows
}
