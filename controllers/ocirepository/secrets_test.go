// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/test/references"
)

func TestEverySecretThatASpecNamesIsWatched(t *testing.T) {
	references.Watched(t, func() (*sourcev1.OCIRepository, any) {
		obj := &sourcev1.OCIRepository{}
		return obj, &obj.Spec
	}, secretsOf)
}
