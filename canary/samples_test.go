// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"math"
	"testing"

	"k8s.io/utils/ptr"
)

func TestSamplesAreDecisiveInARow(t *testing.T) {
	plan := Plan{Metrics: []Metric{{Name: successRate, Min: ptr.To(99.0), Decisive: 3}, {Name: "errors", Max: ptr.To(1.0), Decisive: 3}}}
	good, bad := Measurement{Name: successRate, Value: 100}, Measurement{Name: successRate, Value: 50}
	none, broken := Measurement{Name: successRate, NoValues: true}, Measurement{Name: successRate, Err: "timeout"}
	for name, tc := range map[string]struct {
		samples []Measurement
		want    string
	}{
		"good ones":                        {[]Measurement{good, good, good, good}, ""},
		"bad ones in a row":                {[]Measurement{good, bad, bad, bad}, "request-success-rate 50.00% in 3 samples in a row"},
		"bad ones with a good one between": {[]Measurement{bad, bad, good, bad, bad}, ""},
		"none between neither counts":      {[]Measurement{bad, none, bad, broken}, ""},
		"none between nor ends the run":    {[]Measurement{bad, none, broken, bad, bad}, "request-success-rate 50.00% in 3 samples in a row"},
		"nothing measured at all":          {[]Measurement{none, none, none, none}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var s Samples
			alarm := ""
			for _, m := range tc.samples {
				alarm = s.Add(plan, []Measurement{m, {Name: "errors", Value: 0}})
			}
			if alarm != tc.want {
				t.Errorf("got %q", alarm)
			}
		})
	}
}

func TestAnInfiniteValueIsWithinNoRange(t *testing.T) {
	low, high := 99.0, 500.0
	n := Names{Namespace: "ns", Canary: "c", Target: "t", Provider: "kubernetes"}
	for _, value := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		for name, metric := range map[string]Metric{
			"with a minimum": {
				Name: successRate,
				Min:  &low,
			}, "with a maximum": {Name: duration, Max: &high}, "without a range": {Name: "own", Custom: true},
		} {
			if n.failure(metric, Measurement{Name: metric.Name, Value: value}) == "" {
				t.Errorf("%v passes %s", value, name)
			}
		}
	}
}
