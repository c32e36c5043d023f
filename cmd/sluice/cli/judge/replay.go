// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/replay"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// replaying is `sluice judge replay`.
type replaying struct {
	cluster  *cluster.Cluster
	clock    clock.Clock
	output   output.Flags
	settings settingsFlags
	limits   replay.Thresholds
	metrics  []string
	weights  []int
	gap      time.Duration
	release  int

	trace  string
	server serverFlags
}

func replayCommand(version string, clk clock.Clock) *cobra.Command {
	r := &replaying{clock: clk, limits: replay.DefaultThresholds()}
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Say what the judge and thresholds would have done with releases that have been",
		Long: `Say what the judge would have done with releases that have been, and when, beside thresholds as
Flagger has them: from the counters that a Prometheus server keeps, or from a trace. Nothing is
written to the cluster.

With --prometheus the releases are those of the Canary's history, and before that whenever the canary
had requests; thresholds, interval and steps are those of the Canary, and so is what its judge compares, and
how sure it has to be. A MetricTemplate with counters is asked of that server, too. With --trace nobody
says which they are: flags do, and else they are those of Flagger's tutorials.

Flags say what would have been different: --alpha and the like for the judge, --success-rate, --max-duration, --failed-checks
and --interval for thresholds. --weights says how long the judge would take with other steps, at the rates that
there were.

A trace has a line of JSON for each reading of the counters of both arms:
  {"at": "2026-01-01T00:00:00Z", "samples": [{"arm": "canary", "pod": "podinfo-1", "class": "requests", "value": 41}, ...]}
arm is canary or primary; class is requests, errors, timed (the requests that a histogram has) or bucket (those
of them that took no longer than "over", in seconds). "scraped" may say when the process was asked, and "instance"
tells the processes of a pod apart.`,
		Example: `  sluice judge replay --prometheus http://prometheus:9090 --canary podinfo -n apps --since 30d
  sluice judge replay --prometheus http://prometheus:9090 --canary podinfo -n apps --since 30d --save-trace podinfo.jsonl
  sluice judge replay --trace podinfo.jsonl --alpha 0.001 --success-rate 99.5
  sluice judge replay --trace podinfo.jsonl -o svg > last-release.svg`,
		Args: cobra.NoArgs,
		RunE: r.run,
	}
	r.register(cmd)
	r.cluster = cluster.AddFlags(cmd, version)
	return cmd
}

func (r *replaying) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&r.trace, "trace", "", "file with the counters that are judged; - is standard input")
	r.server.register(cmd)
	flags.Float64Var(&r.limits.SuccessRate, "success-rate", r.limits.SuccessRate,
		"threshold: percentage of the requests that have to succeed; 0 is none")
	flags.DurationVar(&r.limits.Duration, "max-duration", r.limits.Duration, "threshold: what 99 of 100 requests may take; 0 is none")
	flags.IntVar(&r.limits.FailedChecks, "failed-checks", r.limits.FailedChecks, "threshold: failed checks that roll back")
	flags.DurationVar(&r.limits.Interval, "interval", r.limits.Interval,
		"time between two checks of thresholds, and how long a step of --weights lasts")
	flags.IntVar(&r.limits.Steps, "steps", r.limits.Steps, "good checks after which thresholds promote; with --weights as many as these")
	flags.IntSliceVar(&r.weights, "weights", nil, "weights of other steps, in percent: how long would a verdict have taken?")
	flags.StringSliceVar(&r.metrics, "metrics", []string{string(judge.Errors), string(judge.Latency)},
		"what the judge compares: errors, latency, throughput")
	flags.DurationVar(&r.gap, "gap", 2*time.Minute, "how long a canary has no requests until its release has ended")
	flags.IntVar(&r.release, "release", 1, "which release -o svg draws: 1 is the last one")
	r.settings.register(cmd)
	r.output.Register(cmd, output.SVG)
}

func (r *replaying) run(cmd *cobra.Command, _ []string) error {
	if err := r.output.Validate(); err != nil {
		return err
	}
	options, steps, err := r.options(cmd)
	if err != nil {
		return err
	}
	var releases []replay.ReplayedRelease
	switch {
	case (r.trace == "") == (r.server.url == ""):
		return errors.New("either --trace or --prometheus is required: the counters of releases that have been")
	case r.trace != "":
		if err := meaningless(cmd, "it is about --prometheus, and a trace has been read already",
			"canary", "since", "every", "scan", "rest", "save-trace", "mesh-provider"); err != nil {
			return err
		}
		releases, err = r.readTrace(cmd, options)
	default:
		releases, err = r.ask(cmd, options)
	}
	if err != nil {
		return err
	}
	return r.print(cmd, releases, steps)
}

