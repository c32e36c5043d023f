// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/canary/judge/simulate"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// simulation is `sluice judge simulate`.
type simulation struct {
	output   output.Flags
	settings settingsFlags
	requests float64
	errors   string
	burst    int
	weight   int
	ratios   []float64
	window   time.Duration
	lasts    time.Duration
	runs     int
	seed     uint64
	trace    string
}

func simulateCommand() *cobra.Command {
	s := &simulation{}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Play many releases whose truth is known against the judge and against fixed thresholds",
		Long: `Play many releases whose truth is known against the judge and against fixed thresholds, and
say how many of them each rolled back, and after how long: releases as good as before that
were rolled back are false alarms, and worse ones that were not are missed.

Without --requests a table of typical services is played. The thresholds are those of the tutorials: 99 % of the requests
succeed, looked at once a minute; Flagger rolls back at the fifth failed check and
promotes after five good ones, Argo Rollouts fails at the fourth; Kayenta compares both arms
once at the end. Numbers are drawn exactly; the same seed gives the same table.`,
		Example: `  sluice judge simulate
  sluice judge simulate --requests 50 --errors 1% --ratios 1,2,5 --runs 5000
  sluice judge simulate --requests 100 --errors 0.1% --ratios 5 -o svg > simulation.svg
  sluice judge simulate --requests 100 --errors 0.1% --ratios 5 --save-trace release.jsonl`,
		Args: cobra.NoArgs,
		RunE: s.run,
	}
	flags := cmd.Flags()
	flags.Float64Var(&s.requests, "requests", 0, "requests that the service gets in a second")
	flags.StringVar(&s.errors, "errors", "1%", "part of them that fail while nothing is released")
	flags.IntVar(&s.burst, "burst", 1, "how many errors come together")
	flags.IntVar(&s.weight, "weight", 10, "weight of the canary, in percent")
	flags.Float64SliceVar(&s.ratios, "ratios", []float64{1, 2, 5}, "how many times the primary's errors the canary has")
	flags.DurationVar(&s.window, "window", 10*time.Second, "how often the judge looks")
	flags.DurationVar(&s.lasts, "for", 30*time.Minute, "how long a release lasts at most")
	flags.IntVar(&s.runs, "runs", 1000, "releases of each kind")
	flags.Uint64Var(&s.seed, "seed", 1, "of the random numbers")
	flags.StringVar(&s.trace, "save-trace", "", "instead play one release of each of --ratios, an hour apart, and write "+
		"the counters of its pods to this file, for replay")
	s.settings.register(cmd)
	s.output.Register(cmd, output.SVG)
	return cmd
}

func (s *simulation) run(cmd *cobra.Command, _ []string) error {
	if err := s.output.Validate(); err != nil {
		return err
	}
	scenarios, err := s.scenarios(cmd)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(s.seed, 0))
	if s.trace != "" {
		return s.record(random, scenarios)
	}
	rows := report.List[report.JudgeSimulation]{Items: []report.JudgeSimulation{}}
	table := output.Table{
		Columns: []string{"RELEASE", "JUDGE", "FLAGGER", "ARGO", "KAYENTA", "PASSED", "ERRORS", "FLAGGER'S ERRORS"},
		Short:   6,
	}
	var played []simulate.Row
	for i, scenario := range scenarios {
		output.Note(cmd, "playing %d of %d: %s", i+1, len(scenarios), scenario.Name)
		interrupted := func() bool { return cmd.Context().Err() != nil }
		played = append(played, scenario.Play(interrupted, random, s.settings.Settings, s.runs))
		if interrupted() {
			return cmd.Context().Err()
		}
		row := report.JudgeSimulationOf(played[i])
		rows.Items = append(rows.Items, row)
		table.Add(row.Scenario, row.Scenario, rolledBack(row.Judge), rolledBack(row.Flagger), rolledBack(row.Argo), rolledBack(row.Kayenta),
			after(row.Judge.Promoted, row.Judge.PromotedSeconds), fmt.Sprintf("%.0f", row.Judge.Errors), fmt.Sprintf("%.0f", row.Flagger.Errors))
	}
	if s.output.Format() == output.SVG {
		return printFigure(cmd, report.JudgeSimulationFigure(played))
	}
	return s.output.Print(cmd.OutOrStdout(), table, rows)
}

