// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"fmt"
	"io"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
)

// TreeCommand is `sluice tree kustomization`.
func TreeCommand(c *cluster.Cluster) *cobra.Command {
	return &cobra.Command{
		Use:     "kustomization NAME",
		Aliases: []string{"kustomizations", "ks"},
		Short:   "Print what a Kustomization has applied, and what those have that are among it",
		Example: `  sluice tree kustomization flux-system -n flux-system`,
		Args:    usage.OneName("sluice get kustomizations"), ValidArgsFunction: c.Complete(newList),
		RunE: func(cmd *cobra.Command, args []string) error {
			k := &kustomizev1.Kustomization{}
			reader, err := c.Find(cmd.Context(), args[0], k)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if _, err := fmt.Fprintln(out, output.Clean("Kustomization/"+k.Namespace+"/"+k.Name)); err != nil {
				return err
			}
			return (&treePrinter{cmd: cmd, reader: reader, out: out, above: map[client.ObjectKey]bool{}}).print(k, "")
		},
	}
}

// treePrinter prints inventories, and those of the Kustomizations in them.
type treePrinter struct {
	cmd    *cobra.Command
	reader client.Reader
	out    io.Writer
	above  map[client.ObjectKey]bool // on the way from the root: one of them would have no end
}

func (p *treePrinter) print(k *kustomizev1.Kustomization, indent string) error {
	if k.Status.Inventory == nil {
		return nil
	}
	key := client.ObjectKeyFromObject(k)
	p.above[key] = true
	defer delete(p.above, key)
	entries := k.Status.Inventory.Entries
	for i, entry := range entries {
		branch, below := "├── ", "│   "
		if i == len(entries)-1 {
			branch, below = "└── ", "    "
		}
		id, err := inventory.Parse(entry.ID)
		subject := id.Subject()
		if err != nil {
			subject = entry.ID
		}
		if _, err := fmt.Fprintln(p.out, indent+branch+output.Clean(subject)); err != nil {
			return err
		}
		if err := p.below(id, indent+below); err != nil {
			return err
		}
	}
	return nil
}

// below prints the inventory of an entry that is a Kustomization itself.
func (p *treePrinter) below(id inventory.ID, indent string) error {
	key := client.ObjectKey{Namespace: id.Namespace, Name: id.Name}
	if id.Group != profile.Owners.Group || id.Kind != profile.Owners.Kind || p.above[key] {
		return nil
	}
	k := &kustomizev1.Kustomization{}
	if err := p.reader.Get(p.cmd.Context(), key, k); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("reading Kustomization %s: %w", key, err)
	}
	return p.print(k, indent)
}
