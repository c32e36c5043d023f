// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// The values are those that Flagger v1.44.0 computes from the same status.
func TestChecksumIsFlaggers(t *testing.T) {
	cases := map[string]struct {
		status flaggerv1.CanaryStatus
		want   string
	}{
		"of nothing":    {want: "758df7c9fc"},
		"of a revision": {status: flaggerv1.CanaryStatus{LastAppliedSpec: "sha256:ab"}, want: "64476dd6cc"},
		"without configs": {
			status: flaggerv1.CanaryStatus{LastAppliedSpec: "4cb74184589", TrackedConfigs: map[string]string{}},
			want:   "56966965f5",
		},
		"with a config": {
			status: flaggerv1.CanaryStatus{LastAppliedSpec: "4cb74184589", TrackedConfigs: map[string]string{"test-config-map": "484637c76acaa7c6"}},
			want:   "569bdb7cb9",
		},
		"with several ones": {
			status: flaggerv1.CanaryStatus{LastAppliedSpec: "5f56684589", TrackedConfigs: map[string]string{"secret/b": "2", `configmap/a"x`: "1"}},
			want:   "6cfcd44594",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := checksum(&flaggerv1.Canary{Status: tc.status}); got != tc.want {
				t.Errorf("checksum %s, want %s", got, tc.want)
			}
		})
	}
}
