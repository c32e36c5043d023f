// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// Kind is one that a [Listing] reads.
type Kind struct {
	// New makes an empty list of it.
	New func() client.ObjectList
	// Beside means that no row is about an object of it: neither names nor labels select
	// from it.
	Beside bool
	// Namespace is where objects of it are listed; empty is where the listing is. One that may not be
	// looked into is left out.
	Namespace string
}

// Rows are what a [Listing] prints: rows of a table, and for each of them what programs are
// told. Where the table has a column NAMESPACE, it is the first one.
type Rows struct {
	Table output.Table
	Items []any
}

// Add adds a row.
func (r *Rows) Add(item any, name string, cells ...string) {
	r.Table.Add(name, cells...)
	r.Items = append(r.Items, item)
}

// Listing is what all commands share that list objects: they print a table, or go on with a
// line for each change.
type Listing struct {
	cluster.Listing
	// Kinds are what is read. Optional means that some of them may not be served.
	Kinds    []Kind
	Optional bool
	// Rows makes the rows of the objects of each of the kinds.
	Rows func(lists []client.ObjectList) Rows

	selector       string
	statusSelector string
	status         statusSelector // what that says
	headless       bool
	watch          bool
}

// Register adds the flags to a command, and has it run.
func (l *Listing) Register(cmd *cobra.Command) {
	l.Listing.Register(cmd)
	cmd.Flags().StringVarP(&l.selector, "selector", "l", "", "labels of the objects, such as team=web")
	cmd.Flags().StringVar(&l.statusSelector, "status-selector", "",
		"condition of the objects and its status, such as ready=false or ready!=true")
	cmd.Flags().BoolVar(&l.headless, "no-header", false, "leave out the titles of the columns")
	cmd.Flags().BoolVarP(&l.watch, "watch", "w", false, "go on with a line for each change")
	cmd.Args, cmd.RunE = cobra.MaximumNArgs(1), l.run
	if of := l.about(); len(of) == 1 {
		cmd.ValidArgsFunction = l.Cluster.Complete(of[0].New)
	}
}

// about are the kinds that rows are about.
func (l *Listing) about() []Kind {
	var found []Kind
	for _, k := range l.Kinds {
		if !k.Beside {
			found = append(found, k)
		}
	}
	return found
}

func (l *Listing) run(cmd *cobra.Command, args []string) error {
	if format := l.Output.Format(); l.watch && (format == output.YAML || format == output.Name) {
		return errEndless
	}
	var err error
	if l.status, err = parseStatusSelector(l.statusSelector); err != nil {
		return err
	}
	c, where, err := l.Connect(args)
	if err != nil {
		return err
	}
	query, err := l.query(args, where)
	if err != nil {
		return err
	}
	read, err := l.read(cmd.Context(), c, query)
	if err != nil {
		return err
	}
	read.noteWhatIsLeftOut(cmd)
	switch {
	case len(args) > 0 && l.isEmpty(read.lists):
		return l.absent(c, args[0])
	case l.watch:
		return l.follow(cmd, c, query, read)
	}
	if err := l.print(cmd, read.lists); err != nil {
		return err
	}
	if len(read.refused) > 0 {
		return errIncomplete
	}
	return nil
}

func (l *Listing) print(cmd *cobra.Command, lists []client.ObjectList) error {
	rows, err := l.rows(lists)
	if err != nil {
		return err
	}
	if rows.Items == nil {
		rows.Items = []any{}
	}
	return l.Print(cmd, rows.Table, report.List[any]{Items: rows.Items})
}

// noteWhatIsLeftOut says what could not be read.
func (all lists) noteWhatIsLeftOut(cmd *cobra.Command) {
	for _, namespace := range all.forbidden {
		output.Note(cmd, "what is in namespace %s is left out: you may not list it there", namespace)
	}
	for _, err := range all.refused {
		output.Note(cmd, "left out: %v", err)
	}
}

// errIncomplete is the error of a listing that has told of kinds which it could not read.
var errIncomplete = errors.New("some kinds could not be listed")

// isEmpty reports whether there is no object that a row could be about.
func (l *Listing) isEmpty(lists []client.ObjectList) bool {
	for i, list := range lists {
		if !l.Kinds[i].Beside && meta.LenList(list) > 0 {
			return false
		}
	}
	return true
}

// query says where to list each kind, and what of it.
func (l *Listing) query(args []string, where []client.ListOption) (func(Kind) []client.ListOption, error) {
	selector, err := labels.Parse(l.selector)
	if err != nil {
		return nil, fmt.Errorf("--selector: %w", err)
	}
	selected := append(append([]client.ListOption{}, where...), client.MatchingLabelsSelector{Selector: selector})
	if len(args) > 0 {
		selected = append(selected, client.MatchingFields{"metadata.name": args[0]})
	}
	return func(k Kind) []client.ListOption {
		switch {
		case k.Namespace != "":
			return append(slices.Clone(selected), client.InNamespace(k.Namespace))
		case k.Beside:
			return where
		}
		return selected
	}, nil
}

// lists are the objects of the kinds of a listing.
type lists struct {
	lists  []client.ObjectList
	served []bool
	// forbidden are namespaces beside that of the listing which nobody may look into.
	forbidden []string
	// refused says of each kind that nobody may list, and without which others are listed, why.
	refused []error
}

var errUnserved = errors.New("the cluster serves none of these kinds: install the CRDs of config/crd")

// read lists the objects of all kinds that the cluster serves.
func (l *Listing) read(ctx context.Context, c client.Client, query func(Kind) []client.ListOption) (lists, error) {
	all := lists{lists: make([]client.ObjectList, len(l.Kinds)), served: make([]bool, len(l.Kinds))}
	served := false
	for i, k := range l.Kinds {
		all.lists[i] = k.New()
		err := c.List(ctx, all.lists[i], query(k)...)
		switch {
		case cluster.IsUnserved(err) && l.Optional && len(l.Kinds) > 1:
			continue
		case apierrors.IsForbidden(err) && k.Namespace != "":
			all.forbidden = append(all.forbidden, k.Namespace)
			continue
		case apierrors.IsForbidden(err) && l.Optional && !k.Beside && len(l.about()) > 1:
			all.refused = append(all.refused, cluster.ListError(c, all.lists[i], err))
			continue
		case err != nil:
			return all, cluster.ListError(c, all.lists[i], err)
		}
		served, all.served[i] = true, true
	}
	switch {
	case served:
		return all, nil
	case len(all.refused) > 0:
		return all, all.refused[0]
	}
	return all, errUnserved
}

// absent says that there is no object of a name.
func (l *Listing) absent(c client.Client, name string) error {
	of := l.about()
	if len(of) > 1 {
		return fmt.Errorf("there is no object %s of these kinds: list them without NAME, choose a namespace with -n", name)
	}
	gvk, _ := c.GroupVersionKindFor(of[0].New()) // only for the message
	ns, err := l.Cluster.Namespace()
	if err != nil {
		return err
	}
	return cluster.Absent(strings.TrimSuffix(gvk.Kind, "List"), client.ObjectKey{Namespace: ns, Name: name})
}
