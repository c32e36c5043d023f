// Package bus carries hints inside one process: that an object has something to
// do now, and which commit it is about.
//
//	imageupdateautomation --Publish("GitRepository", key, commit)--> gitrepository
//
// A hint only makes a step start sooner. It is not stored, not repeated and not
// heard by other processes; whoever misses one finds the same out at its next
// interval, from what Git or the API server says. So nothing may be decided by
// a hint alone.
package bus

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Hints passes hints between the controllers of one process. It is safe for
// concurrent use; make it with New.
type Hints struct {
	mu      sync.Mutex
	commits map[topic]string
	queues  map[string][]queue
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

type topic struct {
	kind string
	key  types.NamespacedName
}

// New returns a bus that nobody listens to yet.
func New() *Hints {
	return &Hints{commits: map[topic]string{}, queues: map[string][]queue{}}
}

// Publish tells the controller of a kind that a commit is there for an object.
// It never blocks.
func (h *Hints) Publish(kind string, key types.NamespacedName, commit string) {
	h.mu.Lock()
	h.commits[topic{kind, key}] = commit
	queues := slices.Clone(h.queues[kind])
	h.mu.Unlock()
	for _, q := range queues {
		q.Add(reconcile.Request{NamespacedName: key})
	}
}

// Commit returns the commit that was last published for an object, or "".
func (h *Hints) Commit(kind string, key types.NamespacedName) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.commits[topic{kind, key}]
}

// Forget drops what is known about an object that is gone.
func (h *Hints) Forget(kind string, key types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.commits, topic{kind, key})
}

// Source lets a controller hear the hints for its kind, from when it starts
// until it ends.
func (h *Hints) Source(kind string) source.Source {
	return source.Func(func(ctx context.Context, q queue) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.queues[kind] = append(h.queues[kind], q)
		context.AfterFunc(ctx, func() { h.leave(kind, q) })
		return nil
	})
}

func (h *Hints) leave(kind string, gone queue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queues[kind] = slices.DeleteFunc(h.queues[kind], func(q queue) bool { return q == gone })
}
