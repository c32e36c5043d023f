// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/contract"
)

// TestNamesakesInTwoNamespacesDoNotShareATrafficRoute: in Flagger both write the
// one object, and the users of one of them lose their route.
func TestNamesakesInTwoNamespacesDoNotShareATrafficRoute(t *testing.T) {
	cluster := contract.Cluster(t)
	first, second := contract.New(t, "kuma", cluster), contract.New(t, "kuma", cluster, "other", "app")
	first.Start(provider.Weights{Primary: 80, Canary: 20})
	if _, err := second.Weights(t.Context(), second.Canary); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("the weights of another namespace were read: %v", err)
	}
	first.Must(first.Finalize(t.Context(), first.Canary))
	second.Start(provider.Weights{Primary: 70, Canary: 30})
	second.Wants(provider.Weights{Primary: 70, Canary: 30})
	first.UnchangedBy("finalizing once more", func() error { return first.Finalize(t.Context(), first.Canary) })
}
