package bus_test

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/bus"
)

func TestHints(t *testing.T) {
	key := types.NamespacedName{Namespace: "ns", Name: "app"}
	hints := bus.New()
	hints.Publish("GitRepository", key, "early") // nobody listens, nothing blocks
	ctx, cancel := context.WithCancel(t.Context())
	newQueue := func() workqueue.TypedRateLimitingInterface[reconcile.Request] {
		q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
		t.Cleanup(q.ShutDown)
		return q
	}
	git, other := newQueue(), newQueue()
	if err := hints.Source("GitRepository").Start(ctx, git); err != nil {
		t.Fatal(err)
	}
	if err := hints.Source("Other").Start(ctx, other); err != nil {
		t.Fatal(err)
	}
	hints.Publish("GitRepository", key, "c1")
	hints.Publish("GitRepository", key, "c2")
	if got, _ := git.Get(); got.NamespacedName != key {
		t.Errorf("heard of %v", got)
	}
	if git.Len() != 0 || other.Len() != 0 {
		t.Errorf("%d more for the kind and %d for another", git.Len(), other.Len())
	}
	if got := hints.Commit("GitRepository", key); got != "c2" {
		t.Errorf("commit is %q, want the last", got)
	}
	hints.Forget("GitRepository", key)
	if got := hints.Commit("GitRepository", key); got != "" {
		t.Errorf("forgotten commit is %q", got)
	}
	git.Done(reconcile.Request{NamespacedName: key})
	cancel()
	for { // the queue leaves in the background
		hints.Publish("GitRepository", key, "late")
		if git.Len() == 0 {
			return
		}
		got, _ := git.Get()
		git.Done(got)
	}
}
