// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"errors"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/report"
)

// watch is `sluice canary watch`.
type watch struct {
	follow.Command[*flaggerv1.Canary]
	clock     clock.WithTicker
	untilDone bool

	view    view
	last    map[client.ObjectKey]report.Canary
	endings map[client.ObjectKey]*releaseEnd
}

func watchCommand(c *cluster.Cluster, clk clock.WithTicker) *cobra.Command {
	w := &watch{
		Command: follow.Command[*flaggerv1.Canary]{Cluster: c, NewList: newList},
		clock:   clk, last: map[client.ObjectKey]report.Canary{}, endings: map[client.ObjectKey]*releaseEnd{},
	}
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
		RunE: w.run,
	}
	cmd.Flags().BoolVar(&w.untilDone, "until-done", false, "end with the release of NAME; the exit code says how it ended")
	w.Register(cmd, "canaries")
	return cmd
}

func (w *watch) run(cmd *cobra.Command, args []string) error {
	if len(args) == 0 && w.untilDone {
		return errors.New("--until-done needs the NAME of a canary")
	}
	f, err := w.Follower(cmd, args, &flaggerv1.Canary{})
	if err != nil {
		return err
	}
	w.view = newView(cmd, w.Output.Format(), w.clock)
	defer w.view.close()
	onDelete := f.OnDelete
	f.OnChange = w.onChange
	f.OnDelete = func(key client.ObjectKey) error {
		w.forget(key)
		return onDelete(key)
	}
	return w.Run(cmd, f)
}

func (w *watch) forget(key client.ObjectKey) {
	delete(w.last, key)
	w.view.forget(key)
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
		w.endings[key] = &releaseEnd{}
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
