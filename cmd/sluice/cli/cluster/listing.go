// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// Listing is what commands share that list objects of a cluster.
type Listing struct {
	Cluster *Cluster
	Output  output.Flags
	all     bool
}

// ErrNamedOfAll is the error of naming one object of all namespaces.
var ErrNamedOfAll = errors.New("a NAME is of one namespace: leave out -A, and choose it with -n")

// Register adds the flags to a command.
func (l *Listing) Register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&l.all, "all-namespaces", "A", false, "list the objects of all namespaces")
	l.Output.Register(cmd)
}

// Connect returns a client, and the options that say where to list. Args are the names
// on the command line.
func (l *Listing) Connect(args []string) (client.Client, []client.ListOption, error) {
	if l.all && len(args) > 0 {
		return nil, nil, ErrNamedOfAll
	}
	if err := l.Output.Validate(); err != nil {
		return nil, nil, err
	}
	c, err := l.Cluster.Client()
	if err != nil || l.all {
		return c, nil, err
	}
	ns, err := l.Cluster.Namespace()
	return c, []client.ListOption{client.InNamespace(ns)}, err
}

// Find lists all objects, or reads the one that the argument names into named.
func (l *Listing) Find(cmd *cobra.Command, args []string, named client.Object, into client.ObjectList) error {
	c, where, err := l.Connect(args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return List(cmd.Context(), c, into, where...)
	}
	if err := l.Cluster.Get(cmd.Context(), c, args[0], named); err != nil {
		return err
	}
	return meta.SetList(into, []runtime.Object{named})
}

// List lists objects. The error names their kind.
func List(ctx context.Context, c client.Client, into client.ObjectList, where ...client.ListOption) error {
	if err := c.List(ctx, into, where...); err != nil {
		gvk, _ := c.GroupVersionKindFor(into) // only for the message
		if IsUnserved(err) {
			return unserved(strings.TrimSuffix(gvk.Kind, "List"))
		}
		return fmt.Errorf("listing %s: %w", gvk.Kind, err)
	}
	return nil
}

// Print prints the list, or says that it is empty.
func (l *Listing) Print(cmd *cobra.Command, t output.Table, list any) error {
	if t.Len() == 0 && l.Output.Format() != output.JSON && l.Output.Format() != output.YAML {
		output.Note(cmd, "nothing found; -A lists all namespaces")
		return nil
	}
	if !l.all && t.Columns[0] == "NAMESPACE" {
		t = t.Without(0)
	}
	return l.Output.Print(cmd.OutOrStdout(), t, list)
}
