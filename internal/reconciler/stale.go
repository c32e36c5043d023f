package reconciler

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// staleDelay is how soon to look again when the cache lags behind our own
// writes. It usually catches up within milliseconds.
const staleDelay = 20 * time.Millisecond

// versions remembers the resource version of the last write to each object. A
// reconcile that starts from an older one would act on a status that is not
// true any more, find out when it writes, and have done its work for nothing.
type versions struct {
	mu      sync.Mutex
	written map[types.NamespacedName]string
}

// wrote notes that obj is as it was just written.
func (v *versions) wrote(obj client.Object) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.written == nil {
		v.written = map[types.NamespacedName]string{}
	}
	v.written[client.ObjectKeyFromObject(obj)] = obj.GetResourceVersion()
}

// outrun reports whether something newer than obj was written. Once the cache
// has caught up there is nothing left to remember.
func (v *versions) outrun(obj client.Object) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), v.written[key])
	if err == nil && order < 0 {
		return true
	}
	delete(v.written, key)
	return false
}

// forget drops what is remembered of an object that is gone: one of the same
// name may follow, with the cache of a server that counts from the start.
func (v *versions) forget(key types.NamespacedName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.written, key)
}
