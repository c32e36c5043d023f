// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// listing is a command that lists objects of some kinds.
type listing struct {
	cluster.Listing
	kinds    []kind
	selector string
	watch    bool
}

// GetCommands are `sluice get all`, those of each listing, and those of each kind that no other
// command lists.
func GetCommands() []func(*cluster.Cluster) *cobra.Command {
	commands := []func(*cluster.Cluster) *cobra.Command{
		getCommand("all", nil, "List objects of all kinds, with whether they are ready, and why not", kinds...),
		getSources,
		getCommand("kustomizations", []string{"kustomization", "ks"}, "List Kustomizations with the revision that each has applied",
			kindsOf("kustomizations")...),
		getCommand("receivers", []string{"receiver"}, "List Receivers with the path of their webhook", kindsOf("receivers")...),
		getCommand(alerts, []string{"alert"}, "List Alerts and the Providers that they go to", kindsOf(alerts)...),
	}
	for _, k := range kinds {
		if k.listing == sources || k.listing == "" || k.listing == alerts && k.plural != alerts {
			commands = append(commands, getKind(k))
		}
	}
	return commands
}

// getSources takes the forms of Flux's CLI as well: sluice get source git.
func getSources(c *cluster.Cluster) *cobra.Command {
	cmd := getCommand(sources, []string{"source"}, "List sources with the revision that each has", kindsOf(sources)...)(c)
	for _, k := range kindsOf(sources) {
		of := getKind(k)(c)
		of.Hidden = true // sluice get shows it
		cmd.AddCommand(of)
	}
	return cmd
}

func getKind(k kind) func(*cluster.Cluster) *cobra.Command {
	plural := k.Kind + "s"
	if stem, is := strings.CutSuffix(k.Kind, "y"); is {
		plural = stem + "ies"
	}
	aliases := append([]string{strings.ToLower(k.Kind)}, k.aliases...)
	return getCommand(k.plural, aliases, "List "+plural+", with whether they are ready, and why not", k)
}

func getCommand(name string, aliases []string, short string, kinds ...kind) func(*cluster.Cluster) *cobra.Command {
	return func(c *cluster.Cluster) *cobra.Command {
		l := &listing{Listing: cluster.Listing{Cluster: c}, kinds: kinds}
		cmd := &cobra.Command{
			Use: name + " [NAME]", Aliases: aliases, Short: short, Args: cobra.MaximumNArgs(1),
			Long: short + `. Kinds that the cluster does not serve are left out.
With --watch it goes on with a line for each change, which in a terminal is cut at
its width.`,
			Example: fmt.Sprintf("  sluice get %[1]s -A\n  sluice get %[1]s -n apps -l team=web --watch", name),
			RunE:    l.run,
		}
		l.Register(cmd)
		cmd.Flags().StringVarP(&l.selector, "selector", "l", "", "labels of the objects, such as team=web")
		cmd.Flags().BoolVarP(&l.watch, "watch", "w", false, "go on with a line for each change")
		return cmd
	}
}

func (l *listing) run(cmd *cobra.Command, args []string) error {
	c, where, err := l.Connect(args)
	if err != nil {
		return err
	}
	selector, err := labels.Parse(l.selector)
	if err != nil {
		return fmt.Errorf("--selector: %w", err)
	}
	where = append(where, client.MatchingLabelsSelector{Selector: selector})
	if len(args) > 0 {
		where = append(where, client.MatchingFields{"metadata.name": args[0]})
	}
	if l.watch {
		return l.follow(cmd, where)
	}
	found, t, err := l.list(cmd.Context(), c, where)
	if err != nil {
		return err
	}
	if len(args) > 0 && t.Len() == 0 {
		what := "object " + args[0] + " of these kinds"
		if len(l.kinds) == 1 {
			what = l.kinds[0].Kind + " " + args[0]
		}
		return fmt.Errorf("there is no %s: list them without NAME, choose a namespace with -n", what)
	}
	return l.Print(cmd, t, found)
}

