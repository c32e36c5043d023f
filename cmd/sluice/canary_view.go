package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// view is how `sluice canary watch` shows what it sees.
type view interface {
	show(key client.ObjectKey, now standing) error
	forget(key client.ObjectKey)
	close()
}

// newView is a table that is kept current where somebody looks at it, and lines
// everywhere else.
func newView(cmd *cobra.Command, format string) view {
	out := cmd.OutOrStdout()
	file, ok := out.(*os.File)
	if format == asJSON || !ok || !term.IsTerminal(int(file.Fd())) {
		return &lines{out: out, json: format == asJSON}
	}
	s := &screen{out: out, root: cmd.Root().CommandPath(), wide: format == asWide, stop: make(chan struct{}), all: map[client.ObjectKey]standing{}}
	s.size = func() (int, int) {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}
	s.stopped.Add(1)
	go s.keepCurrent()
	return s
}

// lines writes one line for each transition.
type lines struct {
	out  io.Writer
	json bool
}

func (l *lines) show(_ client.ObjectKey, now standing) error {
	text, err := []byte(now.line(time.Now())), error(nil)
	if l.json {
		text, err = now.jsonLine(time.Now())
	}
	if err != nil {
		return err
	}
	_, err = l.out.Write(append(text, '\n'))
	return err
}

func (l *lines) forget(client.ObjectKey) {}
func (l *lines) close()                  {}

// screen redraws a table in place: releases that are under way first, and below
// them what happened last.
type screen struct {
	out  io.Writer
	root string
	wide bool
	size func() (width, height int)

	mu      sync.Mutex
	all     map[client.ObjectKey]standing
	log     []string
	drawn   int
	err     error
	stop    chan struct{}
	stopped sync.WaitGroup
}

// shownTransitions is how many of the last transitions a screen has.
const shownTransitions = 8

func (s *screen) show(key client.ObjectKey, now standing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.all[key]; known && !before.same(now) {
		s.log = append(s.log, now.line(time.Now()))
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
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
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
		if runes := []rune(line); len(runes) > width {
			line = string(runes[:width])
		}
		b.WriteString("\r\x1b[2K" + line + "\r\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = len(text)
	if _, err := s.out.Write(b.Bytes()); err != nil {
		s.err = err
	}
}

// text has at most so many lines.
func (s *screen) text(height int) []string {
	all := slices.SortedFunc(maps.Values(s.all), func(a, b standing) int {
		return cmp.Or(cmp.Compare(b.urgency(), a.urgency()), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var held []string
	t := canaryTable()
	for _, standing := range all {
		t.add(standing.row()...)
		if hint := standing.hint(s.root); hint != "" {
			held = append(held, hint)
		}
	}
	var b bytes.Buffer
	format := asTable
	if s.wide {
		format = asWide
	}
	o := output{format: format}
	_ = o.print(&b, t, nil) // a buffer takes everything
	table := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	below := slices.Concat(section(held), section(s.log))
	if room := height - len(below); room > 1 && len(table) > room {
		table = append(table[:room-1], fmt.Sprintf("... and %d more", len(table)-room+1))
	}
	text := append(table, below...)
	return text[:min(len(text), max(height, 1))]
}

// section is lines with an empty one before them.
func section(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return append([]string{""}, lines...)
}

// urgency is how much a standing wants to be seen.
func (s standing) urgency() int {
	switch {
	case s.Hold != nil && !s.Hold.Approved:
		return 2
	case s.Stage > 0 || s.Weight > 0:
		return 1
	default:
		return 0
	}
}
