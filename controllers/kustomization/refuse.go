// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// errUnsupported marks a field that the API accepts and this controller does
// not honour. Ignoring it would apply something other than what was asked for.
var errUnsupported = errors.New("field is not supported")

// maxHealthChecks bounds what one Kustomization has watched object by object.
const maxHealthChecks = 100

// refuse names the fields of k that cannot be honoured.
func refuse(k *kustomizev1.Kustomization) error {
	var fields []string
	add := func(unsupported bool, field string) {
		if unsupported {
			fields = append(fields, field)
		}
	}
	add(len(k.Spec.HealthChecks) > maxHealthChecks,
		fmt.Sprintf("spec.healthChecks (%d entries, of which at most %d are watched one by one; spec.wait covers any number)",
			len(k.Spec.HealthChecks), maxHealthChecks))
	if _, ok := sourceOf(k.Spec.SourceRef.Kind); !ok {
		fields = append(fields, fmt.Sprintf("spec.sourceRef.kind (%s)", k.Spec.SourceRef.Kind))
	}
	if len(fields) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errUnsupported, strings.Join(fields, ", "))
}
