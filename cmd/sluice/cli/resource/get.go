// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// GetCommands are `sluice get all`, those of each listing, and those of each kind that no other
// command lists.
func GetCommands() []func(*cluster.Cluster) *cobra.Command {
	commands := []func(*cluster.Cluster) *cobra.Command{
		getCommand("all", nil, "List objects of all kinds, with whether they are ready, and why not", kinds...),
		getSources,
		getCommand("kustomizations", []string{"kustomization", "ks"}, "List Kustomizations with the revision that each has applied",
			kindsOf("kustomizations")...),
		getCommand("receivers", []string{"receiver"}, "List Receivers with the path of their webhook", kindsOf("receivers")...),
		getCommand(alerts, []string{"alert"}, "List Alerts and the Providers that they go to", kindsOf(alerts)...),
	}
	for _, k := range kinds {
		if k.listing == sources || k.listing == "" || k.listing == alerts && k.plural != alerts {
			commands = append(commands, getKind(k))
		}
	}
	return commands
}

// getSources takes the forms of Flux's CLI as well: sluice get source git.
func getSources(c *cluster.Cluster) *cobra.Command {
	cmd := getCommand(sources, []string{"source"}, "List sources with the revision that each has", kindsOf(sources)...)(c)
	for _, k := range kindsOf(sources) {
		of := getKind(k)(c)
		of.Hidden = true // sluice get shows it
		cmd.AddCommand(of)
	}
	return cmd
}

// GetImageCommands are the forms of Flux's CLI below sluice get images: image policy, images all.
func GetImageCommands() []func(*cluster.Cluster) *cobra.Command {
	commands := []func(*cluster.Cluster) *cobra.Command{
		getCommand("all", nil, "List the objects about images, with whether they are ready, and why not", imageKinds()...),
	}
	for _, k := range imageKinds() {
		k.plural, k.aliases = k.image, []string{k.plural}
		commands = append(commands, getKind(k))
	}
	return commands
}

func getKind(k kind) func(*cluster.Cluster) *cobra.Command {
	plural := k.Kind + "s"
	if stem, is := strings.CutSuffix(k.Kind, "y"); is {
		plural = stem + "ies"
	}
	aliases := append([]string{strings.ToLower(k.Kind)}, k.aliases...)
	return getCommand(k.plural, aliases, "List "+plural+", with whether they are ready, and why not", k)
}

func getCommand(name string, aliases []string, short string, kinds ...kind) func(*cluster.Cluster) *cobra.Command {
	return func(c *cluster.Cluster) *cobra.Command {
		l := newListing(c, kinds)
		cmd := &cobra.Command{
			Use: name + " [NAME]", Aliases: aliases, Short: short,
			Long: short + `. Kinds that the cluster does not serve are left out.
With --watch it goes on with a line for each change, which in a terminal is cut at
its width.`,
			Example: fmt.Sprintf("  sluice get %[1]s -A\n  sluice get %[1]s -n apps -l team=web --watch", name),
		}
		l.Register(cmd)
		return cmd
	}
}

// newListing lists objects of some kinds.
func newListing(c *cluster.Cluster, kinds []kind) *follow.Listing {
	l := &follow.Listing{Listing: cluster.Listing{Cluster: c}, Optional: true}
	for _, k := range kinds {
		l.Kinds = append(l.Kinds, follow.Kind{New: func() client.ObjectList { return k.list() }})
	}
	l.Rows = func(lists []client.ObjectList) follow.Rows {
		rows := follow.Rows{Table: output.Table{Columns: []string{
			"NAMESPACE", "KIND", "NAME", "REVISION", "SUSPENDED", "READY", "REASON", "MESSAGE"}, Short: 7, Also: []int{7}}}
		for i, k := range kinds {
			found, _ := lists[i].(*unstructured.UnstructuredList) // what list makes
			for j := range found.Items {
				r := report.OfResource(&found.Items[j])
				rows.Add(r, k.name(r.Name), r.Namespace, r.Kind, r.Name, r.Revision, strconv.FormatBool(r.Suspended), r.Ready, r.Reason, r.Message)
			}
		}
		return rows
	}
	return l
}
