// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// errUnsupported marks a field that the API accepts and this controller does
// not honour. Ignoring it would apply something other than what was asked for.
var errUnsupported = errors.New("field is not supported")

// refuse names the field of k that cannot be honoured.
func refuse(k *kustomizev1.Kustomization) error {
	if _, ok := sourceOf(k.Spec.SourceRef.Kind); !ok {
		return fmt.Errorf("%w: spec.sourceRef.kind (%s)", errUnsupported, k.Spec.SourceRef.Kind)
	}
	return nil
}
