// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"testing"

	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/contract/pullrequest"
)

func TestEveryForgeKeepsTheContractOfPullRequests(t *testing.T) {
	for _, name := range forge.Providers() {
		t.Run(name, func(t *testing.T) {
			if protocols[name].serve == nil {
				t.Fatalf("provider %s has no server to be tried on", name)
			}
			pullrequest.Run(t, func(t *testing.T) pullrequest.Repository { return newFakeForge(t, name) })
		})
	}
}
