// SPDX-License-Identifier: Apache-2.0

package program

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// compile runs go build and says how far it is.
func (c *Cache) compile(ctx context.Context, p Program, src, out string) error {
	// -v prints each package when it is compiled; packages in Go's own build
	// cache are silent.
	cmd := exec.CommandContext(ctx, "go", "build", "-v", "-mod=readonly", "-buildvcs=false",
		"-tags", p.Tags, "-ldflags", p.LDFlags, "-o", out, p.Package)
	cmd.Dir = src
	cmd.Env = append(append(os.Environ(), "GOWORK=off", "GOFLAGS="), p.Env...)
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Progress, "building %s %s: %s on 2 cores, then never again\n", p.Name, p.Version, p.Takes)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting go: %w", err)
	}
	m := &meter{name: p.Name, started: time.Now(), progress: c.Progress}
	stop := m.tick()
	m.read(output)
	stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, m.complaints())
	}
	fmt.Fprintf(c.Progress, "built %s %s in %s\n", p.Name, p.Version, m.elapsed())
	return nil
}

// meter follows the output of go build -v: lines that are package paths are
// counted, all others are complaints.
type meter struct {
	name     string
	started  time.Time
	progress Progress

	mu       sync.Mutex
	packages int
	last     string
	other    bytes.Buffer
}

func (m *meter) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m.line(lines.Text())
	}
	_, _ = io.Copy(io.Discard, r) // a line too long must not block the build
}

func (m *meter) line(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		m.last = strings.TrimPrefix(line, "go: ")
	case line != "" && !strings.ContainsAny(line, " :#"):
		m.packages++
		m.last = line
	case m.other.Len() < 16<<10:
		m.other.WriteString(line + "\n")
	}
}

// tick shows the state twice a second until it is stopped.
func (m *meter) tick() (stop func()) {
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		every := time.NewTicker(500 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-done:
				return
			case <-every.C:
				m.progress.Update(m.state())
			}
		}
	})
	return func() { close(done); wait.Wait() }
}

func (m *meter) state() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("  %s: %s, %d packages compiled, now %s", m.name, m.elapsed(), m.packages, m.last)
}

func (m *meter) complaints() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.TrimSpace(m.other.String())
}

func (m *meter) elapsed() time.Duration { return time.Since(m.started).Round(time.Second) }
