// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sluice-cd/sluice/test/playground/internal/process"
)

// service is one background process of a playground.
type service struct {
	name  string
	needs []string // names of services that must be ready before it starts
	args  []string
	env   []string
	port  int                             // on loopback, which must be free before it starts; 0 = none
	ready func(ctx context.Context) error // nil when it does its work
}

const (
	startTimeout = 5 * time.Minute        // on a machine that compiles something else meanwhile
	aliveTimeout = 30 * time.Second       // for a process that should have been ready before
	portTimeout  = 3 * time.Second        // a killed process keeps its ports until its last thread is gone
	askEvery     = 100 * time.Millisecond // between two questions for readiness
	tailLines    = 30
)

// outcome says what ensure found, for the progress report.
type outcome string

const (
	wasRunning outcome = "is running"
	hasStarted outcome = "ready"
	restarted  outcome = "restarted"
)

// ensure makes the service run and returns when it is ready.
func (p *Playground) ensure(ctx context.Context, s service) (outcome, error) {
	before := p.state.process(s.name)
	if before.Alive() {
		if err := await(ctx, aliveTimeout, s.ready, nil); err == nil {
			return wasRunning, nil
		}
		if err := before.Stop(ctx, time.Second); err != nil {
			return "", fmt.Errorf("%s runs but does not answer: %w", s.name, err)
		}
	}
	if err := p.start(ctx, s); err != nil {
		return "", err
	}
	if before.PID != 0 {
		return restarted, nil
	}
	return hasStarted, nil
}

func (p *Playground) start(ctx context.Context, s service) error {
	free := func(context.Context) error { return portFree(s.port) }
	if err := await(ctx, portTimeout, free, nil); s.port != 0 && err != nil {
		return fmt.Errorf("%s cannot have its port: %w%s\n"+
			"end that program, or run \"down\" and then \"up\" for other ports", s.name, err, holder(s.port))
	}
	log := p.log(s.name)
	child, err := process.Start(process.Command{Args: s.args, Env: s.env, Dir: p.dir, Log: log})
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if err := p.state.started(s.name, child.Identity); err != nil {
		return errors.Join(err, child.Stop(ctx, 0))
	}
	if err := await(ctx, startTimeout, s.ready, child.Done()); err != nil {
		return p.explain(s, child, err)
	}
	return nil
}

// explain turns "not ready" into what a person needs to know: did it die, is
// the disk full, and its own last words.
func (p *Playground) explain(s service, child *process.Child, err error) error {
	select {
	case <-child.Done():
		err = fmt.Errorf("%s died: %w", s.name, child.Err())
		if child.Err() == nil {
			err = fmt.Errorf("%s ended by itself", s.name)
		}
	default:
		err = fmt.Errorf("%s does not become ready: %w", s.name, err)
	}
	if free, statErr := freeSpace(p.dir); statErr == nil && free < 64<<20 {
		err = fmt.Errorf("%w\nthe disk of %s is full, or nearly: %d MiB are left", err, p.dir, free>>20)
	}
	return fmt.Errorf("%w\nthe last lines of %s:\n%s", err, p.log(s.name), child.Tail(tailLines))
}

func (p *Playground) log(name string) string { return filepath.Join(p.dir, "logs", name+".log") }

// await asks until the answer is nil. It gives up after timeout, and at once
// when died is closed; the error is the last answer.
func await(ctx context.Context, timeout time.Duration, ready func(context.Context) error, died <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", timeout, err)
		case <-died:
			return err
		case <-tick.C:
		}
	}
}

func freeSpace(dir string) (uint64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("asking for disk space: %w", err)
	}
	return disk.Bavail * uint64(disk.Bsize), nil
}

func makeFolders(dir string, names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}
