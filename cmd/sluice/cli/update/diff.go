// SPDX-License-Identifier: Apache-2.0

package update

import (
	"fmt"
	"strings"
)

// contextLines is how many lines a diff shows around a change.
const contextLines = 3

// unifiedDiff compares two versions of a file in the format of `git diff`. Lines
// are replaced in an edit, never added or taken away, so that there is nothing
// to align.
func unifiedDiff(name string, before, after []byte) string {
	old, edited := diffLines(before), diffLines(after)
	var text strings.Builder
	fmt.Fprintf(&text, "--- a/%s\n+++ b/%s\n", name, name)
	for at := 0; at < len(old); {
		if old[at] == edited[at] {
			at++
			continue
		}
		first, last := at, hunkEnd(old, edited, at)
		from, to := max(first-contextLines, 0), min(last+contextLines+1, len(old))
		fmt.Fprintf(&text, "@@ -%s +%s @@\n", hunkRange(from, to), hunkRange(from, to))
		writeHunk(&text, old[from:to], edited[from:to])
		at = to
	}
	return text.String()
}

// hunkEnd is the last changed line of the hunk that starts with the change at
// first: changes closer than their contexts share one.
func hunkEnd(old, edited []string, first int) int {
	last := first
	for at := first; at < len(old) && at <= last+2*contextLines; at++ {
		if old[at] != edited[at] {
			last = at
		}
	}
	return last
}

func hunkRange(from, to int) string {
	if to-from == 1 {
		return fmt.Sprint(to)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}

// writeHunk groups runs of changed lines: all old ones, then all new ones.
func writeHunk(text *strings.Builder, old, edited []string) {
	for at := 0; at < len(old); {
		if old[at] == edited[at] {
			writeLine(text, ' ', old[at])
			at++
			continue
		}
		end := at
		for end < len(old) && old[end] != edited[end] {
			end++
		}
		for _, line := range old[at:end] {
			writeLine(text, '-', line)
		}
		for _, line := range edited[at:end] {
			writeLine(text, '+', line)
		}
		at = end
	}
}

func writeLine(text *strings.Builder, sign byte, line string) {
	text.WriteByte(sign)
	text.WriteString(line)
	if !strings.HasSuffix(line, "\n") {
		text.WriteString("\n\\ No newline at end of file\n")
	}
}

// diffLines splits at line feeds, which stay with their line.
func diffLines(content []byte) []string {
	lines := strings.SplitAfter(string(content), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
