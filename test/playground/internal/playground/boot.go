// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// boot runs all services, each as soon as what it needs is ready. It reports
// whether anything had to be started.
func (p *Playground) boot(ctx context.Context, services []service) (changed bool, err error) {
	ready := map[string]chan struct{}{}
	for _, s := range services {
		ready[s.name] = make(chan struct{})
	}
	var started atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range services {
		group.Go(func() error {
			for _, need := range s.needs {
				select {
				case <-ready[need]:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			begun := time.Now()
			outcome, err := p.ensure(ctx, s)
			if err != nil {
				return err
			}
			if outcome != wasRunning {
				started.Store(true)
				fmt.Fprintf(p.progress, "  %-24s %s in %s\n", s.name, outcome, time.Since(begun).Round(10*time.Millisecond))
			}
			close(ready[s.name])
			return nil
		})
	}
	err = group.Wait()
	return started.Load(), err
}
