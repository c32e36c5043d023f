// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// Listing is what commands share that list objects of a cluster.
type Listing struct {
	Cluster *Cluster
	Output  output.Flags
	// Clusterwide means that the objects are of no namespace.
	Clusterwide bool
	// Several means that rows are of several namespaces, which they say.
	Several bool
	all     bool
}

// ErrNamedOfAll is the error of naming one object of all namespaces.
var ErrNamedOfAll = errors.New("a NAME is of one namespace: leave out -A, and choose it with -n")

// Register adds the flags to a command.
func (l *Listing) Register(cmd *cobra.Command) {
	if !l.Clusterwide {
		cmd.Flags().BoolVarP(&l.all, "all-namespaces", "A", false, "list the objects of all namespaces")
	}
	l.Output.Register(cmd)
}

// All reports whether the objects of all namespaces are listed.
func (l *Listing) All() bool { return l.all }

// Connect returns a client, and the options that say where to list. Args are the names
// on the command line.
func (l *Listing) Connect(args []string) (client.WithWatch, []client.ListOption, error) {
	if l.all && len(args) > 0 {
		return nil, nil, ErrNamedOfAll
	}
	if err := l.Output.Validate(); err != nil {
		return nil, nil, err
	}
	c, err := l.Cluster.Client()
	if err != nil || l.all || l.Clusterwide {
		return c, nil, err
	}
	ns, err := l.Cluster.Namespace()
	return c, []client.ListOption{client.InNamespace(ns)}, err
}

// List lists objects. The error names their kind.
func List(ctx context.Context, c client.Client, into client.ObjectList, where ...client.ListOption) error {
	if err := c.List(ctx, into, where...); err != nil {
		return ListError(c, into, err)
	}
	return nil
}

// ListError is the error of a list, with the kind.
func ListError(c client.Client, of client.ObjectList, err error) error {
	gvk, _ := c.GroupVersionKindFor(of) // only for the message
	if IsUnserved(err) {
		return unserved(strings.TrimSuffix(gvk.Kind, "List"))
	}
	return fmt.Errorf("listing %s: %w", gvk.Kind, err)
}

// Print prints the list, or says that it is empty.
func (l *Listing) Print(cmd *cobra.Command, t output.Table, list any) error {
	if t.Len() == 0 && l.Output.Format() != output.JSON && l.Output.Format() != output.YAML {
		if l.Clusterwide {
			output.Note(cmd, "nothing found")
		} else {
			output.Note(cmd, "nothing found; -A lists all namespaces")
		}
		return nil
	}
	if !l.all && !l.Several && t.HasNamespaces() {
		t = t.Without(0)
	}
	return l.Output.Print(cmd.OutOrStdout(), t, list)
}
