// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// errEndless refuses a format that has an end.
var errEndless = errors.New("--output: there is no end to what is followed; use json, which has one object a line")

// PrintLine writes a line of what is followed, cut at the width of a terminal.
func PrintLine(cmd *cobra.Command, line string) error {
	out := cmd.OutOrStdout()
	_, err := fmt.Fprintln(out, output.Fit(line, output.Width(out)))
	return err
}

// follow prints a line for each row, and for each change of one, until the person has seen
// enough or a kind cannot be followed.
func (l *Listing) follow(cmd *cobra.Command, c client.WithWatch, query func(Kind) []client.ListOption, read lists) error {
	lines := &lines{
		cmd: cmd, client: c, listing: l, last: map[string]string{},
		objects: make([]map[client.ObjectKey]client.Object, len(l.Kinds)),
	}
	for i, list := range read.lists {
		lines.objects[i] = map[client.ObjectKey]client.Object{}
		items, err := meta.ExtractList(list)
		if err != nil {
			return err
		}
		for _, item := range items {
			if object, ok := item.(client.Object); ok {
				lines.objects[i][client.ObjectKeyFromObject(object)] = object
			}
		}
	}
	if err := lines.print(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(cmd.Context())
	for i, k := range l.Kinds {
		if !read.served[i] {
			continue
		}
		f := &Follower[client.Object]{
			Client: c, NewList: k.New, Options: query(k), OnDisconnect: NoteDisconnect(cmd),
			OnChange: func(o client.Object) error { return lines.changed(i, o) },
			OnDelete: func(key client.ObjectKey) error { return lines.deleted(i, key) },
		}
		group.Go(func() error {
			if err := f.Run(ctx); err != nil {
				return fmt.Errorf("following %s: %w", kindOf(c, k), err)
			}
			return nil
		})
	}
	err := group.Wait()
	if cmd.Context().Err() != nil { // the person has seen enough
		return nil
	}
	return err
}

func kindOf(c client.Client, k Kind) string {
	gvk, _ := c.GroupVersionKindFor(k.New()) // only for messages
	return strings.TrimSuffix(gvk.Kind, "List")
}

// lines are what is printed of objects that are followed.
type lines struct {
	cmd     *cobra.Command
	client  client.Client
	listing *Listing

	mu      sync.Mutex
	objects []map[client.ObjectKey]client.Object // by kind
	last    map[string]string                    // what was printed of each row
}

func (l *lines) changed(kind int, o client.Object) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := client.ObjectKeyFromObject(o)
	if before := l.objects[kind][key]; before != nil && before.GetResourceVersion() == o.GetResourceVersion() {
		return nil
	}
	l.objects[kind][key] = o
	return l.print()
}

func (l *lines) deleted(kind int, key client.ObjectKey) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	object := l.objects[kind][key]
	delete(l.objects[kind], key)
	if object != nil && !l.listing.Kinds[kind].Beside {
		name := strings.TrimPrefix(key.String(), "/")
		output.Note(l.cmd, "%s %s was deleted", kindOf(l.client, l.listing.Kinds[kind]), name)
	}
	return l.print()
}

// print prints the rows that are not what was printed of them last.
func (l *lines) print() error {
	all := make([]client.ObjectList, len(l.objects))
	for i, objects := range l.objects {
		all[i] = l.listing.Kinds[i].New()
		var sorted []runtime.Object
		for _, key := range slices.SortedFunc(maps.Keys(objects), byName) {
			sorted = append(sorted, objects[key])
		}
		if err := meta.SetList(all[i], sorted); err != nil {
			return err
		}
	}
	rows, err := l.listing.rows(all)
	if err != nil {
		return err
	}
	now := map[string]string{}
	for i, item := range rows.Items {
		text, err := json.Marshal(item)
		if err != nil {
			return err
		}
		key := rows.Table.Key(i)
		now[key] = string(text)
		if l.last[key] == string(text) {
			continue
		}
		if err := l.printRow(rows.Table, i, text); err != nil {
			return err
		}
	}
	l.last = now
	return nil
}

func (l *lines) printRow(t output.Table, at int, item []byte) (err error) {
	switch l.listing.Output.Format() {
	case output.JSON:
		_, err = fmt.Fprintln(l.cmd.OutOrStdout(), string(item))
	case output.Wide:
		_, err = fmt.Fprintln(l.cmd.OutOrStdout(), t.WideLine(at))
	default:
		err = PrintLine(l.cmd, t.Line(at))
	}
	return err
}

func byName(a, b client.ObjectKey) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
