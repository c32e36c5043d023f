// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"testing"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/test/references"
)

func TestEverySecretThatASpecNamesIsWatched(t *testing.T) {
	references.Watched(t, func() (*v1beta3.Provider, any) {
		obj := &v1beta3.Provider{}
		return obj, &obj.Spec
	}, secretsOf)
}
