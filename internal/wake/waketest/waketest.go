// SPDX-License-Identifier: Apache-2.0

// Package waketest observes wakes in tests, where no controller runs.
package waketest

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// patience bounds every wait; only a test that fails spends it.
const patience = 5 * time.Minute

// Objects are the objects that a source wakes, in the order in which a controller would get
// them. It is called once for each source.
func Objects(t *testing.T, s source.Source) <-chan types.NamespacedName {
	t.Helper()
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	t.Cleanup(q.ShutDown)
	if err := s.Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	objects := make(chan types.NamespacedName, 1000)
	go func() {
		for {
			request, ended := q.Get()
			if ended {
				return
			}
			q.Done(request)
			objects <- request.NamespacedName
		}
	}()
	return objects
}

// Next is the next object that is woken; a test ends where there is none.
func Next(t *testing.T, objects <-chan types.NamespacedName) types.NamespacedName {
	t.Helper()
	select {
	case object := <-objects:
		return object
	case <-time.After(patience):
		t.Fatal("no object was woken")
		return types.NamespacedName{}
	}
}
