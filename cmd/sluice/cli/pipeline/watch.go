// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// watch is `sluice pipeline watch`.
type watch struct {
	cluster *cluster.Cluster
	clock   clock.PassiveClock
	output  output.Flags
	all     bool
	timeout time.Duration

	out  io.Writer
	last map[string]report.PipelineStage // by namespace/name/stage
}

func watchCommand(c *cluster.Cluster, clk clock.PassiveClock) *cobra.Command {
	w := &watch{cluster: c, clock: clk, last: map[string]report.PipelineStage{}}
	cmd := &cobra.Command{
		Use:   "watch [NAME]",
		Short: "Follow the stages of pipelines as they go",
		Long: `Follow the stages of pipelines as they go: one line for where each stands, and one
whenever that changes. With -o json each line is an object as in sluice pipeline get.`,
		Example: `  sluice pipeline watch -A
  sluice pipeline watch shop -n apps --timeout 30m`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.Complete(newList),
		RunE:              w.run,
	}
	cmd.Flags().BoolVarP(&w.all, "all-namespaces", "A", false, "follow the pipelines of all namespaces")
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
	ctx, cancel := follow.WithTimeout(cmd.Context(), w.timeout, fmt.Errorf("--timeout %s is over", w.timeout))
	defer cancel()
	w.out = cmd.OutOrStdout()
	f := &follow.Follower[*sluicev1.Pipeline]{
		Client: c, NewList: newList, Options: where, OnChange: w.onChange, OnDisconnect: follow.NoteDisconnect(cmd),
		OnDelete: func(key client.ObjectKey) error {
			if len(args) > 0 {
				return fmt.Errorf("Pipeline %s was deleted", key)
			}
			return nil
		},
	}
	if err := f.Run(ctx); cmd.Context().Err() == nil {
		return err
	}
	return nil // the person has seen enough
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
	return follow.Named(ns, args[0]), w.cluster.Get(cmd.Context(), c, args[0], &sluicev1.Pipeline{})
}

// onChange shows the stages that are not where they were.
func (w *watch) onChange(p *sluicev1.Pipeline) error {
	for _, s := range report.OfPipeline(p).Stages {
		key := p.Namespace + "/" + p.Name + "/" + s.Name
		if before, known := w.last[key]; known && before.SamePosition(s) {
			continue
		}
		w.last[key] = s
		if err := w.show(p, s); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) show(p *sluicev1.Pipeline, s report.PipelineStage) error {
	at := w.clock.Now()
	text := []byte(output.CleanLine([]string{at.Format(time.TimeOnly), p.Namespace + "/" + p.Name, s.Name, string(s.Phase), s.Message}))
	if w.output.Format() == output.JSON {
		var err error
		if text, err = json.Marshal(report.PipelineTransition{Time: metav1.NewTime(at.UTC()), Namespace: p.Namespace, Pipeline: p.Name, PipelineStage: s}); err != nil {
			return err
		}
	}
	_, err := w.out.Write(append(text, '\n'))
	return err
}
