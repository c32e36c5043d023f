package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// page is text for people in sections, each with a title and aligned lines.
// What was written by others cannot break out of its line.
type page struct{ b strings.Builder }

// section starts a section with a title.
func (p *page) section(format string, args ...any) {
	if p.b.Len() > 0 {
		p.b.WriteByte('\n')
	}
	p.b.WriteString(cells([]string{fmt.Sprintf(format, args...)})[0] + "\n")
}

// lines adds rows of cells, indented and aligned.
func (p *page) lines(rows [][]string) {
	tabs := tabwriter.NewWriter(&p.b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tabs, "  "+strings.Join(filled(row), "\t"))
	}
	_ = tabs.Flush() // into memory
}

// filled cleans cells, and leaves empty those that are.
func filled(row []string) []string {
	clean := cells(row)
	for i := range row {
		if row[i] == "" {
			clean[i] = ""
		}
	}
	return clean
}

// writeTo writes the page without blanks at the ends of lines.
func (p *page) writeTo(w io.Writer) error {
	var trimmed strings.Builder
	for line := range strings.Lines(p.b.String()) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, err := io.WriteString(w, trimmed.String())
	return err
}
