// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// TreeCommand is `sluice tree`.
func TreeCommand(version string) *cobra.Command {
	var flags output.Flags
	known := strings.Join(plurals(func(kind) bool { return true }), ", ")
	cmd := &cobra.Command{
		Use: "tree KIND NAME", Short: "Print what hangs below an object",
		Long: `Print what hangs below an object:

  a Kustomization     what it has applied, and what Kustomizations and Canaries among that have
  a source            the ArtifactGenerators that copy of it and the Kustomizations that are built
                      from it, and what they have
  a Canary            its target, and what it has made beside it
  a Pipeline          its artifacts, and its stages with the objects that judge them
  an automation       the repository that it writes to, and the policies whose choices it writes
  an ImagePolicy      its ImageRepository
  an ImageRepository  the policies that choose of it
  a Receiver, Alert   the objects that it is about, and the Provider

What hangs below an object that is there more than once is shown at the first. The
other way, from any object to where it comes from, is sluice trace.

KIND is one of ` + known + `,
or its singular or short name, or as in Flux's CLI: source git, image policy. KIND/NAME
will do.`,
		Example: `  sluice tree kustomization flux-system -n flux-system
  sluice tree source git fleet -n flux-system
  sluice tree pipeline/shop -n apps -o yaml`,
	}
	c := cluster.AddFlags(cmd, version)
	flags.Register(cmd)
	cmd.ValidArgsFunction = complete(c, func(kind) bool { return true })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := flags.Validate(); err != nil {
			return err
		}
		k, names, err := kindAndNames(cmd, args, known)
		if err != nil {
			return err
		}
		if len(names) > 1 {
			return fmt.Errorf("%s is about one object: leave out %s", cmd.CommandPath(), strings.Join(names[1:], ", "))
		}
		tree, err := readTree(cmd, c, k, names[0])
		switch {
		case err != nil:
			return err
		case flags.IsTable():
			return printTree(cmd.OutOrStdout(), tree)
		}
		return flags.Print(cmd.OutOrStdout(), treeNames(tree), tree)
	}
	return cmd
}

// readTree reads an object with what hangs below it, and notes what could not be read of that.
func readTree(cmd *cobra.Command, c *cluster.Cluster, k kind, name string) (report.TreeNode, error) {
	object := k.object()
	reader, err := c.Find(cmd.Context(), name, object)
	if err != nil {
		return report.TreeNode{}, err
	}
	builder := newTreeBuilder(reader)
	tree, err := builder.node(cmd.Context(), object.GroupVersionKind().GroupKind(), client.ObjectKeyFromObject(object))
	if err != nil {
		return tree, err
	}
	for _, err := range builder.skipped {
		output.Note(cmd, "left out: %v", err)
	}
	return tree, nil
}

// printTree prints a tree for people.
func printTree(w io.Writer, root report.TreeNode) error {
	_, err := fmt.Fprintln(w, treeLine(root))
	return errors.Join(err, printBelow(w, root.Below, ""))
}

func printBelow(w io.Writer, nodes []report.TreeNode, indent string) error {
	for i, node := range nodes {
		branch, below := "├── ", "│   "
		if i == len(nodes)-1 {
			branch, below = "└── ", "    "
		}
		if _, err := fmt.Fprintln(w, indent+branch+treeLine(node)); err != nil {
			return err
		}
		if err := printBelow(w, node.Below, indent+below); err != nil {
			return err
		}
	}
	return nil
}

// treeLine is Kind/namespace/name, as events and Flux's CLI have it, and the note.
func treeLine(node report.TreeNode) string {
	subject := node.Kind + "/" + node.Name
	if node.Namespace != "" {
		subject = node.Kind + "/" + node.Namespace + "/" + node.Name
	}
	if node.Note != "" {
		subject += "  " + node.Note
	}
	return output.Clean(subject)
}

// treeNames are all objects of a tree, each once, for -o name.
func treeNames(root report.TreeNode) output.Table {
	var t output.Table
	known := map[string]bool{}
	var add func(report.TreeNode)
	add = func(node report.TreeNode) {
		if id := node.Group + "/" + node.Kind + "/" + node.Namespace + "/" + node.Name; node.Kind != stageNode && !known[id] {
			known[id] = true
			t.Add(kind{GroupVersionKind: groupKind(node.Group, node.Kind).WithVersion("")}.name(node.Name))
		}
		for _, below := range node.Below {
			add(below)
		}
	}
	add(root)
	return t
}
