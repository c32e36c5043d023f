// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// screen redraws a table in place: releases that are under way first, and below
// them what happened last.
type screen struct {
	out   io.Writer
	root  string
	clock clock.WithTicker
	wide  bool
	size  func() (width, height int)

	mu      sync.Mutex
	all     map[client.ObjectKey]report.Canary
	log     []string
	drawn   int
	err     error
	stop    chan struct{}
	stopped sync.WaitGroup
}

// shownTransitions is how many of the last transitions a screen has.
const shownTransitions = 8

func (s *screen) show(key client.ObjectKey, now report.Canary) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.all[key]; known && !before.SamePosition(now) {
		s.log = append(s.log, logLine(now, s.clock.Now()))
		s.log = s.log[max(0, len(s.log)-shownTransitions):]
	}
	s.all[key] = now
	s.draw()
	return s.err
}

func (s *screen) forget(key client.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, key)
	s.draw()
}

// keepCurrent redraws, since times pass also when nothing happens.
func (s *screen) keepCurrent() {
	defer s.stopped.Done()
	tick := s.clock.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C():
			s.mu.Lock()
			s.draw()
			s.mu.Unlock()
		}
	}
}

func (s *screen) close() {
	close(s.stop)
	s.stopped.Wait()
}

// draw replaces what was drawn before. Lines are cut, since one that wraps would
// make the next redraw start in the wrong place.
func (s *screen) draw() {
	width, height := s.size()
	text := s.text(height - 1)
	var b bytes.Buffer
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	for _, line := range text {
		b.WriteString("\r\x1b[2K" + output.Fit(line, width) + "\r\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = len(text)
	if _, err := s.out.Write(b.Bytes()); err != nil {
		s.err = err
	}
}

// text has at most so many lines.
func (s *screen) text(height int) []string {
	all := slices.SortedFunc(maps.Values(s.all), func(a, b report.Canary) int {
		return cmp.Or(cmp.Compare(attentionNeeded(b), attentionNeeded(a)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var held []string
	for _, c := range all {
		if text := hint(c, s.root, s.clock.Now()); text != "" {
			held = append(held, text)
		}
	}
	var b bytes.Buffer
	t := rows(all, s.clock.Now()).Table
	if s.wide {
		_ = t.Print(&b) // a buffer takes everything
	} else {
		_ = t.PrintShort(&b, 0) // draw cuts the lines
	}
	above := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	below := slices.Concat(section(held), section(s.log))
	if room := height - len(below); room > 1 && len(above) > room {
		above = append(above[:room-1], fmt.Sprintf("... and %d more", len(above)-room+1))
	}
	text := append(above, below...)
	return text[:min(len(text), max(height, 1))]
}

// section is lines with an empty one before them.
func section(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return append([]string{""}, lines...)
}

// attentionNeeded orders the rows of the screen: 2 if a release waits for a person, 1 if it
// is under way, 0 otherwise.
func attentionNeeded(c report.Canary) int {
	switch {
	case c.Hold != nil && !c.Hold.Approved:
		return 2
	case c.Stage > 0 || c.Weight > 0:
		return 1
	default:
		return 0
	}
}
