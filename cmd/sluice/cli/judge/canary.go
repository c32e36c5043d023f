// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/judge/replay"
)

// optionsOf are what a Canary is judged by, but for what flags set.
func optionsOf(cmd *cobra.Command, c *flaggerv1.Canary, flags replay.Options) (replay.Options, error) {
	plan, err := canary.NewPlan(c, canary.PlanSettings{MinInterval: time.Second})
	if err != nil {
		return flags, err
	}
	if flags.Thresholds, err = limitsOf(cmd, plan, flags.Thresholds); err != nil || plan.Judge == nil {
		return flags, err
	}
	if !cmd.Flags().Changed("metrics") {
		flags.Metrics, flags.All = plan.Judge.Kinds, plan.Judge.Named
	}
	flags.Warmup = plan.Judge.Warmup
	settings := plan.Judge.Settings
	for name, set := range map[string]func(){
		"alpha":       func() { settings.Alpha = flags.Settings.Alpha },
		"beta":        func() { settings.Beta = flags.Settings.Beta },
		"tolerated":   func() { settings.Tolerated = flags.Settings.Tolerated },
		"regression":  func() { settings.Regression = flags.Settings.Regression },
		"negligible":  func() { settings.Negligible = flags.Settings.Negligible },
		"min-samples": func() { settings.MinSamples = flags.Settings.MinSamples },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	flags.Settings = settings
	return flags, settings.Check()
}

// limitsOf are the thresholds of a Canary, but for those that flags set.
func limitsOf(cmd *cobra.Command, plan canary.Plan, flags replay.Thresholds) (replay.Thresholds, error) {
	limits := replay.Thresholds{FailedChecks: max(plan.Threshold, 1), Interval: plan.Interval, Steps: max(len(plan.Steps), 1)}
	for _, m := range plan.Metrics {
		switch {
		case m.Custom:
		case m.Name == flaggerv1.RequestSuccessRate && m.Min != nil:
			limits.SuccessRate = *m.Min
		case m.Name == flaggerv1.RequestDuration && m.Max != nil:
			limits.Duration = time.Duration(*m.Max * float64(time.Millisecond))
		}
	}
	for name, set := range map[string]func(){
		"success-rate":  func() { limits.SuccessRate = flags.SuccessRate },
		"max-duration":  func() { limits.Duration = flags.Duration },
		"failed-checks": func() { limits.FailedChecks = flags.FailedChecks },
		"interval":      func() { limits.Interval = flags.Interval },
		"steps":         func() { limits.Steps = flags.Steps },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	return limits, limits.Check()
}

// usersLost is when the newest release so far had surely no users any more. The status has whole seconds, so that it may
// have been up to a second later than it says.
func usersLost(all []replay.Recorded) time.Time {
	if len(all) == 0 || all[len(all)-1].To.IsZero() {
		return time.Time{}
	}
	return all[len(all)-1].To.Add(time.Second)
}

// recordedOf are the releases of a Canary's history, the oldest first.
func recordedOf(c *flaggerv1.Canary) []replay.Recorded {
	var all []replay.Recorded
	for _, r := range slices.Backward(c.Status.History) {
		recorded := replay.Recorded{Revision: r.Revision, From: r.StartedAt.Time, To: r.EndedAt.Time, Outcome: r.Verdict, Reason: r.Reason}
		if len(r.Steps) > 0 {
			recorded.Begins = r.Steps[0].At.Time
		}
		if lost := usersLost(all); lost.After(recorded.From) && lost.After(recorded.Begins) {
			recorded.Begins = lost
		}
		for _, s := range r.Steps {
			if !s.Mirror {
				recorded.Steps = append(recorded.Steps, replay.WeightChange{At: s.At.Time, Weight: float64(s.Weight) / 100})
			}
		}
		all = append(all, recorded)
	}
	return all
}
