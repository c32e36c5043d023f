// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
)

func TestWhatStandsInForAVersionInQuarantine(t *testing.T) {
	for name, tc := range map[string]struct {
		decision *imagev1.Decision
		want     bool
	}{
		"nothing is known": {},
		"the first choice": {&imagev1.Decision{Candidates: []imagev1.Candidate{{Tag: "2"}}}, false},
		"the next after one of us": {
			&imagev1.Decision{Candidates: []imagev1.Candidate{{Tag: "3", Gate: string(policy.GateQuarantine)}, {Tag: "2"}}},
			true,
		},
		"the next after a new one": {&imagev1.Decision{Candidates: []imagev1.Candidate{{Tag: "3", Gate: "MinAge"}, {Tag: "2"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &imagev1.ImagePolicy{}
			p.Status.Decision = tc.decision
			if got := replacesQuarantined(p); got != tc.want {
				t.Errorf("it stands in: %t", got)
			}
		})
	}
}
