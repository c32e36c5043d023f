// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
)

// replacesQuarantined reports whether a policy chose its tag only because one that ranks
// before it is in quarantine.
func replacesQuarantined(p *imagev1.ImagePolicy) bool {
	return p.Status.Decision != nil && slices.ContainsFunc(p.Status.Decision.Candidates, func(c imagev1.Candidate) bool {
		return c.Gate == string(policy.GateQuarantine)
	})
}
