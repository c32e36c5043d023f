// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Data says what becomes of a playground's data when it goes down.
type Data string

// What can become of it.
const (
	Remove Data = "remove"
	Keep   Data = "keep"
)

// grace is how long a service may take to end when its data is kept.
const grace = 20 * time.Second

// Down ends every process and removes the folder. Where there is no
// playground there is nothing to do, and that is no error.
func (p *Playground) Down(ctx context.Context, data Data) error {
	if _, err := readState(p.dir); errors.Is(err, errNone) { // do not make a folder to lock it
		fmt.Fprintf(p.progress, "no playground in %s\n", p.dir)
		return nil
	}
	unlock, err := lock(p.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if p.state, err = readState(p.dir); err != nil {
		return err
	}
	if err := os.Remove(p.envFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := p.stop(ctx, data); err != nil {
		return err
	}
	if data == Keep {
		fmt.Fprintf(p.progress, "playground %s is down; its data is kept\n", p.dir)
		return p.state.save()
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("removing the playground: %w", err)
	}
	fmt.Fprintf(p.progress, "playground %s is down and removed\n", p.dir)
	return nil
}

// stop ends all services. Those that write to etcd go before it. Where nothing
// is kept, nobody is asked to write things down first.
func (p *Playground) stop(ctx context.Context, data Data) error {
	patience := grace
	if data == Remove {
		patience = 0
	}
	var first, last []string
	for name := range p.state.Processes {
		if name == "etcd" {
			last = append(last, name)
		} else {
			first = append(first, name)
		}
	}
	err := errors.Join(p.stopAll(ctx, first, patience), p.stopAll(ctx, last, patience))
	if err != nil || p.state.Host == nil {
		return err
	}
	if err := p.host().Cleanup(ctx); err != nil {
		return fmt.Errorf("cleaning up after the real node: %w", err)
	}
	p.state.Host = nil
	return nil
}

func (p *Playground) stopAll(ctx context.Context, names []string, patience time.Duration) error {
	errs := make([]error, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Go(func() {
			if err := p.state.process(name).Stop(ctx, patience); err != nil {
				errs[i] = fmt.Errorf("stopping %s: %w", name, err)
			}
		})
	}
	wait.Wait()
	for i, name := range names {
		if errs[i] == nil {
			delete(p.state.Processes, name)
		}
	}
	return errors.Join(errs...)
}
