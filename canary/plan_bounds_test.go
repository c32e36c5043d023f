package canary_test

import (
	"errors"
	"math"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

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
			_, err := canary.NewPlan(c, canary.Limits{})
			var refused *canary.Refused
			if errors.As(err, &refused) != tc.refused || !tc.refused && err != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}
