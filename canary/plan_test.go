// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func object(provider string, edit func(*flaggerv1.CanarySpec)) *flaggerv1.Canary {
	c := &flaggerv1.Canary{}
	c.Spec.Provider = provider
	c.Spec.TargetRef.Kind, c.Spec.TargetRef.Name = "Deployment", "podinfo"
	c.Spec.Service.Port = 80
	c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "1m", Threshold: 5}
	edit(&c.Spec)
	return c
}

func TestStages(t *testing.T) {
	for name, tc := range map[string]struct {
		analysis flaggerv1.CanaryAnalysis
		provider string
		want     []Step
	}{
		"step weights rise by the same": {
			flaggerv1.CanaryAnalysis{StepWeight: 20, MaxWeight: 60},
			"gatewayapi:v1",
			[]Step{{Weight: 20}, {Weight: 40}, {Weight: 60}},
		},
		"the last step is the maximum": {
			flaggerv1.CanaryAnalysis{StepWeight: 20, MaxWeight: 50},
			"gatewayapi:v1",
			[]Step{{Weight: 20}, {Weight: 40}, {Weight: 50}},
		},
		"without a maximum it is all": {flaggerv1.CanaryAnalysis{StepWeight: 60}, "gatewayapi:v1", []Step{{Weight: 60}, {Weight: 100}}},
		"weights can be listed": {
			flaggerv1.CanaryAnalysis{StepWeights: []int{1, 10, 80}},
			"gatewayapi:v1",
			[]Step{{Weight: 1}, {Weight: 10}, {Weight: 80}},
		},
		"blue/green switches at the end": {flaggerv1.CanaryAnalysis{Iterations: 2}, "gatewayapi:v1",
			[]Step{{Iteration: 1}, {Iteration: 2}, {Iteration: 3, Weight: 100}}},
		"blue/green can mirror": {flaggerv1.CanaryAnalysis{Iterations: 1, Mirror: true}, "gatewayapi:v1",
			[]Step{{Iteration: 1, Mirror: true}, {Iteration: 2, Weight: 100}}},
		"blue/green without a router only counts": {
			flaggerv1.CanaryAnalysis{Iterations: 2},
			"kubernetes",
			[]Step{{Iteration: 1}, {Iteration: 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := NewPlan(object(tc.provider, func(s *flaggerv1.CanarySpec) { s.Analysis = &tc.analysis }), PlanSettings{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, plan.Steps); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatCannotBeHonouredIsRefusedByName(t *testing.T) {
	for field, edit := range map[string]func(*flaggerv1.CanarySpec){
		"spec.service.port": func(s *flaggerv1.CanarySpec) { s.Service.Port = 0 },
		"spec.analysis.sampling.interval": func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.Analysis.Sampling = 10, &flaggerv1.CanarySampling{Interval: "1sx"}
			s.Analysis.Metrics = []flaggerv1.CanaryMetric{{Name: "lag"}}
		},
		"spec.analysis.metrics[lag].interval": func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.Analysis.Metrics = 10, []flaggerv1.CanaryMetric{{Name: "lag", Interval: "1mm"}}
		},
		"spec.analysis.stepWeights": func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeights = []int{20, 10} },
		"spec.analysis":             func(*flaggerv1.CanarySpec) {},
	} {
		t.Run(field, func(t *testing.T) {
			_, err := NewPlan(object("gatewayapi:v1", edit), PlanSettings{})
			var refused *Refused
			if !errors.As(err, &refused) || refused.Field != field {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A name with a dot was the host of another namespace in a mesh: no Service could be made
// for it, but a route was.
func TestANameThatNoServiceCanHaveIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		service, target string
		worker          bool
		want            string
	}{
		"a host of another namespace": {
			service: "payments.prod", target: "podinfo", want: `spec.service.name: "payments.prod" is no name of a Service`,
		},
		"capitals":                        {service: "Payments", target: "podinfo", want: "spec.service.name"},
		"a target with a dot":             {target: "podinfo.v2", want: `spec.service.name: is needed: the target's name "podinfo.v2"`},
		"a target with a dot, and a name": {service: "podinfo", target: "podinfo.v2"},
		"a worker with a dot":             {target: "podinfo.v2", worker: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := object("", func(s *flaggerv1.CanarySpec) {
				s.Analysis.Iterations, s.TargetRef.Name, s.Service.Name = 1, tc.target, tc.service
				if tc.worker {
					s.Service.Port = 0
				}
			})
			_, err := NewPlan(c, PlanSettings{Provider: "kubernetes"})
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnUnknownGateIsRefused(t *testing.T) {
	c := object("gatewayapi:v1", func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight = 10 })
	c.Annotations = map[string]string{flaggerv1.GatesAnnotation: "confirm-rollout, confirm-everything"}
	if _, err := NewPlan(c, PlanSettings{}); err == nil || !strings.Contains(err.Error(), "confirm-everything") {
		t.Errorf("got %v", err)
	}
	c.Annotations[flaggerv1.GatesAnnotation] = "confirm-rollout, confirm-promotion"
	plan, err := NewPlan(c, PlanSettings{})
	if diff := cmp.Diff([]flaggerv1.HookType{
		flaggerv1.ConfirmRolloutHook,
		flaggerv1.ConfirmPromotionHook,
	}, plan.Gates); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestWithoutARouterFlaggersFallbackIsSaid(t *testing.T) {
	c := object("kubernetes", func(s *flaggerv1.CanarySpec) {
		s.Analysis.StepWeight, s.Analysis.Match = 10, make([]flaggerv1.HTTPMatchRequest, 1)
	})
	plan, err := NewPlan(c, PlanSettings{})
	if err != nil || len(plan.Steps) != 10 || plan.Steps[9] != (Step{Iteration: 10}) || len(plan.Notes) != 3 {
		t.Errorf("got %+v, %v", plan, err)
	}
}

func TestThresholds(t *testing.T) {
	low, high := 90.0, 500.0
	for name, tc := range map[string]struct {
		metric flaggerv1.CanaryMetric
		got    Measurement
		want   string
	}{
		"a success rate may not be less": {
			flaggerv1.CanaryMetric{Name: successRate, Threshold: 99},
			Measurement{Value: 98.5},
			"Halt podinfo.test advancement success rate 98.50% < 99%",
		},
		"a success rate may be equal": {flaggerv1.CanaryMetric{Name: successRate, Threshold: 99}, Measurement{Value: 99}, ""},
		"a duration may not be more": {
			flaggerv1.CanaryMetric{Name: duration, Threshold: 500},
			Measurement{Value: 610},
			"Halt podinfo.test advancement request duration 610ms > 500ms",
		},
		"anything else may not be more": {
			flaggerv1.CanaryMetric{Name: "lag", Threshold: 5},
			Measurement{Value: 5.5},
			"Halt podinfo.test advancement lag 5.50 > 5",
		},
		"a range comes before threshold": {
			flaggerv1.CanaryMetric{Name: "lag", Threshold: 5, ThresholdRange: &flaggerv1.CanaryThresholdRange{Max: &high}},
			Measurement{Value: 50},
			"",
		},
		"a range has a lower end": {
			flaggerv1.CanaryMetric{Name: "lag", ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: &low}},
			Measurement{Value: 50},
			"Halt podinfo.test advancement lag 50.00 < 90",
		},
		"an error fails the check": {
			flaggerv1.CanaryMetric{Name: "lag"},
			Measurement{Err: "no route"},
			"Metric query failed for lag: no route",
		},
		"no values fail a custom check": {
			flaggerv1.CanaryMetric{Name: "lag"},
			Measurement{NoValues: true},
			"Halt advancement no values found for custom metric: lag",
		},
		"no values of an inline query": {
			flaggerv1.CanaryMetric{Name: "lag", Query: "lag"},
			Measurement{NoValues: true},
			"Halt advancement no values found for metric: lag",
		},
		"no values of a builtin check, of which is known who was asked": {
			flaggerv1.CanaryMetric{Name: successRate},
			Measurement{NoValues: true, Asked: "let it be scraped"},
			"Halt advancement no values found for gatewayapi:v1 metric request-success-rate probably podinfo.test " +
				"is not receiving traffic; let it be scraped",
		},
		"a failed inline query": {
			flaggerv1.CanaryMetric{Name: "lag", Query: "lag"},
			Measurement{Err: "no route"},
			"Prometheus query failed for lag: no route",
		},
		"a query knows no percent": {
			flaggerv1.CanaryMetric{Name: successRate, Query: "x", Threshold: 5},
			Measurement{Value: 5.5, Custom: true},
			"Halt podinfo.test advancement request-success-rate 5.50 > 5",
		},
		"a broken server fails the check": {
			flaggerv1.CanaryMetric{Name: duration},
			Measurement{Err: "timeout"},
			"Prometheus query failed: timeout",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.got.Name = tc.metric.Name
			metric, err := newMetric(tc.metric)
			if err != nil {
				t.Fatal(err)
			}
			if got := names.failure(metric, tc.got); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzStages holds every plan to what an analysis relies on: it ends, and never
// gives the canary more than was allowed.
func FuzzStages(f *testing.F) {
	f.Add("1m", 10, 50, 0, 0)
	f.Add("10s", 0, 0, 5, 0)
	f.Add("1h1m", 0, 0, 0, 30)
	f.Fuzz(func(t *testing.T, interval string, step, highest, iterations, listed int) {
		c := object("gatewayapi:v1", func(s *flaggerv1.CanarySpec) {
			s.Analysis.Interval, s.Analysis.StepWeight, s.Analysis.MaxWeight = interval, step, highest
			s.Analysis.Iterations = min(iterations, 1000)
			if listed != 0 {
				s.Analysis.StepWeights = []int{listed}
			}
		})
		plan, err := NewPlan(c, PlanSettings{MinInterval: time.Second})
		if err != nil {
			return
		}
		if plan.Interval < time.Second || len(plan.Steps) == 0 {
			t.Fatalf("plan %+v", plan)
		}
		state := State{}
		for i, stage := range plan.Steps {
			if stage.Weight < 0 || stage.Weight > 100 || iterations <= 0 && listed == 0 && highest > 0 && stage.Weight > highest {
				t.Fatalf("stage %+v of %+v", stage, c.Spec.Analysis)
			}
			state.Weight, state.Iterations = stage.Weight, max(state.Iterations, stage.Iteration)
			if got := plan.position(state); got != i {
				t.Fatalf("stage %d is taken for %d", i, got)
			}
		}
	})
}

func TestWebhooksAndGatesOfAPlan(t *testing.T) {
	c := object("istio", func(s *flaggerv1.CanarySpec) {
		s.Analysis.StepWeight = 50
		s.Analysis.Webhooks = []flaggerv1.CanaryWebhook{
			{Name: "load", URL: "http://load/"}, {Name: "gate", URL: "http://gate/", Type: confirmPromotion},
		}
	})
	c.Annotations = map[string]string{flaggerv1.GatesAnnotation: " confirm-rollout,confirm-promotion "}
	plan, err := NewPlan(c, PlanSettings{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[flaggerv1.HookType]bool{rollout: true, confirmPromotion: true}, plan.Hooks); diff != "" {
		t.Errorf("a webhook without a type is called by each check: %s", diff)
	}
	if diff := cmp.Diff([]flaggerv1.HookType{confirmRollout, confirmPromotion}, plan.Gates); diff != "" {
		t.Error(diff)
	}
	c.Annotations[flaggerv1.GatesAnnotation] = "confirm-rolout"
	var refused *Refused
	if _, err := NewPlan(c, PlanSettings{}); !errors.As(err, &refused) || refused.Field != "annotation "+flaggerv1.GatesAnnotation {
		t.Errorf("a gate that does not exist: %v", err)
	}
}

func TestAWebhookThatCannotBeCalledIsRefusedBeforeARelease(t *testing.T) {
	for url, wantRefused := range map[string]bool{
		"http://load tester/": true, "loadtester/": true, "ftp://loadtester/": true, "http://hunter2@ /": true,
		"": true, "http://loadtester.test/": false, "https://loadtester/gate?token=hunter2": false,
	} {
		c := object("istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight = 50
			s.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "load", URL: "http://load/"}, {Name: "gate", URL: url}}
		})
		_, err := NewPlan(c, PlanSettings{})
		var refused *Refused
		if got := errors.As(err, &refused); got != wantRefused ||
			got && (refused.Field != "spec.analysis.webhooks[1].url" || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A timeout that is none failed each check, and so rolled back what was fine.
func TestAWebhookWithATimeoutThatIsNoneIsRefusedBeforeARelease(t *testing.T) {
	for name, tc := range map[string]struct {
		webhook flaggerv1.CanaryWebhook
		want    string
	}{
		"a unit that there is not": {
			flaggerv1.CanaryWebhook{Timeout: "30sec"},
			`spec.analysis.webhooks[0].timeout: webhook load: "30sec" is not a duration of up to 6h`,
		},
		"more than there may be": {flaggerv1.CanaryWebhook{Timeout: "400m"}, "spec.analysis.webhooks[0].timeout"},
		"too many attempts": {
			flaggerv1.CanaryWebhook{Retries: 1001}, "spec.analysis.webhooks[0].retries: webhook load: must be at most 1000",
		},
		"an hour":                     {flaggerv1.CanaryWebhook{Timeout: "60m", Retries: 3}, ""},
		"a letter, Flagger's default": {flaggerv1.CanaryWebhook{Timeout: "m"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.webhook.Name, tc.webhook.URL = "load", "http://loadtester.test/"
			_, err := NewPlan(object("istio", func(s *flaggerv1.CanarySpec) {
				s.Analysis.StepWeight, s.Analysis.Webhooks = 50, []flaggerv1.CanaryWebhook{tc.webhook}
			}), PlanSettings{})
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestWhatNothingRoutesIsTriedWithoutUsers: Flagger takes such manifests, and so
// does the plan, which says how they were read.
func TestWhatNothingRoutesIsTriedWithoutUsers(t *testing.T) {
	for name, edit := range map[string]func(*flaggerv1.CanarySpec){
		"weights":     func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight = 10 },
		"listed ones": func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeights = []int{10, 20} },
		"chosen users": func(s *flaggerv1.CanarySpec) {
			s.Analysis.Iterations, s.Analysis.Match = 10, make([]flaggerv1.HTTPMatchRequest, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := NewPlan(object("kubernetes", edit), PlanSettings{})
			if err != nil || len(plan.Steps) != 10 || len(plan.Notes) == 0 {
				t.Fatalf("got %+v, %v", plan, err)
			}
			for _, stage := range plan.Steps {
				if stage.Weight > 0 || stage.Mirror {
					t.Errorf("stage %+v", stage)
				}
			}
		})
	}
}

func TestSamplesDecideWhenTheyOutlastTheWindow(t *testing.T) {
	for name, tc := range map[string]struct {
		interval, window string
		threshold        int
		sampling         *flaggerv1.CanarySampling
		every            time.Duration
		decisive         int
	}{
		"a window of a minute":            {"1m", "", 2, nil, 10 * time.Second, 7},
		"a high threshold":                {"1m", "", 12, nil, 10 * time.Second, 12},
		"a short window":                  {"12s", "4s", 1, nil, 2 * time.Second, 3},
		"what the owner says":             {"1m", "1m", 5, &flaggerv1.CanarySampling{Interval: "2s", Failures: 2}, 2 * time.Second, 2},
		"an interval of the owner's only": {"1m", "1m", 5, &flaggerv1.CanarySampling{Interval: "5s"}, 5 * time.Second, 13},
		"none at all":                     {"1m", "1m", 5, &flaggerv1.CanarySampling{Disabled: true}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := NewPlan(object("gatewayapi:v1", func(s *flaggerv1.CanarySpec) {
				s.Analysis = &flaggerv1.CanaryAnalysis{Interval: tc.interval, Threshold: tc.threshold, StepWeight: 10, Sampling: tc.sampling,
					Metrics: []flaggerv1.CanaryMetric{{Name: "lag", Interval: tc.window}}}
			}), PlanSettings{})
			if err != nil || plan.SampleEvery != tc.every || plan.Metrics[0].Decisive != tc.decisive {
				t.Errorf("got %v, %d, %v", plan.SampleEvery, plan.Metrics[0].Decisive, err)
			}
		})
	}
}

func TestAReleaseHasOnlySoManyIterations(t *testing.T) {
	for name, tc := range map[string]struct {
		provider   string
		iterations int
		refused    bool
	}{
		"a week of one check a minute":   {"istio", 10_080, false},
		"one more":                       {"istio", 10_081, true},
		"more than memory has":           {"istio", math.MaxInt64, true},
		"more than memory has, unrouted": {"kubernetes", math.MaxInt32, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &flaggerv1.Canary{}
			c.Namespace, c.Name = "staging", "app"
			c.Spec.Provider = tc.provider
			c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}
			c.Spec.Service.Port = 80
			c.Spec.Analysis = &flaggerv1.CanaryAnalysis{Interval: "1m", Iterations: tc.iterations}
			_, err := NewPlan(c, PlanSettings{})
			var refused *Refused
			if errors.As(err, &refused) != tc.refused || !tc.refused && err != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}
