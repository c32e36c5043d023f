// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// watch is `sluice canary watch`.
type watch struct {
	cluster   *cluster.Cluster
	clock     clock.WithTicker
	output    output.Flags
	all       bool
	untilDone bool
	timeout   time.Duration

	view    view
	last    map[client.ObjectKey]report.Canary
	endings map[client.ObjectKey]*ending
}

func watchCommand(c *cluster.Cluster, clk clock.WithTicker) *cobra.Command {
	w := &watch{cluster: c, clock: clk, last: map[client.ObjectKey]report.Canary{}, endings: map[client.ObjectKey]*ending{}}
	cmd := &cobra.Command{
		Use:   "watch [NAME]",
		Short: "Follow releases as they go",
		Long: `Follow releases as they go: one line for each transition, or in a terminal a table
that is kept current. With -o json, each line is an object as in sluice canary get.

With --until-done it ends with the release that is under way, or else with the next
one: the exit code is 0 when the revision was promoted, and not 0 when it was rolled
back or taken back.`,
		Example: `  sluice canary watch -A
  sluice canary watch podinfo -n apps --until-done --timeout 30m`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.Complete(newList),
		RunE:              w.run,
	}
	cmd.Flags().BoolVarP(&w.all, "all-namespaces", "A", false, "follow the canaries of all namespaces")
	cmd.Flags().BoolVar(&w.untilDone, "until-done", false, "end with the release of NAME; the exit code says how it ended")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "give up after this time; 0 is never")
	w.output.Register(cmd)
	return cmd
}

func (w *watch) validate(args []string) error {
	if err := w.output.Validate(); err != nil {
		return err
	}
	switch {
	case w.output.Format() == output.YAML, w.output.Format() == output.Name:
		return errors.New("--output: there is no end to what is followed; use json, which has one object a line")
	case len(args) > 0 && w.all:
		return cluster.ErrNamedOfAll
	case len(args) == 0 && w.untilDone:
		return errors.New("--until-done needs the NAME of a canary")
	}
	return nil
}

func (w *watch) run(cmd *cobra.Command, args []string) error {
	if err := w.validate(args); err != nil {
		return err
	}
	c, err := w.cluster.Client()
	if err != nil {
		return err
	}
	where, err := w.where(cmd, c, args)
	if err != nil {
		return err
	}
	ctx, cancel := follow.WithTimeout(cmd.Context(), w.timeout, fmt.Errorf("not done within --timeout %s", w.timeout))
	defer cancel()
	w.view = newView(cmd, w.output.Format(), w.clock)
	defer w.view.close()
	f := &follow.Follower[*flaggerv1.Canary]{
		Client: c, NewList: newList, Options: where, OnChange: w.onChange,
		OnDisconnect: follow.NoteDisconnect(cmd),
		OnDelete:     func(key client.ObjectKey) error { return w.onDelete(key, args) },
	}
	err = f.Run(ctx)
	if errors.Is(err, follow.ErrDone) || cmd.Context().Err() != nil {
		return nil // all that was asked for, or the person has seen enough
	}
	return err
}

// where says what to follow. One that is named has to be there.
func (w *watch) where(cmd *cobra.Command, c client.Client, args []string) ([]client.ListOption, error) {
	if w.all {
		return nil, nil
	}
	ns, err := w.cluster.Namespace()
	if err != nil || len(args) == 0 {
		return []client.ListOption{client.InNamespace(ns)}, err
	}
	return follow.Named(ns, args[0]), w.cluster.Get(cmd.Context(), c, args[0], &flaggerv1.Canary{})
}

// onChange shows a canary if it is not where it was.
func (w *watch) onChange(c *flaggerv1.Canary) error {
	key, now := client.ObjectKeyFromObject(c), report.OfCanary(c)
	before, known := w.last[key]
	if known && before.SamePosition(now) {
		return nil
	}
	w.last[key] = now
	if w.endings[key] == nil {
		w.endings[key] = &ending{}
	}
	done, err := w.endings[key].observe(c)
	if shown := w.view.show(key, now); shown != nil {
		return shown
	}
	if w.untilDone && done {
		if err != nil {
			return err
		}
		return follow.ErrDone
	}
	return nil
}

func (w *watch) onDelete(key client.ObjectKey, args []string) error {
	delete(w.last, key)
	w.view.forget(key)
	if len(args) > 0 {
		return fmt.Errorf("Canary %s was deleted", key)
	}
	return nil
}
