package canary

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// recalledObjects bounds what is remembered. Beyond it, objects are read again.
	recalledObjects = 1000
	// recallTime is how often everything is forgotten. A watch that says nothing may
	// have died without a word, and canaries at rest are to cost no memory.
	recallTime = 30 * time.Second
)

// recall spares reading an object again that has not changed: its own watch says
// so, since the version that it saw last is the one that was read or written last.
// What was written here and not yet seen by the watch has another version, and is
// read, so nothing older than an own write is ever returned. Only objects as JSON,
// of kinds that are watched, are remembered; all else goes to the API server.
type recall struct {
	client.Client
	clock clock.WithTicker
	// version is what the watch saw last of a thing, empty if there is none.
	version func(context.Context, thing) string
	inMesh  bool

	mu sync.Mutex
	// writes counts beginnings and ends of writes: what was read while one went on
	// may be older than what it wrote.
	writes uint64
	known  *lru.Cache
}

func newRecall(of client.Client, in *feed, clk clock.WithTicker) *recall {
	return &recall{Client: of, clock: clk, version: in.version, known: lru.New(recalledObjects)}
}

// Start implements manager.Runnable.
func (r *recall) Start(ctx context.Context) error {
	ticker := r.clock.NewTicker(recallTime)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			r.known.Clear()
		}
	}
}

// Get implements [client.Reader].
func (r *recall) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	object, ok := into.(*unstructured.Unstructured)
	if !ok || len(opts) > 0 {
		return r.Client.Get(ctx, key, into, opts...)
	}
	of := thing{sort{object.GroupVersionKind(), r.inMesh}, key}
	had, since := r.had(of)
	if had != nil && r.version(ctx, of) == had.GetResourceVersion() {
		had.DeepCopyInto(object)
		return nil
	}
	if err := r.Client.Get(ctx, key, object); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writes == since {
		r.known.Add(of, object.DeepCopy())
	}
	return nil
}

// had is what was read or written last, if that is known, and how many writes there
// were until now.
func (r *recall) had(of thing) (*unstructured.Unstructured, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, _ := r.known.Get(of)
	object, _ := found.(*unstructured.Unstructured)
	return object, r.writes
}

// Create implements [client.Writer].
func (r *recall) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	return r.write(object, func() error { return r.Client.Create(ctx, object, opts...) })
}

// Update implements [client.Writer].
func (r *recall) Update(ctx context.Context, object client.Object, opts ...client.UpdateOption) error {
	return r.write(object, func() error { return r.Client.Update(ctx, object, opts...) })
}

// Patch implements [client.Writer].
func (r *recall) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return r.write(object, func() error { return r.Client.Patch(ctx, object, patch, opts...) })
}

// Delete implements [client.Writer].
func (r *recall) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	r.forget(object)
	defer r.forget(object)
	return r.Client.Delete(ctx, object, opts...)
}

// write remembers what the API server answers. Of a write that failed nobody knows
// whether it took place.
func (r *recall) write(object client.Object, do func() error) error {
	of, began := r.forget(object)
	if err := do(); err != nil {
		r.forget(object)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if written, ok := object.(*unstructured.Unstructured); ok && r.writes == began && of.Kind != "" {
		r.known.Add(of, written.DeepCopy())
	}
	r.writes++
	return nil
}

// forget drops an object before and after a write, and returns how many there were.
func (r *recall) forget(object client.Object) (thing, uint64) {
	kind, err := r.GroupVersionKindFor(object)
	of := thing{sort{kind, r.inMesh}, client.ObjectKeyFromObject(object)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	if err != nil {
		r.known.Clear()
		return thing{}, r.writes
	}
	r.known.Remove(of)
	return of, r.writes
}
