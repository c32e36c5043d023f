// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"

	"k8s.io/client-go/tools/cache"
)

// EventHandler is an informer's handler whose panics are logged and counted as those of [Try]:
// client-go calls handlers in a goroutine of its own, and ends the process when one panics.
// What was missed of the one event is as if it had not been seen. ctx is for the log alone.
func EventHandler(ctx context.Context, handler cache.ResourceEventHandler) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(object any, initial bool) { Run(ctx, func() { handler.OnAdd(object, initial) }) },
		UpdateFunc: func(before, after any) { Run(ctx, func() { handler.OnUpdate(before, after) }) },
		DeleteFunc: func(object any) { Run(ctx, func() { handler.OnDelete(object) }) },
	}
}
