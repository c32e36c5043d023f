// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/test/references"
)

func TestEverySecretThatASpecNamesIsWatched(t *testing.T) {
	references.Watched(t, func() (*sourcev1.GitRepository, any) {
		obj := &sourcev1.GitRepository{}
		return obj, &obj.Spec
	}, secretsOf)
}
