// SPDX-License-Identifier: Apache-2.0

// Package process starts programs that outlive the launcher, and finds them
// again later.
//
// A process id alone names nobody: the kernel gives it to a stranger once its
// owner is gone. An Identity therefore also holds when the process started,
// and everything here (is it alive, stop it) first makes sure that both fit.
// Each program gets a session of its own, so that a Ctrl-C in the terminal
// does not reach it and its children can be ended with it as one group.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Identity names one process for as long as the machine runs.
type Identity struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
}

// Command is a program to run in the background.
type Command struct {
	Args []string // Args[0] is the path of the program
	Env  []string // added to the launcher's own
	Dir  string
	Log  string // a file that output is appended to
}

// Child is a process that this launcher has started.
type Child struct {
	Identity
	log   string
	begin int64 // length of the log before the process wrote to it
	done  chan struct{}
	err   error
}

// Start runs c in a new session, with its output in c.Log.
func Start(c Command) (*Child, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening log: %w", err)
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("opening log: %w", err)
	}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Args[0], err)
	}
	child := &Child{Identity: Identity{PID: cmd.Process.Pid}, log: c.Log, begin: begin, done: make(chan struct{})}
	// It cannot be gone: as long as nobody waits for it, it is a zombie at least.
	info, err := lookup(child.PID)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("asking when %s started: %w", c.Args[0], err), cmd.Process.Kill(), cmd.Wait())
	}
	child.Started = info.started
	go func() {
		child.err = cmd.Wait()
		close(child.done)
	}()
	return child, nil
}

// Tail returns the last lines that the process wrote, or says why it cannot.
func (c *Child) Tail(lines int) string { return tail(c.log, c.begin, lines) }

// Done is closed when the process has ended; Err then says how.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err is how the process ended: nil for exit status 0. Valid after Done.
func (c *Child) Err() error { return c.err }

// Alive reports whether the very process that i names still runs. A zombie,
// which only waits for its parent to notice, is dead.
func (i Identity) Alive() bool {
	if i.PID <= 0 || i.Started == "" {
		return false
	}
	info, err := lookup(i.PID)
	return err == nil && info.started == i.Started && !info.zombie
}

// Stop ends the process and everything in its group: it asks with SIGTERM,
// waits for at most grace, and then kills. No grace kills at once. Stopping
// what is already gone is not an error.
func (i Identity) Stop(ctx context.Context, grace time.Duration) error {
	if !i.Alive() {
		return nil
	}
	if grace > 0 {
		if err := i.signal(syscall.SIGTERM); err != nil {
			return err
		}
		if i.gone(ctx, grace) {
			return nil
		}
	}
	if err := i.signal(syscall.SIGKILL); err != nil {
		return err
	}
	if !i.gone(ctx, 10*time.Second) {
		return fmt.Errorf("process %d does not end", i.PID)
	}
	return nil
}

func (i Identity) signal(s syscall.Signal) error {
	err := syscall.Kill(-i.PID, s)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to process %d: %w", s, i.PID, err)
	}
	return nil
}

func (i Identity) gone(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i.Alive() {
		select {
		case <-ctx.Done():
			return !i.Alive()
		case <-tick.C:
		}
	}
	return true
}
