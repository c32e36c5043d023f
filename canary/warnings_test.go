// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// warned is a spec, and the beginnings of the warnings about it, in their order.
type warned struct {
	provider string // istio without one
	edit     func(*flaggerv1.CanarySpec)
	want     []string
}

// Fields without effect were ignored in silence, and so were values that mean something else
// than their owner thought: a release with a wrong range failed, or passed, each time.
func TestWhatHardlyMeansWhatWasMeantIsSaid(t *testing.T) {
	chosen := make([]flaggerv1.HTTPMatchRequest, 1)
	analysis := func(a flaggerv1.CanaryAnalysis) func(*flaggerv1.CanarySpec) {
		return func(s *flaggerv1.CanarySpec) {
			a.Interval, a.Threshold = "1m", 1
			s.Analysis = &a
		}
	}
	for name, tc := range map[string]warned{
		"mirroring for chosen users": {
			edit: analysis(flaggerv1.CanaryAnalysis{Iterations: 1, Match: chosen, Mirror: true}), want: []string{"spec.analysis.mirror:"},
		},
		"mirroring before users are moved": {edit: analysis(flaggerv1.CanaryAnalysis{Iterations: 1, Mirror: true, MirrorWeight: 50})},
		"a share of no copies": {
			edit: analysis(flaggerv1.CanaryAnalysis{StepWeight: 10, MirrorWeight: 50}), want: []string{"spec.analysis.mirrorWeight:"},
		},
		"a maximum of steps": {edit: analysis(flaggerv1.CanaryAnalysis{StepWeight: 10, MaxWeight: 50})},
		"a maximum without steps": {
			edit: analysis(flaggerv1.CanaryAnalysis{Iterations: 2, MaxWeight: 50}), want: []string{"spec.analysis.maxWeight:"},
		},
		"a maximum beside the steps' own": {
			edit: analysis(flaggerv1.CanaryAnalysis{StepWeights: []int{10, 80}, MaxWeight: 50}), want: []string{"spec.analysis.maxWeight:"},
		},
		"a maximum that is no percentage": {
			edit: analysis(flaggerv1.CanaryAnalysis{StepWeight: 10, MaxWeight: 150}),
			want: []string{"spec.analysis.maxWeight: 150 is no percentage"},
		},
		"a negative maximum": {
			edit: analysis(flaggerv1.CanaryAnalysis{StepWeight: 10, MaxWeight: -1}), want: []string{"spec.analysis.maxWeight: -1 is no percentage"},
		},
		"a step beyond the maximum": {
			edit: analysis(flaggerv1.CanaryAnalysis{StepWeight: 60, MaxWeight: 50}), want: []string{"spec.analysis.stepWeight: 60 is more than"},
		},
		"a step back that is none": {
			edit: analysis(flaggerv1.CanaryAnalysis{StepWeight: 60, StepWeightPromotion: -5}),
			want: []string{"spec.analysis.stepWeightPromotion: -5"},
		},
		"chosen users without any mirroring": {edit: analysis(flaggerv1.CanaryAnalysis{Iterations: 1, Match: chosen})},
		"weights where nothing routes": {
			"kubernetes", analysis(flaggerv1.CanaryAnalysis{StepWeight: 10, MaxWeight: 50, StepWeightPromotion: 5, Match: chosen}),
			[]string{"spec.analysis.stepWeight: has no effect: provider kubernetes leads no users to a canary, and there are 10 checks instead",
				"spec.analysis.maxWeight: has no effect", "spec.analysis.stepWeightPromotion: has no effect", "spec.analysis.match: has no effect"},
		},
		"listed weights of a worker": {
			"kubernetes", func(s *flaggerv1.CanarySpec) { s.Service.Port, s.Analysis.StepWeights = 0, []int{10} },
			[]string{"spec.analysis.stepWeights: has no effect: a worker has no users"},
		},
		"no number of checks where nothing routes": {
			"kubernetes", analysis(flaggerv1.CanaryAnalysis{Iterations: -1}), []string{"spec.analysis.iterations: has no effect"},
		},
		"checks where nothing routes": {"kubernetes", analysis(flaggerv1.CanaryAnalysis{Iterations: 3}), nil},
		"no failed check at all": {edit: func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight, s.Analysis.Threshold = 10, 0 },
			want: []string{"spec.analysis.threshold: 0 is taken for 1"}},
		"no time to become ready": {
			edit: func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight, s.ProgressDeadlineSeconds = 10, ptr.To[int32](0) },
			want: []string{"spec.progressDeadlineSeconds: 0 ends each release"},
		},
		"more pods than there are": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.Analysis.PrimaryReadyThreshold, s.Analysis.CanaryReadyThreshold = 10, ptr.To(150), ptr.To(-5)
		}, want: []string{"spec.analysis.primaryReadyThreshold: 150 is no percentage; it is taken for 100",
			"spec.analysis.canaryReadyThreshold: -5 is no percentage; it is taken for 0"}},
		"an interval that is none, as in Flagger": {
			edit: func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight, s.Analysis.Interval = 10, "1m5" },
			want: []string{`spec.analysis.interval: "1m5" is no duration such as 30s or 1m; checks are 1m apart`},
		},
		"a target of a group that is no more": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.TargetRef.APIVersion = 10, "extensions/v1beta1"
		}, want: []string{"spec.targetRef.apiVersion: extensions/v1beta1 is taken for apps/v1"}},
		"a target of another version": {
			edit: func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight, s.TargetRef.APIVersion = 10, "apps/v1beta2" },
		},
		"a Service of Knative": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.TargetRef.Kind, s.TargetRef.APIVersion = 10, "Service", "serving.knative.dev/v1"
		}},
		"a Service of another group": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.TargetRef.Kind, s.TargetRef.APIVersion = 10, "Service", "core/v1"
		}, want: []string{"spec.targetRef.apiVersion: core/v1 is taken for v1"}},
		"an autoscaler of another group": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight = 10
			s.AutoscalerRef = &flaggerv1.AutoscalerReference{APIVersion: "apps/v1", Kind: "HorizontalPodAutoscaler", Name: "x"}
		}, want: []string{"spec.autoscalerRef.apiVersion: apps/v1 is taken for autoscaling/v2"}},
		"an autoscaler of an earlier version": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight = 10
			s.AutoscalerRef = &flaggerv1.AutoscalerReference{APIVersion: "autoscaling/v2beta2", Kind: "HorizontalPodAutoscaler", Name: "x"}
		}},
		"an interval of nothing": {edit: func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight, s.Analysis.Interval = 10, "0s" },
			want: []string{"spec.analysis.interval: 0s is raised to the minimum of 10s"}},
		"a gate that nobody comes to": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.Iterations = 2
			s.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "gate", Type: "confirm-traffic-increase", URL: "http://gate/"}}
		}, want: []string{"spec.analysis.webhooks[0].type: webhook gate is never called"}},
		"a gate before each step": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight = 20
			s.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "gate", Type: "confirm-traffic-increase", URL: "http://gate/"}}
		}},
		"fewer retries than none": {edit: func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight = 20
			s.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "load", URL: "http://load/", Retries: -1}}
		}, want: []string{"spec.analysis.webhooks[0].retries: -1 of webhook load is taken for 0"}},
	} {
		t.Run(name, func(t *testing.T) { tc.check(t) })
	}
}

