// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/replay"
)

// A replay was of the default settings, whatever the Canary's own judge was told.
func TestAReplayIsOfTheCanarysOwnJudge(t *testing.T) {
	c := &flaggerv1.Canary{}
	c.Spec.Provider, c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name, c.Spec.Service.Port = "istio", "Deployment", "podinfo", 80
	c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "2m", Threshold: 4, StepWeight: 25, MaxWeight: 50,
		Judge: &flaggerv1.CanaryJudge{Alpha: "0.001", Regression: "5", Metrics: []flaggerv1.JudgeMetric{flaggerv1.JudgeErrors}}}
	for name, tc := range map[string]struct {
		args         []string
		alpha, ratio float64
		metrics      []judge.Kind
	}{
		"without flags": {nil, 0.001, 5, []judge.Kind{judge.Errors}},
		"with some":     {[]string{"--alpha", "0.05", "--metrics", "latency"}, 0.05, 5, []judge.Kind{judge.Latency}},
	} {
		cmd := replayCommand("test", clock.RealClock{})
		if err := cmd.ParseFlags(tc.args); err != nil {
			t.Fatal(err)
		}
		flags := replay.Options{
			Settings: judge.Default(), Thresholds: replay.DefaultThresholds(), Gap: time.Minute, Metrics: []judge.Kind{judge.Latency},
		}
		flags.Settings.Alpha = 0.05
		got, err := optionsOf(cmd, c, flags)
		if err != nil || got.Settings.Alpha != tc.alpha || got.Settings.Regression != tc.ratio || !slices.Equal(got.Metrics, tc.metrics) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got.Thresholds.Interval != 2*time.Minute || got.Thresholds.Steps != 2 || got.Thresholds.FailedChecks != 4 {
			t.Errorf("%s: limits %+v", name, got.Thresholds)
		}
	}
	c.Spec.Analysis.Judge.Alpha = "x"
	if _, err := optionsOf(replayCommand("test", clock.RealClock{}), c, replay.Options{Thresholds: replay.DefaultThresholds()}); err == nil {
		t.Error("a judge that is refused is replayed")
	}
}

// What the release before still met in its last second was replayed as errors of the next one, as the controller once judged it.
func TestAReplayedReleaseBeginsWhenTheOneBeforeHasNoUsers(t *testing.T) {
	at := func(seconds int) metav1.Time { return metav1.Unix(1_793_620_800+int64(seconds), 0) }
	for name, tc := range map[string]struct {
		started, step, ended int // of the second, and of the first
		want                 int
	}{
		"within the same second":                {started: 60, step: 60, ended: 60, want: 61},
		"with a first step in the second after": {started: 60, step: 61, ended: 60, want: 61},
		"long after":                            {started: 90, step: 95, ended: 60, want: 95},
	} {
		c := &flaggerv1.Canary{}
		c.Status.History = []flaggerv1.CanaryRelease{
			{Revision: "b", StartedAt: at(tc.started), Steps: []flaggerv1.CanaryStep{{At: at(tc.step), Weight: 10}}},
			{Revision: "a", StartedAt: at(0), EndedAt: at(tc.ended)},
		}
		got := recordedOf(c)
		if len(got) != 2 || !got[0].Begins.IsZero() || !got[1].Begins.Equal(at(tc.want).Time) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
