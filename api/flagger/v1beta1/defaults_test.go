// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"slices"
	"testing"
	"time"
)

func TestStrategyFollowsFromTheAnalysis(t *testing.T) {
	tests := map[string]struct {
		analysis *CanaryAnalysis
		want     Strategy
	}{
		"no analysis is a canary":               {nil, StrategyCanary},
		"steps are a canary":                    {&CanaryAnalysis{StepWeight: 10}, StrategyCanary},
		"iterations are blue/green":             {&CanaryAnalysis{Iterations: 5}, StrategyBlueGreen},
		"iterations with a match are A/B":       {&CanaryAnalysis{Iterations: 5, Match: []HTTPMatchRequest{{}}}, StrategyABTesting},
		"a match without iterations is ignored": {&CanaryAnalysis{StepWeight: 5, Match: []HTTPMatchRequest{{}}}, StrategyCanary},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := &Canary{Spec: CanarySpec{Analysis: tc.analysis}}
			if got := c.DeploymentStrategy(); got != tc.want {
				t.Errorf("strategy is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestIntervalIsReadAsWritten(t *testing.T) {
	tests := map[string]struct {
		analysis *CanaryAnalysis
		want     time.Duration
		wantErr  bool
	}{
		"no analysis gives the default":       {nil, DefaultAnalysisInterval, false},
		"no interval gives the default":       {&CanaryAnalysis{}, DefaultAnalysisInterval, false},
		"a short interval is not raised here": {&CanaryAnalysis{Interval: "2s"}, 2 * time.Second, false},
		"what the open pattern let in gives the default, as with Flagger, and an error to tell": {
			&CanaryAnalysis{Interval: "1mx"}, DefaultAnalysisInterval, true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tc.analysis.GetInterval()
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("interval is %s, %v; want %s, error %t", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestDefaultsOfAnEmptyCanary(t *testing.T) {
	c := &Canary{Spec: CanarySpec{TargetRef: LocalObjectReference{Name: "app"}}}
	apex, primary, canary := c.ServiceNames()
	if apex != "app" || primary != "app-primary" || canary != "app-canary" {
		t.Errorf("services are %s, %s, %s", apex, primary, canary)
	}
	if !c.SkipAnalysis() {
		t.Error("a Canary without analysis must skip it")
	}
	if got := c.ProgressDeadline(); got != 10*time.Minute {
		t.Errorf("progress deadline is %s, want 10m", got)
	}
	a := c.Spec.Analysis
	got := [4]int{a.GetThreshold(), a.GetMaxWeight(), a.GetPrimaryReadyThreshold(), a.GetCanaryReadyThreshold()}
	if want := [4]int{1, 100, 100, 100}; got != want {
		t.Errorf("threshold, max weight and ready thresholds are %v, want %v", got, want)
	}
}

// A metric with the name of a built-in check and a query of its own was refused,
// where Flagger makes both checks.
func TestAMetricIsCheckedInEveryWayThatItHas(t *testing.T) {
	template := &CrossNamespaceObjectReference{Name: "errors"}
	type way struct {
		Query    string
		Template bool
	}
	for name, tc := range map[string]struct {
		metric CanaryMetric
		want   []way
	}{
		"a built-in check": {CanaryMetric{Name: RequestDuration}, []way{{}}},
		"a query":          {CanaryMetric{Name: "lag", Query: "lag"}, []way{{Query: "lag"}}},
		"a template":       {CanaryMetric{Name: "lag", TemplateRef: template}, []way{{Template: true}}},
		"a query and a template": {
			CanaryMetric{Name: "lag", Query: "lag", TemplateRef: template},
			[]way{{Query: "lag"}, {Template: true}},
		},
		"a built-in check with a template":  {CanaryMetric{Name: RequestSuccessRate, TemplateRef: template}, []way{{}, {Template: true}}},
		"a built-in check with a query":     {CanaryMetric{Name: RequestSuccessRate, Query: "lag"}, []way{{}, {Query: "lag"}}},
		"no way, which somebody has to say": {CanaryMetric{Name: "lag"}, []way{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []way
			for _, check := range (&CanaryAnalysis{Metrics: []CanaryMetric{tc.metric}}).Checks() {
				if check.Name != tc.metric.Name {
					t.Errorf("a check is called %s", check.Name)
				}
				got = append(got, way{check.Query, check.TemplateRef != nil})
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
	if checks := (*CanaryAnalysis)(nil).Checks(); len(checks) != 0 {
		t.Errorf("no analysis checks %v", checks)
	}
}
