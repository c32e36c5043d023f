// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	refs "github.com/sluice-cd/sluice/test/references"
)

func TestEverySecretAndConfigMapThatASpecNamesIsWatched(t *testing.T) {
	refs.Watched(t, func() (*kustomizev1.Kustomization, any) {
		obj := &kustomizev1.Kustomization{}
		return obj, &obj.Spec
	}, watchedInputs)
}