func (w warned) check(t *testing.T) {
	t.Helper()
	name := w.provider
	if name == "" {
		name = "istio"
	}
	plan, err := NewPlan(object(name, w.edit), PlanSettings{})
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range plan.Warnings {
		if i >= len(w.want) || !strings.HasPrefix(got, w.want[i]) {
			t.Errorf("warns %q", plan.Warnings)
		}
	}
	if len(plan.Warnings) < len(w.want) {
		t.Errorf("warns %q only", plan.Warnings)
	}
}

// A range in the wrong unit, or none at all, passed everything or failed everything.
func TestMetricsThatAreComparedWithLittleAreSaid(t *testing.T) {
	ends := func(lowest, highest *float64) *flaggerv1.CanaryThresholdRange {
		return &flaggerv1.CanaryThresholdRange{Min: lowest, Max: highest}
	}
	template := &flaggerv1.CrossNamespaceObjectReference{Name: "errors"}
	for name, tc := range map[string]struct {
		metric flaggerv1.CanaryMetric
		want   []string
	}{
		"a success rate without any range": {
			flaggerv1.CanaryMetric{Name: successRate}, []string{"thresholdRange: is missing, so that any value is good"},
		},
		"a duration without any range": {
			flaggerv1.CanaryMetric{Name: duration}, []string{"thresholdRange: is missing, so that no value above 0 is good"},
		},
		"a template without any range": {
			flaggerv1.CanaryMetric{Name: "errors", TemplateRef: template}, []string{"thresholdRange: is missing, so that no value above 0 is good"},
		},
		"a range without ends": {
			flaggerv1.CanaryMetric{Name: successRate, ThresholdRange: ends(nil, nil)}, []string{"thresholdRange: has neither"},
		},
		"a threshold beside a range": {
			flaggerv1.CanaryMetric{Name: successRate, Threshold: 5, ThresholdRange: ends(ptr.To(99.0), nil)}, []string{"threshold: has no effect"},
		},
		"a rate of one": {
			flaggerv1.CanaryMetric{Name: successRate, ThresholdRange: ends(ptr.To(0.99), nil)}, []string{"thresholdRange.min: 0.99 is a percentage"},
		},
		"a rate in the wrong end": {
			flaggerv1.CanaryMetric{Name: successRate, ThresholdRange: ends(nil, ptr.To(50.0))},
			[]string{"thresholdRange.max: a canary fails that answers more than 50 %"},
		},
		"seconds": {
			flaggerv1.CanaryMetric{Name: duration, ThresholdRange: ends(nil, ptr.To(0.5))}, []string{"thresholdRange.max: 0.5 is in milliseconds"},
		},
		"no time at all": {
			flaggerv1.CanaryMetric{Name: duration, ThresholdRange: ends(nil, ptr.To(0.0))}, []string{"thresholdRange.max: no request"},
		},
		"variables of no template": {
			flaggerv1.CanaryMetric{Name: successRate, Threshold: 99, TemplateVariables: map[string]string{"a": "b"}},
			[]string{"templateVariables: have no effect"},
		},
		"variables of a query": {
			flaggerv1.CanaryMetric{Name: "errors", Query: "x", Threshold: 1, TemplateVariables: map[string]string{"a": "b"}}, nil,
		},
		"a rate as it is meant": {flaggerv1.CanaryMetric{Name: successRate, ThresholdRange: ends(ptr.To(99.0), nil)}, nil},
		"a rate up to all":      {flaggerv1.CanaryMetric{Name: successRate, ThresholdRange: ends(ptr.To(99.0), ptr.To(100.0))}, nil},
		"a deprecated rate":     {flaggerv1.CanaryMetric{Name: successRate, Threshold: 99}, nil},
		"a deprecated duration": {flaggerv1.CanaryMetric{Name: duration, Threshold: 500}, nil},
		"a share of one that is a template's": {
			flaggerv1.CanaryMetric{Name: "errors", TemplateRef: template, ThresholdRange: ends(nil, ptr.To(0.01))}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			field := fmt.Sprintf("spec.analysis.metrics[%s].", tc.metric.Name)
			var want []string
			for _, text := range tc.want {
				want = append(want, field+text)
			}
			warned{edit: func(s *flaggerv1.CanarySpec) {
				s.Analysis.StepWeight, s.Analysis.Metrics = 10, []flaggerv1.CanaryMetric{tc.metric}
			}, want: want}.check(t)
		})
	}
}

