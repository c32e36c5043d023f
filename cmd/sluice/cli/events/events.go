// SPDX-License-Identifier: Apache-2.0

// Package events lists the events of the objects that are served.
package events

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// listing is `sluice events`.
type listing struct {
	follow.Listing
	object string
	types  []string
}

// Command is `sluice events` of a program of the given version.
func Command(version string) *cobra.Command {
	l := &listing{}
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List what happened to objects, the latest last",
		Long: `List what happened to objects, the latest last, as far as the API server still has it:
events are kept for an hour. Without --for they are those of all kinds that are served.`,
		Example: `  sluice events -A --types Warning
  sluice events --for Canary/podinfo -n apps --watch`,
	}
	l.Listing = follow.Listing{
		Listing: cluster.Listing{Cluster: cluster.AddFlags(cmd, version)},
		Kinds:   []follow.Kind{{New: func() client.ObjectList { return &corev1.EventList{} }}},
		Rows: func(lists []client.ObjectList) follow.Rows {
			found, _ := lists[0].(*corev1.EventList) // what New makes
			return l.rows(found.Items, time.Now())
		},
	}
	l.Register(cmd)
	cmd.Args, cmd.ValidArgsFunction = cobra.NoArgs, nil
	cmd.PreRunE = func(*cobra.Command, []string) error { return l.validate() }
	set := cmd.Flags()
	_ = set.MarkHidden("selector") // events have no labels
	set.StringVar(&l.object, "for", "", "object that they happened to, as KIND/NAME")
	set.StringSliceVar(&l.types, "types", nil, "types of events: Normal, Warning; default: both")
	return cmd
}

func (l *listing) validate() error {
	if kind, name, pair := strings.Cut(l.object, "/"); l.object != "" && (!pair || kind == "" || name == "") {
		return fmt.Errorf("--for %s: want KIND/NAME, as in Canary/podinfo", l.object)
	}
	for _, name := range l.types {
		if !strings.EqualFold(name, corev1.EventTypeNormal) && !strings.EqualFold(name, corev1.EventTypeWarning) {
			return fmt.Errorf("--types %s: known: %s, %s", name, corev1.EventTypeNormal, corev1.EventTypeWarning)
		}
	}
	return nil
}

// groups are those of the kinds that are served; one that begins with a dot is any below it.
var groups = []string{".toolkit.fluxcd.io", "flagger.app", "sluice.dev"}

// wanted reports whether an event is among those that were asked for.
func (l *listing) wanted(e *corev1.Event) bool {
	if len(l.types) > 0 && !slices.ContainsFunc(l.types, func(name string) bool { return strings.EqualFold(name, e.Type) }) {
		return false
	}
	if kind, name, named := strings.Cut(l.object, "/"); named {
		return strings.EqualFold(e.InvolvedObject.Kind, kind) && e.InvolvedObject.Name == name
	}
	group := e.InvolvedObject.GroupVersionKind().Group
	return slices.ContainsFunc(groups, func(of string) bool {
		return group == of || strings.HasPrefix(of, ".") && strings.HasSuffix(group, of)
	})
}

func (l *listing) rows(events []corev1.Event, now time.Time) follow.Rows {
	rows := follow.Rows{Table: output.Table{
		Columns: []string{"NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "TIMES", "MESSAGE"}, Short: 5, Also: []int{6}}}
	type named struct {
		name string
		report.TimelineEvent
	}
	var found []named
	for _, e := range events {
		if !l.wanted(&e) {
			continue
		}
		of := e.InvolvedObject
		found = append(found, named{e.Name, report.TimelineEvent{
			Event:           report.Events([]corev1.Event{e})[0],
			ObjectReference: report.ObjectReference{Kind: of.Kind, Namespace: e.Namespace, Name: of.Name},
		}})
	}
	slices.SortStableFunc(found, func(a, b named) int { return a.Time.Compare(b.Time) })
	for _, e := range found {
		rows.Add(e.TimelineEvent, "event/"+e.name, e.Namespace, output.Ago(e.Time, now), e.Type, e.Reason,
			e.Kind+"/"+e.Name, strconv.Itoa(e.Count), e.Message)
	}
	return rows
}
