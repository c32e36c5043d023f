// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// watch is `sluice pipeline watch`.
type watch struct {
	follow.Command[*sluicev1.Pipeline]
	clock clock.PassiveClock
	out   io.Writer
	last  map[string]report.PipelineStage // by namespace/name/stage
}

func watchCommand(c *cluster.Cluster, clk clock.PassiveClock) *cobra.Command {
	w := &watch{
		Command: follow.Command[*sluicev1.Pipeline]{Cluster: c, NewList: newList},
		clock:   clk, last: map[string]report.PipelineStage{},
	}
	cmd := &cobra.Command{
		Use:   "watch [NAME]",
		Short: "Follow the stages of pipelines as they go",
		Long: `Follow the stages of pipelines as they go: one line for where each stands, and one
whenever that changes. With -o json each line is an object as in sluice pipeline get.`,
		Example: `  sluice pipeline watch -A
  sluice pipeline watch shop -n apps --timeout 30m`,
		RunE: w.run,
	}
	w.Register(cmd, "pipelines")
	return cmd
}

func (w *watch) run(cmd *cobra.Command, args []string) error {
	f, err := w.Follower(cmd, args, &sluicev1.Pipeline{})
	if err != nil {
		return err
	}
	w.out, f.OnChange = cmd.OutOrStdout(), w.onChange
	return w.Run(cmd, f)
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
	line := output.CleanLine([]string{at.Format(time.TimeOnly), p.Namespace + "/" + p.Name, s.Name, string(s.Phase), s.Message})
	text := []byte(output.Fit(line, output.Width(w.out)))
	if w.Output.Format() == output.JSON {
		var err error
		text, err = json.Marshal(report.PipelineTransition{
			Time: metav1.NewTime(at.UTC()), Namespace: p.Namespace, Pipeline: p.Name, PipelineStage: s,
		})
		if err != nil {
			return err
		}
	}
	_, err := w.out.Write(append(text, '\n'))
	return err
}
