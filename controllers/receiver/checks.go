// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"sync"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/notify"
)

// checks remembers what is wrong with the spec of each Receiver: compiling a hundred
// expressions takes a worker a while, and they are the same at every interval.
type checks struct {
	mu         sync.Mutex
	byReceiver map[types.NamespacedName]check
}

// check is about one generation.
type check struct {
	uid        types.UID
	generation int64
	err        error
}

func (c *checks) check(obj *notificationv1.Receiver) error {
	key := client.ObjectKeyFromObject(obj)
	c.mu.Lock()
	known, ok := c.byReceiver[key]
	c.mu.Unlock()
	if ok && known.uid == obj.UID && known.generation == obj.Generation {
		return known.err
	}
	err := notify.Check(obj)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byReceiver == nil {
		c.byReceiver = map[types.NamespacedName]check{}
	}
	c.byReceiver[key] = check{obj.UID, obj.Generation, err}
	return err
}

func (c *checks) forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byReceiver, key)
}