// list reads the objects of all kinds that the cluster serves.
func (l *listing) list(
	ctx context.Context, c client.Client, where []client.ListOption,
) (report.List[report.Resource], output.Table, error) {
	all := report.List[report.Resource]{Items: []report.Resource{}}
	t := output.Table{Columns: []string{
		"NAMESPACE", "KIND", "NAME", "REVISION", "SUSPENDED", "READY", "REASON", "MESSAGE"}, Short: 7, Also: []int{7}}
	served := false
	for _, k := range l.kinds {
		found := k.list()
		err := c.List(ctx, found, where...)
		if cluster.IsUnserved(err) && len(l.kinds) > 1 {
			continue
		}
		if err != nil {
			return all, t, fmt.Errorf("listing %s: %w", k.plural, err)
		}
		served = true
		for i := range found.Items {
			r := report.OfResource(&found.Items[i])
			all.Items = append(all.Items, r)
			t.Add(k.name(r.Name), cells(r)...)
		}
	}
	if !served {
		return all, t, errUnserved
	}
	return all, t, nil
}

var errUnserved = errors.New("the cluster serves none of these kinds: install the CRDs of config/crd")

func cells(r report.Resource) []string {
	return []string{r.Namespace, r.Kind, r.Name, r.Revision, strconv.FormatBool(r.Suspended), r.Ready, r.Reason, r.Message}
}

// follow prints a line for each object, and for each change of one.
func (l *listing) follow(cmd *cobra.Command, where []client.ListOption) error {
	if format := l.Output.Format(); format == output.YAML || format == output.Name {
		return fmt.Errorf("--output %s: there is no end to what is followed; use json, which has one object a line", format)
	}
	c, err := l.Cluster.Client()
	if err != nil {
		return err
	}
	lines := &lines{cmd: cmd, json: l.Output.Format() == output.JSON, last: map[string]report.Resource{}}
	return l.followKinds(cmd, c, where, lines)
}

// followKinds follows until the person has seen enough, or until a kind cannot be followed.
func (l *listing) followKinds(cmd *cobra.Command, c client.WithWatch, where []client.ListOption, lines *lines) error {
	group, ctx := errgroup.WithContext(cmd.Context())
	served := false
	for _, k := range l.kinds {
		err := c.List(cmd.Context(), k.list(), append(slices.Clip(where), client.Limit(1))...)
		if cluster.IsUnserved(err) && len(l.kinds) > 1 {
			continue
		}
		served = true
		f := &follow.Follower[*unstructured.Unstructured]{
			Client: c, NewList: func() client.ObjectList { return k.list() }, Options: where, OnDisconnect: follow.NoteDisconnect(cmd),
			OnChange: lines.changed,
			OnDelete: func(key client.ObjectKey) error { return lines.deleted(k, key) },
		}
		group.Go(func() error {
			if err := f.Run(ctx); err != nil {
				return fmt.Errorf("following %s: %w", k.plural, err)
			}
			return nil
		})
	}
	if !served {
		return errUnserved
	}
	err := group.Wait()
	if cmd.Context().Err() != nil { // the person has seen enough
		return nil
	}
	return err
}

// lines are what is printed of objects that are followed.
type lines struct {
	cmd  *cobra.Command
	json bool

	mu   sync.Mutex
	last map[string]report.Resource
}

func (l *lines) changed(u *unstructured.Unstructured) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := report.OfResource(u)
	key := r.Kind + "/" + r.Namespace + "/" + r.Name
	if last, known := l.last[key]; known && last == r {
		return nil
	}
	l.last[key] = r
	if l.json {
		return json.NewEncoder(l.cmd.OutOrStdout()).Encode(r)
	}
	return l.print(cells(r))
}

func (l *lines) deleted(k kind, key client.ObjectKey) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, k.Kind+"/"+key.Namespace+"/"+key.Name)
	output.Note(l.cmd, "%s %s was deleted", k.Kind, key)
	return nil
}

func (l *lines) print(cells []string) error {
	out := l.cmd.OutOrStdout()
	_, err := fmt.Fprintln(out, output.Fit(output.ShortHashes(output.CleanLine(cells)), output.Width(out)))
	return err
}
