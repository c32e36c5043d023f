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
			Traits{0.25, 1500 * time.Millisecond},
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
	want := Traits{ErrorRate: 0.3, Latency: 40 * time.Millisecond}
	got, err := ParseTraits(want.Labels())
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}
