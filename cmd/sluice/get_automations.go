package main

import (
	"fmt"
	"strconv"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// automation is what the last run of an automation found and did.
type automation struct {
	Namespace string                   `json:"namespace"`
	Name      string                   `json:"name"`
	Source    string                   `json:"source"`
	Revision  string                   `json:"revision,omitempty"`
	Commit    string                   `json:"commit,omitempty"`
	Markers   *imagev1.MarkerCounts    `json:"markers,omitempty"`
	Held      []imagev1.HeldUpdate     `json:"held,omitempty"`
	Written   imagev1.ObservedPolicies `json:"written,omitempty"`
	Suspended bool                     `json:"suspended,omitempty"`
	Ready     string                   `json:"ready"`
	Message   string                   `json:"message,omitempty"`
}

func getAutomationsCommand(cluster *kube) *cobra.Command {
	l := &listing{cluster: cluster}
	cmd := &cobra.Command{
		Use:     "automations",
		Aliases: []string{"automation", "iua"},
		Short:   "List automations with the state of their markers",
		Long: `List automations: how many markers their files have, how many of them are
current, held or without effect, and the last commit. sluice explain automation
names each one.`,
		Example: `  sluice get automations -A`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return l.automations(cmd) },
	}
	l.register(cmd)
	return cmd
}

func (l *listing) automations(cmd *cobra.Command) error {
	c, where, err := l.connect()
	if err != nil {
		return err
	}
	var found imagev1.ImageUpdateAutomationList
	if err := list(cmd, c, &found, where); err != nil {
		return err
	}
	items := []automation{}
	t := table{columns: []string{
		"NAMESPACE", "NAME", "MARKERS", "CURRENT", "HELD", "SKIPPED", "COMMIT", "READY", "SUSPENDED",
		"SOURCE", "REVISION", "MESSAGE"}, wide: 9}
	for i := range found.Items {
		a := automationOf(&found.Items[i])
		items = append(items, a)
		t.add(a.row()...)
	}
	return l.print(cmd, t, items)
}

func automationOf(a *imagev1.ImageUpdateAutomation) automation {
	found := automation{
		Namespace: a.Namespace, Name: a.Name, Source: a.Spec.SourceRef.String(),
		Revision: a.Status.ObservedSourceRevision, Commit: a.Status.LastPushCommit,
		Markers: a.Status.Markers, Held: a.Status.Held, Written: a.Status.ObservedPolicies,
		Suspended: a.Spec.Suspend, Ready: "Unknown",
	}
	if ready := apimeta.FindStatusCondition(a.Status.Conditions, meta.ReadyCondition); ready != nil {
		found.Ready, found.Message = string(ready.Status), ready.Message
	}
	return found
}

func (a automation) row() []string {
	total, current, held, skipped := "", "", "", ""
	if m := a.Markers; m != nil {
		n := 0
		for _, s := range m.Skipped {
			n += s.Count
		}
		total, current, held, skipped = strconv.Itoa(m.Total), strconv.Itoa(m.Current), strconv.Itoa(m.Held), strconv.Itoa(n)
	}
	return []string{
		a.Namespace, a.Name, total, current, held, skipped, short(a.Commit), a.Ready, fmt.Sprint(a.Suspended),
		a.Source, a.Revision, a.Message,
	}
}
