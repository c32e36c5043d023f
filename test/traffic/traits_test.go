// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseTraits(t *testing.T) {
	cases := map[string]struct {
		labels  map[string]string
		want    Traits
		wantErr bool
	}{
		"an image without labels is healthy": {nil, Healthy, false},
		"labels declare traits": {
			map[string]string{ErrorRateLabel: "0.25", LatencyLabel: "1.5s"},
			Traits{ErrorRate: 0.25, Latency: 1500 * time.Millisecond},
			false,
		},
		"more than all cannot fail":           {map[string]string{ErrorRateLabel: "1.1"}, Traits{}, true},
		"no number is no share":               {map[string]string{ErrorRateLabel: "NaN"}, Traits{}, true},
		"a latency needs a unit":              {map[string]string{LatencyLabel: "20"}, Traits{}, true},
		"nothing answers before it was asked": {map[string]string{LatencyLabel: "-1s"}, Traits{}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseTraits(tc.labels)
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("traits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTraitsSurviveTheirLabels(t *testing.T) {
	want := Traits{ErrorRate: 0.3, Latency: 40 * time.Millisecond, ErrorNamespace: "production"}
	got, err := ParseTraits(want.Labels())
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestErrorsOfOneNamespaceAreMetThereAlone(t *testing.T) {
	cases := map[string]struct {
		traits        Traits
		wantElsewhere float64
	}{
		"errors of one namespace are met by its users alone": {Traits{ErrorRate: 0.3, ErrorNamespace: "production"}, 0},
		"errors of no namespace are met by all users":        {Traits{ErrorRate: 0.3}, 0.3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.traits.in("production").ErrorRate; got != 0.3 {
				t.Errorf("error rate %v in production, want 0.3", got)
			}
			if got := tc.traits.in("staging").ErrorRate; got != tc.wantElsewhere {
				t.Errorf("error rate %v in staging, want %v", got, tc.wantElsewhere)
			}
		})
	}
}
