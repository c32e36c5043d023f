// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// planOptions are the flags of `sluice judge plan`.
type planOptions struct {
	output     output.Flags
	settings   settingsFlags
	requests   float64
	errors     string
	dispersion float64
	weights    []int
	interval   time.Duration
	ratios     []float64
}

func planCommand() *cobra.Command {
	o := &planOptions{}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say how long a verdict takes at the rates that a service has",
		Long: `Say how long the judge needs, on average, to find a regression or to see that there is
none, at the rates and with the steps of a release. Choose steps that last for as long as
the regression takes that matters to you.`,
		Example: `  sluice judge plan --requests 10 --errors 0.1%
  sluice judge plan --requests 10 --errors 0.1% --weights 50 --interval 20m
  sluice judge plan --requests 10 --errors 0.1% -o svg > plan.svg`,
		Args: cobra.NoArgs,
		RunE: o.run,
	}
	flags := cmd.Flags()
	flags.Float64Var(&o.requests, "requests", 0, "requests that the service gets in a second")
	flags.StringVar(&o.errors, "errors", "", "part of them that fail while nothing is released, such as 0.1%")
	flags.Float64Var(&o.dispersion, "dispersion", 1, "how many times as much errors vary as independent ones would")
	flags.IntSliceVar(&o.weights, "weights", []int{10, 20, 30, 40, 50}, "weights of the steps, in percent")
	flags.DurationVar(&o.interval, "interval", time.Minute, "how long each step lasts")
	flags.Float64SliceVar(&o.ratios, "ratios", []float64{1, 1.5, 2, 5, 20}, "how many times the primary's errors the canary has")
	o.settings.register(cmd)
	o.output.Register(cmd, output.SVG)
	return cmd
}

func (o *planOptions) run(cmd *cobra.Command, _ []string) error {
	if err := o.output.Validate(); err != nil {
		return err
	}
	traffic, steps, err := o.read()
	if err != nil {
		return err
	}
	if o.output.Format() == output.SVG {
		return printFigure(cmd, report.JudgeDelaysFigure(o.settings.Settings, traffic, steps))
	}
	delays := report.JudgeDelays(o.settings.Settings, traffic, steps, o.ratios)
	table := output.Table{Columns: []string{"ERRORS", "VERDICT", "AFTER", "WITHIN THE STEPS"}}
	for _, d := range delays.Items {
		after := "never"
		if d.Seconds > 0 {
			after = (time.Duration(d.Seconds) * time.Second).String()
		}
		ratio := strconv.FormatFloat(d.Ratio, 'g', -1, 64)
		table.Add(ratio, ratio+" times", d.Outcome, after, yesNo(d.InTime))
	}
	return o.output.Print(cmd.OutOrStdout(), table, delays)
}

// read checks the flags.
func (o *planOptions) read() (judge.TrafficProfile, []judge.PlannedShare, error) {
	if err := o.settings.validate(); err != nil {
		return judge.TrafficProfile{}, nil, err
	}
	rate, err := percent("errors", o.errors)
	if err != nil {
		return judge.TrafficProfile{}, nil, err
	}
	if !(o.requests > 0 && o.requests <= 1e9) {
		return judge.TrafficProfile{}, nil, fmt.Errorf("--requests: %g is no number of requests in a second, such as 10", o.requests)
	}
	if !(o.dispersion >= 1 && o.dispersion <= 1e6) {
		return judge.TrafficProfile{}, nil, fmt.Errorf("--dispersion: %g has to be at least 1", o.dispersion)
	}
	steps, err := stepsOf(o.weights, o.interval)
	if err != nil {
		return judge.TrafficProfile{}, nil, err
	}
	for _, ratio := range o.ratios {
		if !(ratio > 0 && ratio <= 1e6) {
			return judge.TrafficProfile{}, nil, fmt.Errorf("--ratios: %g has to be more than 0 and at most a million", ratio)
		}
	}
	return judge.TrafficProfile{Requests: o.requests, Rate: rate, Dispersion: o.dispersion}, steps, nil
}

// maxStep and maxSteps bound a release to ten years.
const (
	maxStep  = 30 * 24 * time.Hour
	maxSteps = 100
)

// stepsOf are the steps of a release, as flags say them.
func stepsOf(weights []int, interval time.Duration) ([]judge.PlannedShare, error) {
	if interval <= 0 || interval > maxStep {
		return nil, fmt.Errorf("--interval: %s has to be more than 0 and at most %s", interval, maxStep)
	}
	if len(weights) > maxSteps {
		return nil, fmt.Errorf("--weights: there are %d, and a release has at most %d steps", len(weights), maxSteps)
	}
	steps := make([]judge.PlannedShare, 0, len(weights))
	for _, weight := range weights {
		if weight <= 0 || weight >= 100 {
			return nil, fmt.Errorf("--weights: %d %% leaves nobody to compare with; weights are between 1 and 99", weight)
		}
		steps = append(steps, judge.PlannedShare{Share: float64(weight) / 100, Lasts: interval})
	}
	return steps, nil
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
