// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"strings"
)

// style colours text, or leaves it alone where nobody would see colours.
type style struct{ colours bool }

// styleFor honours NO_COLOR, see no-color.org.
func styleFor(out *os.File) style {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return style{colours: terminal && os.Getenv("NO_COLOR") == ""}
}

func (s style) wrap(code, text string) string {
	if !s.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string  { return s.wrap("1", text) }
func (s style) dim(text string) string   { return s.wrap("2", text) }
func (s style) red(text string) string   { return s.wrap("31", text) }
func (s style) green(text string) string { return s.wrap("32", text) }

// diff colours a line of a diff by its first character.
func (s style) diff(line string) string {
	switch {
	case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "@@"):
		return s.dim(line)
	case strings.HasPrefix(line, "+"):
		return s.green(line)
	case strings.HasPrefix(line, "-"):
		return s.red(line)
	default:
		return s.dim(line)
	}
}

// bar draws the canary's percentage of the users.
func (s style) bar(percent int) string {
	const width = 20
	filled := percent * width / 100
	return s.green(strings.Repeat("█", filled)) + s.dim(strings.Repeat("░", width-filled))
}

// indenter prints what another program says, dimmed and line by line.
type indenter struct{ p *printer }

// Write implements io.Writer.
func (i indenter) Write(data []byte) (int, error) {
	i.p.mu.Lock()
	defer i.p.mu.Unlock()
	for line := range bytes.Lines(data) {
		if text := strings.TrimSpace(string(line)); text != "" {
			i.p.printf("    %s\n", i.p.style.dim(text))
		}
	}
	return len(data), nil
}
