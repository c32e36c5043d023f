// SPDX-License-Identifier: Apache-2.0

// Package judge has the commands about how canaries are judged: how long a verdict takes at the
// rates that a service has, and what the judge and fixed thresholds do with
// releases whose truth is known, and with those that have been. Only the last needs a cluster,
// unless it is given a trace.
package judge

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
	"github.com/sluice-cd/sluice/report/plot"
)

// Command is `sluice judge`.
func Command(version string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "judge",
		Short: "Say how long judging a canary takes, and what fixed thresholds would do instead",
		Args:  usage.Subcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(planCommand(), simulateCommand(), replayCommand(version, clock.RealClock{}))
	return cmd
}

// settingsFlags are the flags of how sure a verdict has to be.
type settingsFlags struct{ judge.Settings }

func (s *settingsFlags) register(cmd *cobra.Command) {
	s.Settings = judge.Default()
	flags := cmd.Flags()
	flags.Float64Var(&s.Alpha, "alpha", s.Alpha, "probability that a healthy release fails, at most")
	flags.Float64Var(&s.Beta, "beta", s.Beta, "probability that a regression passes, at most")
	flags.Float64Var(&s.Tolerated, "tolerated", s.Tolerated, "how many times the primary's errors are no regression")
	flags.Float64Var(&s.Regression, "regression", s.Regression, "how many times the primary's errors must not pass")
	flags.Float64Var(&s.Negligible, "negligible", s.Negligible, "part of the requests that may fail without anybody minding")
	flags.Float64Var(&s.MinSamples, "min-samples", s.MinSamples, "requests of the canary before there is a verdict")
}

func (s *settingsFlags) validate() error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("the settings of the judge: %w", err)
	}
	return nil
}

// meaningless reports a flag that was set although what it is about is not asked for.
func meaningless(cmd *cobra.Command, why string, flags ...string) error {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s: %s", name, why)
		}
	}
	return nil
}

// printFigure prints a picture, to standard output.
func printFigure(cmd *cobra.Command, f plot.Figure) error {
	_, err := cmd.OutOrStdout().Write(f.SVG())
	return err
}

// percent reads a part of a whole: 0.1%, or 0.001; it may be nothing.
func percent(flag, text string) (float64, error) {
	if text == "" {
		return 0, fmt.Errorf("--%s is required: the part of the requests that fail while nothing is released, such as 0.1%%", flag)
	}
	number, ofHundred := strings.CutSuffix(strings.TrimSpace(text), "%")
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if ofHundred {
		value /= 100
	}
	if err != nil || !(value >= 0 && value < 1) {
		return 0, fmt.Errorf("--%s: %q is no part of the requests, such as 0.1%% or 0.001", flag, text)
	}
	return value, nil
}
