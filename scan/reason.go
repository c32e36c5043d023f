// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"

	"github.com/fluxcd/pkg/apis/meta"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/registry"
)

// Reason is the reason of a condition that says why a registry could not be read; an
// ImageRepository and the ImagePolicies that look up digests in it say the same.
func Reason(err error) string {
	switch {
	case errors.Is(err, registry.ErrFeatureGate):
		return meta.FeatureGateDisabledReason
	case errors.Is(err, identity.ErrRefused):
		return imagev1.InvalidProviderReason
	case errors.Is(err, registry.ErrInvalidReference):
		return imagev1.ImageURLInvalidReason
	case errors.Is(err, ErrInvalidExclusion):
		return imagev1.InvalidExclusionListReason
	case errors.Is(err, ErrBudget), errors.Is(err, ErrMemory):
		return imagev1.ScanBudgetExceededReason
	case errors.Is(err, registry.ErrCredentials), errors.Is(err, registry.ErrUnauthorized):
		return imagev1.AuthenticationFailedReason
	}
	return imagev1.ReadOperationFailedReason
}