// options are the flags, checked.
func (r *replaying) options(cmd *cobra.Command) (replay.Options, []judge.PlannedShare, error) {
	o := replay.Options{Settings: r.settings.Settings, Thresholds: r.limits, Gap: r.gap}
	known := []string{string(judge.Errors), string(judge.Latency), string(judge.Throughput)}
	for _, m := range r.metrics {
		if !slices.Contains(known, m) {
			return o, nil, fmt.Errorf("--metrics: %q is none; known: %s", m, strings.Join(known, ", "))
		}
		if !slices.Contains(o.Metrics, judge.Kind(m)) { // each has its part of alpha
			o.Metrics = append(o.Metrics, judge.Kind(m))
		}
	}
	o.All = cmd.Flags().Changed("metrics")
	if err := r.settings.validate(); err != nil {
		return o, nil, err
	}
	if err := o.Check(); err != nil {
		return o, nil, fmt.Errorf("--metrics, --gap, --success-rate, --max-duration, --interval, --failed-checks, --steps: %w", err)
	}
	if r.release < 1 {
		return o, nil, fmt.Errorf("--release: %d is none; 1 is the last one", r.release)
	}
	steps, err := stepsOf(r.weights, r.limits.Interval)
	if len(steps) > 0 && !cmd.Flags().Changed("steps") {
		o.Thresholds.Steps = len(steps)
	}
	return o, steps, err
}

// readTrace judges the releases of a file.
func (r *replaying) readTrace(cmd *cobra.Command, o replay.Options) ([]replay.ReplayedRelease, error) {
	in := cmd.InOrStdin()
	if r.trace != "-" {
		file, err := os.Open(r.trace)
		if err != nil {
			return nil, fmt.Errorf("--trace: %w", err)
		}
		defer file.Close()
		in = io.Reader(file)
	}
	player, err := replay.NewPlayer(o)
	if err != nil {
		return nil, err
	}
	if err := replay.ReadTrace(in, player.Add); err != nil {
		return nil, fmt.Errorf("--trace: %s: %w", r.trace, err)
	}
	return player.Releases(), nil
}

func (r *replaying) print(cmd *cobra.Command, releases []replay.ReplayedRelease, steps []judge.PlannedShare) error {
	if r.output.Format() == output.SVG {
		if r.release > len(releases) {
			return fmt.Errorf("--release: there are %d releases", len(releases))
		}
		return printFigure(cmd, report.ReplayFigure(r.settings.Settings, releases[len(releases)-r.release]))
	}
	rows := report.ReplayedReleases(r.settings.Settings, releases, steps)
	if len(rows.Items) == 0 && r.output.IsTable() {
		output.Note(cmd, "There is no release: the canary has no requests in any window.")
	}
	table := replayTable(rows.Items)
	if len(steps) == 0 {
		table = table.Without(slices.Index(table.Columns, otherWeights))
	}
	return r.output.Print(cmd.OutOrStdout(), table, rows)
}

// otherWeights is the column of what would happen with the steps of --weights.
const otherWeights = "WITH THE WEIGHTS"

func replayTable(rows []report.ReplayedRelease) output.Table {
	table := output.Table{
		Columns: []string{"RELEASE", "WAS", "REQUESTS", "ERRORS", "JUDGE", "THRESHOLDS", otherWeights,
			"REVISION", "WHY THE JUDGE", "WHY THRESHOLDS"},
		Short: 7,
	}
	for _, row := range rows {
		expected := ""
		if e := row.Expected; e != nil && e.Seconds > 0 {
			expected = fmt.Sprintf("%s after %s", e.Outcome, time.Duration(e.Seconds)*time.Second)
		} else if e != nil {
			expected = "never"
		}
		at := row.From.UTC().Format("2006-01-02 15:04:05Z")
		table.Add(at, at, row.Was, fmt.Sprintf("%.0f", row.Canary.Requests), fmt.Sprintf("%.0f", row.Canary.Errors),
			decided(row.Judge), decided(row.Thresholds), expected, row.Revision, row.Judge.Reason, row.Thresholds.Reason)
	}
	return table
}

// decided is what a rule would have done, when, and what it cost.
func decided(d report.ReplayedDecision) string {
	after := time.Duration(d.Seconds) * time.Second
	if d.Outcome == "undecided" {
		return d.Outcome
	}
	errors := "errors"
	if math.Round(d.Errors) == 1 {
		errors = "error"
	}
	return fmt.Sprintf("%s after %s, %.0f %s", d.Outcome, after, d.Errors, errors)
}