func rolledBack(r report.SimulatedRule) string { return after(r.RolledBack, r.RolledBackSeconds) }

func after(part float64, seconds int64) string {
	if part == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %% after %s", 100*part, time.Duration(seconds)*time.Second)
}

// maxDraws and maxWindows bound what a simulation takes: some minutes of a core.
const (
	maxDraws   = 5e9
	maxWindows = 1e8
)

// scenarios returns what is played.
func (s *simulation) scenarios(cmd *cobra.Command) ([]simulate.Scenario, error) {
	rate, err := s.validate()
	if err != nil {
		return nil, err
	}
	if s.requests == 0 {
		err := meaningless(cmd, "say with --requests what service is released: without it, a table of typical ones is played",
			"errors", "burst", "weight", "ratios", "for")
		typical := simulate.Scenarios(s.window)
		if err == nil {
			err = s.bounded(len(typical), typical[0].Release.Windows)
		}
		return typical, err
	}
	if err := s.bounded(len(s.ratios), int(s.lasts/s.window)); err != nil {
		return nil, err
	}
	scenarios := make([]simulate.Scenario, 0, len(s.ratios))
	for _, ratio := range s.ratios {
		if !(ratio >= 0 && ratio <= 1e6) {
			return nil, fmt.Errorf("--ratios: %g has to be between 0 and a million", ratio)
		}
		if draws := s.requests * s.lasts.Seconds() * min(rate*max(ratio, 1), 1) * float64(s.runs); draws > maxDraws {
			return nil, fmt.Errorf("%.0f errors would have to be drawn, more than %.0f: lower --runs, --for or --requests",
				draws, float64(maxDraws))
		}
		scenarios = append(scenarios, simulate.Scenario{
			Name:    fmt.Sprintf("%g times %s of %g requests a second", ratio, s.errors, s.requests),
			Service: simulate.Service{Requests: s.requests, Rate: rate, Burst: s.burst},
			Release: simulate.ReleaseModel{Ratio: ratio, Share: simulate.Constant(float64(s.weight) / 100),
				Window: s.window, Windows: int(s.lasts / s.window)},
		})
	}
	return scenarios, nil
}

// bounded reports a simulation that would take too long, of so many kinds of releases of so many windows.
func (s *simulation) bounded(kinds, windows int) error {
	if all := float64(kinds) * float64(windows) * float64(s.runs); s.trace == "" && all > maxWindows {
		return fmt.Errorf("%.0f windows would have to be played, more than %.0f: lower --runs or --for, or lengthen --window",
			all, float64(maxWindows))
	}
	return nil
}

// validate checks the flags, and returns the rate of errors.
func (s *simulation) validate() (rate float64, err error) {
	if err := s.settings.validate(); err != nil {
		return 0, err
	}
	switch {
	case s.runs < 1:
		return 0, fmt.Errorf("--runs: %d has to be at least 1", s.runs)
	case s.window < time.Second || s.window > s.lasts:
		return 0, fmt.Errorf("--window: %s has to be between 1s and --for (%s)", s.window, s.lasts)
	case s.lasts > 24*time.Hour:
		return 0, fmt.Errorf("--for: %s is more than a day", s.lasts)
	case s.weight < 1 || s.weight > 99:
		return 0, fmt.Errorf("--weight: %d %% leaves nobody to compare with; it has to be between 1 and 99", s.weight)
	case s.burst < 1 || s.burst > 1000:
		return 0, fmt.Errorf("--burst: %d has to be between 1 and 1000", s.burst)
	case s.trace != "" && s.requests == 0:
		return 0, errors.New("--save-trace: say with --requests what service is recorded")
	case !(s.requests >= 0 && s.requests <= 1e9):
		return 0, fmt.Errorf("--requests: %g is no number of requests in a second, such as 10", s.requests)
	}
	return percent("errors", s.errors)
}
