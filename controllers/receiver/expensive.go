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

// expensive keeps the Receivers whose expressions exceeded their budget, and has them
// reconciled. A restart loses it; the first request then exceeds the budget again.
type expensive struct {
	wake wake.Source

	mu    sync.Mutex
	found map[types.NamespacedName]budgetError
}

// budgetError is about one generation of a Receiver, until a reconcile is requested.
type budgetError struct {
	uid        types.UID
	generation int64
	requested  string
	err        error
}

func (e *expensive) record(obj *notificationv1.Receiver, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.found == nil {
		e.found = map[types.NamespacedName]budgetError{}
	}
	key := client.ObjectKeyFromObject(obj)
	e.found[key] = budgetError{obj.UID, obj.Generation, obj.Annotations[meta.ReconcileRequestAnnotation], err}
	e.wake.Wake(key)
}

// errorOf is the error of a Receiver as it is now, nil if its expressions exceeded nothing.
func (e *expensive) errorOf(obj *notificationv1.Receiver) error {
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
