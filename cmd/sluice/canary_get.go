package main

import (
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// canaryGetCommand is `sluice canary get`.
func canaryGetCommand(cluster *kube) *cobra.Command {
	cmd := getCanariesCommand(cluster)
	cmd.Use, cmd.Aliases = "get [NAME]", []string{"list"}
	cmd.Example = `  sluice canary get -A
  sluice canary get podinfo -n apps -o yaml`
	return cmd
}

// getCanariesCommand is `sluice get canaries`.
func getCanariesCommand(cluster *kube) *cobra.Command {
	l := &listing{cluster: cluster}
	cmd := &cobra.Command{
		Use:     "canaries [NAME]",
		Aliases: []string{"canary"},
		Short:   "List canaries with the release that each is about",
		Long: `List canaries: the phase, the canary's percentage of the users, the image that is
tried or was tried last, the step of the analysis, the failed checks of those that
roll back, what holds the release, and for how long it has been so.
sluice canary describe says what was measured.`,
		Example: `  sluice get canaries -A
  sluice get canaries podinfo -n apps -o yaml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cluster.complete(canaries),
		RunE:              l.canaries,
	}
	l.register(cmd)
	return cmd
}

func (l *listing) canaries(cmd *cobra.Command, args []string) error {
	if l.all && len(args) > 0 {
		return errNamedOfAll
	}
	c, where, err := l.connect()
	if err != nil {
		return err
	}
	var found flaggerv1.CanaryList
	if err := l.find(cmd, c, where, args, &found); err != nil {
		return err
	}
	items, t := []standing{}, canaryTable()
	for i := range found.Items {
		s := standingOf(&found.Items[i])
		items = append(items, s)
		t.add(s.row()...)
	}
	return l.print(cmd, t, items)
}

// find lists all canaries, or reads the one that the arguments name.
func (l *listing) find(cmd *cobra.Command, c client.Client, where []client.ListOption, args []string, into *flaggerv1.CanaryList) error {
	if len(args) == 0 {
		return list(cmd, c, into, where)
	}
	into.Items = make([]flaggerv1.Canary, 1)
	return l.cluster.get(cmd.Context(), c, args[0], &into.Items[0])
}
