package router_test

import (
	"errors"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/canary/provider"
)

// TestNamesakesInTwoNamespacesDoNotShareATrafficRoute: in Flagger both write the
// one object, and the users of one of them lose their route.
func TestNamesakesInTwoNamespacesDoNotShareATrafficRoute(t *testing.T) {
	cluster := clusterWith(t)
	first, second := newTrial(t, "kuma", cluster), newTrial(t, "kuma", cluster, "other", "app")
	first.start(provider.Weights{Primary: 80, Canary: 20})
	if _, err := second.Weights(t.Context(), second.canary); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("the weights of another namespace were read: %v", err)
	}
	first.must(first.Finalize(t.Context(), first.canary))
	second.start(provider.Weights{Primary: 70, Canary: 30})
	second.wants(provider.Weights{Primary: 70, Canary: 30})
	first.unchangedBy("finalizing once more", func() error { return first.Finalize(t.Context(), first.canary) })
}
