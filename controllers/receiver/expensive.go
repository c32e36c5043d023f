// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"sync"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/wake"
)

// expensive remembers the Receivers whose expressions took more than they may, and
// has them reconciled. A restart forgets it; the first request finds it out again,
// and is ended as the one before.
type expensive struct {
	wake wake.Source

	mu    sync.Mutex
	found map[types.NamespacedName]verdict
}

// verdict is about one generation of a Receiver, until somebody asks again.
type verdict struct {
	uid        types.UID
	generation int64
	requested  string
	err        error
}

func (e *expensive) note(obj *notificationv1.Receiver, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.found == nil {
		e.found = map[types.NamespacedName]verdict{}
	}
	key := client.ObjectKeyFromObject(obj)
	e.found[key] = verdict{obj.UID, obj.Generation, obj.Annotations[meta.ReconcileRequestAnnotation], err}
	e.wake.Wake(key)
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
