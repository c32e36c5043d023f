// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a program that runs in the background, and ends with this one.
type Process struct {
	bin, log  string
	args, env []string
	cmd       *exec.Cmd
	exited    chan struct{}
}

// NewProcess describes a program; its output goes to the file log.
func NewProcess(bin, log string, args ...string) *Process {
	return &Process{bin: bin, log: log, args: args, env: os.Environ()}
}

// Setenv adds variables, each as NAME=value, to the environment that the program is launched in.
func (p *Process) Setenv(variables ...string) { p.env = append(p.env, variables...) }

// Launch starts the program, again after it has ended.
func (p *Process) Launch() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.bin, p.args...) // outlives every ctx: Stop ends it in order
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.bin, err)
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() { _ = cmd.Wait(); close(exited) }()
	return nil
}

// Kill ends the process as a crash would, with SIGKILL.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Stop ends the process in order.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		p.Kill()
	}
}

// Answers waits until a request to the program is answered with 200 OK. It fails when the
// program ends, with the end of its log, or when it does not answer within the time.
func (p *Process) Answers(ctx context.Context, url string, within time.Duration) error {
	_, err := Eventually(ctx, "an answer of "+url, within, func(ctx context.Context) (bool, string) {
		if p.Exited() {
			return true, ""
		}
		return Call{Method: http.MethodGet, URL: url}.Answered(ctx, http.StatusOK)
	})
	if p.Exited() {
		return errors.New("it exited: " + p.Tail(2000))
	}
	return err
}

// Exited reports whether the process has ended, by itself or not.
func (p *Process) Exited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Log is the path of the process's log.
func (p *Process) Log() string { return p.log }

// Tail is the last n bytes of the process's log.
func (p *Process) Tail(n int) string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-n):])
}

// ticksPerSecond is the unit of /proc/PID/stat; Linux fixes it for user space.
const ticksPerSecond = 100

// CPU is the processor time that the process has used, user and system.
func (p *Process) CPU() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("unexpected /proc stat line")
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticksPerSecond, err
}

// Memory is what a process has in memory, in bytes.
type Memory struct {
	Resident int64
	// Own is the part that is heap and stacks, and not pages of the binary, which the
	// kernel shares and can drop.
	Own int64
	// Peak is the most that was ever resident.
	Peak int64
}

// String gives both in MiB.
func (m Memory) String() string {
	return fmt.Sprintf("%d MiB, %d MiB of it its own", m.Resident>>20, m.Own>>20)
}

// Memory looks at the process.
func (p *Process) Memory() (Memory, error) {
	var m Memory
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(data)) {
		for name, into := range map[string]*int64{"VmRSS:": &m.Resident, "RssAnon:": &m.Own, "VmHWM:": &m.Peak} {
			if value, ok := strings.CutPrefix(line, name); ok {
				kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
				if err != nil {
					return m, err
				}
				*into = kib * 1024
			}
		}
	}
	if m.Resident == 0 { // it has ended
		return m, errors.New("/proc has no memory of the process")
	}
	return m, nil
}
