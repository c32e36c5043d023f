// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/golden"
)

func TestTheDocsNameTheProxiesOfMeshes(t *testing.T) {
	golden.CompareBlock(t, "../../docs/kinds/targets.md", "sidecars", "`"+strings.Join(provider.Sidecars(), "`, `")+"`\n")
}
