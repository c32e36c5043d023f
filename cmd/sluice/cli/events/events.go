// SPDX-License-Identifier: Apache-2.0

// Package events is `sluice events`: the Kubernetes events of all kinds that Sluice serves, the latest last, or with --for those
// of one object and of the objects that it is made of, such as the source of a Kustomization.
package events

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	// about are the objects that --for is about. Without a name it is all of a kind.
	about []report.ObjectReference
}

// unselectable are flags of listings that say nothing of events.
var unselectable = []string{"selector", "status-selector"}

func newList() client.ObjectList { return &corev1.EventList{} }

// Command is `sluice events` of a program of the given version.
func Command(version string) *cobra.Command {
	l := &listing{}
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List what happened to objects, the latest last",
		Long: `List what happened to objects, the latest last, as far as the API server still has it:
events are kept for an hour. Without --for they are those of all kinds that are served.
With --for KIND/NAME they are those of an object, and of what it is made of, as in
Flux's CLI: the source of a Kustomization, a Pipeline or an automation, the source and
the chart of a HelmRelease, the ImageRepository of an ImagePolicy and the Provider of an
Alert. KIND is as for kubectl: kustomization, ks. With --for KIND they are those of all
objects of a kind.`,
		Example: `  sluice events -A --types Warning
  sluice events --for Canary/podinfo -n apps --watch`,
	}
	l.Listing = follow.Listing{
		Listing: cluster.Listing{Cluster: cluster.AddFlags(cmd, version)},
		Kinds:   []follow.Kind{{New: newList}},
		Rows: func(lists []client.ObjectList) follow.Rows {
			var all []corev1.Event
			for _, list := range lists {
				found, _ := list.(*corev1.EventList) // what New makes
				all = append(all, found.Items...)
			}
			return l.rows(all, time.Now())
		},
	}
	l.Register(cmd)
	cmd.Args, cmd.ValidArgsFunction = cobra.NoArgs, nil
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range unselectable {
			if cmd.Flags().Changed(name) {
				return fmt.Errorf("--%s: events have neither labels nor conditions: name the object with --for", name)
			}
		}
		if err := l.validate(); err != nil {
			return err
		}
		return l.resolve(cmd)
	}
	set := cmd.Flags()
	for _, name := range unselectable {
		_ = set.MarkHidden(name)
	}
	set.StringVar(&l.object, "for", "", "object that they happened to, as KIND/NAME, or all of a KIND")
	set.StringSliceVar(&l.types, "types", nil, "types of events: Normal, Warning; default: both")
	return cmd
}

func (l *listing) validate() error {
	if kind, name, pair := strings.Cut(l.object, "/"); l.object != "" && (kind == "" || pair && name == "") {
		return fmt.Errorf("--for %s: want KIND/NAME, as in Canary/podinfo, or KIND", l.object)
	}
	for _, name := range l.types {
		if !strings.EqualFold(name, corev1.EventTypeNormal) && !strings.EqualFold(name, corev1.EventTypeWarning) {
			return fmt.Errorf("--types %s: known: %s, %s", name, corev1.EventTypeNormal, corev1.EventTypeWarning)
		}
	}
	return nil
}

// resolve makes out what --for is about, and lists the events of all namespaces that it is in.
func (l *listing) resolve(cmd *cobra.Command) error {
	word, name, _ := strings.Cut(l.object, "/")
	if word == "" {
		return nil
	}
	gvk, err := l.Cluster.KindFor(word)
	if err != nil {
		return fmt.Errorf("--for %s: %w", l.object, err)
	}
	of := report.ObjectReference{Kind: gvk.Kind, Name: name}
	if name == "" {
		l.about = []report.ObjectReference{of}
		return nil
	}
	c, err := l.Cluster.Client()
	if err != nil {
		return err
	}
	objects, where := &unstructured.UnstructuredList{}, []client.ListOption{client.MatchingFields{"metadata.name": name}}
	objects.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if !l.All() {
		if of.Namespace, err = l.Cluster.Namespace(); err != nil {
			return err
		}
		where = append(where, client.InNamespace(of.Namespace))
	}
	l.about = []report.ObjectReference{of}
	if err := c.List(cmd.Context(), objects, where...); err != nil {
		output.Note(cmd, "events of what it is made of are left out: %v", err)
		return nil
	}
	for i := range objects.Items { // one that was deleted has events all the same
		object := &objects.Items[i]
		if object.GetNamespace() == "" { // of no namespace: its events are there
			l.addObject(report.ObjectReference{Kind: of.Kind, Namespace: metav1.NamespaceDefault, Name: name})
		}
		for _, ref := range report.ToldWith(object) {
			l.addObject(ref)
		}
	}
	return nil
}

// addObject adds an object whose events are told.
func (l *listing) addObject(ref report.ObjectReference) {
	listed := l.All() || slices.ContainsFunc(l.about, func(other report.ObjectReference) bool { return other.Namespace == ref.Namespace })
	if !listed {
		l.Kinds, l.Several = append(l.Kinds, follow.Kind{New: newList, Namespace: ref.Namespace}), true
	}
	l.about = append(l.about, ref)
}

// groups are those of the kinds that are served; one that begins with a dot is any below it.
var groups = []string{".toolkit.fluxcd.io", "flagger.app", "sluice.dev"}

// wanted reports whether an event is among those that were asked for.
func (l *listing) wanted(e *corev1.Event) bool {
	if len(l.types) > 0 && !slices.ContainsFunc(l.types, func(name string) bool { return strings.EqualFold(name, e.Type) }) {
		return false
	}
	if l.object != "" {
		of := e.InvolvedObject
		return slices.ContainsFunc(l.about, func(ref report.ObjectReference) bool {
			return ref.Kind == of.Kind && (ref.Name == "" || ref.Name == of.Name && (ref.Namespace == "" || ref.Namespace == e.Namespace))
		})
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
