// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// Progress reports to a person. On a terminal the line of a running build is
// replaced in place; in a log it is repeated only every half minute.
type Progress struct {
	out      *os.File
	terminal bool

	mu      sync.Mutex
	partial bool // the cursor is behind an Update
	updated time.Time
}

// NewProgress reports to out.
func NewProgress(out *os.File) *Progress {
	info, err := out.Stat()
	return &Progress{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, updated: time.Now()}
}

// Write implements io.Writer: whole lines, please.
func (p *Progress) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	return p.out.Write(data)
}

// Update shows line in place of the line before.
func (p *Progress) Update(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		p.clear()
		fmt.Fprint(p.out, line[:min(len(line), 100)])
		p.partial = true
		return
	}
	if time.Since(p.updated) >= 30*time.Second {
		p.updated = time.Now()
		fmt.Fprintln(p.out, line)
	}
}

func (p *Progress) clear() {
	if p.partial {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.partial = false
	}
}
