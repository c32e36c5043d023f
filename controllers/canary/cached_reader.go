// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/lru"
)

const (
	// cachedObjects bounds how many objects are kept. Beyond it, they are read again.
	cachedObjects = 1000
	// cacheTime is how often everything is dropped. A watch that says nothing may have
	// died without a word, and canaries at rest are to cost no memory.
	cacheTime = 30 * time.Second
)

// cachedReader is a client that reads no object again that has not changed: its own watch says
// so, since the version that it saw last is the one that was read or written last.
// What was written here and not yet seen by the watch has another version, and is
// read, so nothing older than an own write is ever returned. Only objects as JSON,
// of kinds that are watched, are kept; all else goes to the API server. Controller-runtime's
// EnableReadYourWritesConsistency knows the writes of its own client, and blocks until
// the watch has seen them; here a write is followed by a read at once.
type cachedReader struct {
	client.Client
	clock clock.WithTicker
	// version is what the watch saw last of an object, empty if there is none.
	version func(context.Context, clusterRef) string
	cluster clusterName

	mu sync.Mutex
	// writes counts beginnings and ends of writes: what was read while one went on
	// may be older than what it wrote.
	writes  uint64
	objects *lru.Cache[clusterRef, *unstructured.Unstructured]
}

func newCachedReader(of client.Client, in clusterName, watcher *dynamicWatcher, clk clock.WithTicker) *cachedReader {
	return &cachedReader{
		Client: of, clock: clk, version: watcher.version, cluster: in,
		objects: lru.NewCounted[clusterRef, *unstructured.Unstructured](cachedObjects),
	}
}

// Start implements manager.Runnable.
func (r *cachedReader) Start(ctx context.Context) error {
	ticker := r.clock.NewTicker(cacheTime)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			r.objects.Clear()
		}
	}
}

// Get implements [client.Reader].
func (r *cachedReader) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	object, ok := into.(*unstructured.Unstructured)
	if !ok || len(opts) > 0 {
		return r.Client.Get(ctx, key, into, opts...)
	}
	of := clusterRef{clusterKind{object.GroupVersionKind(), r.cluster}, key}
	had, since := r.last(of)
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
		r.objects.Put(of, object.DeepCopy())
	}
	return nil
}

// last is what was read or written last, if that is known, and how many writes there
// were until now.
func (r *cachedReader) last(of clusterRef) (*unstructured.Unstructured, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	object, _ := r.objects.Get(of)
	return object, r.writes
}

// Create implements [client.Writer].
func (r *cachedReader) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	return r.write(object, func() error { return r.Client.Create(ctx, object, opts...) })
}

// Update implements [client.Writer].
func (r *cachedReader) Update(ctx context.Context, object client.Object, opts ...client.UpdateOption) error {
	return r.write(object, func() error { return r.Client.Update(ctx, object, opts...) })
}

// Patch implements [client.Writer].
func (r *cachedReader) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return r.write(object, func() error { return r.Client.Patch(ctx, object, patch, opts...) })
}

// Delete implements [client.Writer].
func (r *cachedReader) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	r.evictAndCount(object)
	defer r.evictAndCount(object)
	return r.Client.Delete(ctx, object, opts...)
}

// write remembers what the API server answers. Of a write that failed nobody knows
// whether it took place.
func (r *cachedReader) write(object client.Object, do func() error) error {
	of, began := r.evictAndCount(object)
	if err := do(); err != nil {
		r.evictAndCount(object)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if written, ok := object.(*unstructured.Unstructured); ok && r.writes == began && of.Kind != "" {
		r.objects.Put(of, written.DeepCopy())
	}
	r.writes++
	return nil
}

// evictAndCount evicts an object before and after a write, and returns its key and how many writes began
// or ended so far.
func (r *cachedReader) evictAndCount(object client.Object) (clusterRef, uint64) {
	kind, err := r.GroupVersionKindFor(object)
	of := clusterRef{clusterKind{kind, r.cluster}, client.ObjectKeyFromObject(object)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	if err != nil {
		r.objects.Clear()
		return clusterRef{}, r.writes
	}
	r.objects.Remove(of)
	return of, r.writes
}
