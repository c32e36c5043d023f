package receiver

import (
	"context"
	"sync"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// expensive remembers the Receivers whose expressions took more than they may, and
// has them reconciled. A restart forgets it; the first request finds it out again,
// and is ended as the one before.
type expensive struct {
	mu    sync.Mutex
	queue queue
	found map[types.NamespacedName]verdict
}

// verdict is about one generation of a Receiver, until somebody asks again.
type verdict struct {
	uid        types.UID
	generation int64
	requested  string
	err        error
}

// Start implements source.Source.
func (e *expensive) Start(_ context.Context, q queue) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = q
	return nil
}

func (e *expensive) note(obj *notificationv1.Receiver, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.found == nil {
		e.found = map[types.NamespacedName]verdict{}
	}
	key := client.ObjectKeyFromObject(obj)
	e.found[key] = verdict{obj.UID, obj.Generation, obj.Annotations[meta.ReconcileRequestAnnotation], err}
	if e.queue != nil {
		e.queue.Add(reconcile.Request{NamespacedName: key})
	}
}

// verdict is what was found out about a Receiver as it is now; nil is nothing.
func (e *expensive) verdict(obj *notificationv1.Receiver) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	v, ok := e.found[key]
	if !ok {
		return nil
	}
	if v.uid != obj.UID || v.generation != obj.Generation || v.requested != obj.Annotations[meta.ReconcileRequestAnnotation] {
		delete(e.found, key)
		return nil
	}
	return v.err
}

func (e *expensive) forget(key types.NamespacedName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.found, key)
}
