// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/test/references"
)

func TestEverySecretThatASpecNamesIsWatched(t *testing.T) {
	references.Watched(t, func() (*sourcev1.Bucket, any) {
		obj := &sourcev1.Bucket{}
		return obj, &obj.Spec
	}, secretsOf)
}
