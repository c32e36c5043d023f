package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// listing is what the commands below `sluice get` share.
type listing struct {
	cluster *kube
	output  output
	all     bool
}

func getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get",
		Short: "List what kubectl cannot show in one table",
		Args:  cobra.NoArgs,
		RunE:  showHelp,
	}
	cluster := addKube(cmd)
	cmd.AddCommand(getImagesCommand(cluster), getAutomationsCommand(cluster), getCanariesCommand(cluster))
	return cmd
}

func (l *listing) register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&l.all, "all-namespaces", "A", false, "list the objects of all namespaces")
	l.output.register(cmd)
}

// connect returns a client, and where to list.
func (l *listing) connect() (client.Client, []client.ListOption, error) {
	if err := l.output.validate(); err != nil {
		return nil, nil, err
	}
	c, err := l.cluster.client()
	if err != nil || l.all {
		return c, nil, err
	}
	ns, err := l.cluster.namespace()
	return c, []client.ListOption{client.InNamespace(ns)}, err
}

// list reads objects, and names the kind when it cannot.
func list(cmd *cobra.Command, c client.Client, into client.ObjectList, where []client.ListOption) error {
	if err := c.List(cmd.Context(), into, where...); err != nil {
		gvk, _ := c.GroupVersionKindFor(into) // only for the message
		return fmt.Errorf("listing %s: %w", gvk.Kind, err)
	}
	return nil
}

// print is the listing, or that there is nothing.
func (l *listing) print(cmd *cobra.Command, t table, items any) error {
	if len(t.rows) == 0 && (l.output.format == asTable || l.output.format == asWide) {
		note(cmd, "nothing found; -A lists all namespaces")
		return nil
	}
	if !l.all && t.columns[0] == "NAMESPACE" {
		t = t.without(0)
	}
	return l.output.print(cmd.OutOrStdout(), t, struct {
		Items any `json:"items"`
	}{items})
}