// A release that no value could pass was rolled back each time, as if the canary were bad.
func TestARangeThatNoValueIsInIsSaidBeforeARelease(t *testing.T) {
	for name, tc := range map[string]struct {
		of              string
		own             bool
		lowest, highest *float64
		want            string
	}{
		"ends that are swapped":         {successRate, false, ptr.To(99.0), ptr.To(50.0), "min 99 is above max 50"},
		"ends of a template's, swapped": {"lag", true, ptr.To(2.0), ptr.To(1.0), "min 2 is above max 1"},
		"more than all requests":        {successRate, false, ptr.To(101.0), nil, "min: 101 is above 100 %"},
		"fewer than no requests":        {successRate, false, nil, ptr.To(-1.0), "max: -1 is below 0"},
		"less than no time":             {duration, false, nil, ptr.To(-1.0), "max: -1 is below 0"},
		"one value":                     {successRate, false, ptr.To(100.0), ptr.To(100.0), ""},
		"a template's, below 0":         {"lag", true, nil, ptr.To(-1.0), ""},
		"a template's by a known name":  {successRate, true, ptr.To(101.0), nil, "min: 101 is above 100 %"}, // the built-in check is made, too
	} {
		t.Run(name, func(t *testing.T) {
			m := flaggerv1.CanaryMetric{Name: tc.of, ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: tc.lowest, Max: tc.highest}}
			if tc.own {
				m.TemplateRef = &flaggerv1.CrossNamespaceObjectReference{Name: "x"}
			}
			plan, err := NewPlan(object("istio", func(s *flaggerv1.CanarySpec) {
				s.Analysis.StepWeight, s.Analysis.Metrics = 10, []flaggerv1.CanaryMetric{m}
			}), PlanSettings{})
			if err != nil || tc.want == "" != (plan.Impossible == "") || !strings.Contains(plan.Impossible, tc.want) {
				t.Errorf("got %q, %v", plan.Impossible, err)
			}
		})
	}
}

func TestAShortIntervalIsRaisedAndSaidSo(t *testing.T) {
	c := object("kubernetes", func(s *flaggerv1.CanarySpec) { s.Analysis.Interval, s.Analysis.Iterations = "1s", 1 })
	plan, err := NewPlan(c, PlanSettings{MinInterval: 10 * time.Second})
	if err != nil || plan.Interval != 10*time.Second || len(plan.Warnings) != 1 {
		t.Errorf("got %v, %v, %v", plan.Interval, plan.Warnings, err)
	}
}

// A condition of thousands of characters is read by nobody.
func TestOnlySomeOfManyWarningsAreSaid(t *testing.T) {
	if diff := cmp.Diff("a; b; c; d; e; and 2 more", Advice(strings.Split("abcdefg", ""))); diff != "" {
		t.Error(diff)
	}
	if got := Advice(nil); got != "" {
		t.Errorf("says %q of nothing", got)
	}
}
