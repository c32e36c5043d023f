// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-cd/sluice/report"
)

// Page is text for people in sections, each with a title and aligned lines.
type Page struct{ b strings.Builder }

// Section starts a section with a title.
func (p *Page) Section(format string, args ...any) {
	if p.b.Len() > 0 {
		p.b.WriteByte('\n')
	}
	p.b.WriteString(Clean(fmt.Sprintf(format, args...)) + "\n")
}

// Lines adds rows of cells, indented and aligned. Empty cells stay empty.
func (p *Page) Lines(rows [][]string) {
	tabs := tabwriter.NewWriter(&p.b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		clean := cleanCells(row)
		for i := range row {
			if row[i] == "" {
				clean[i] = ""
			}
		}
		fmt.Fprintln(tabs, "  "+strings.Join(clean, "\t"))
	}
	_ = tabs.Flush() // into memory
}

// Conditions adds a section with the conditions of an object.
func (p *Page) Conditions(conditions []report.Condition, now time.Time) {
	p.Section("Conditions")
	rows := [][]string{{"TYPE", "STATUS", "REASON", "FOR", "MESSAGE"}}
	for _, is := range conditions {
		rows = append(rows, []string{is.Type, is.Status, is.Reason, Ago(is.Since, now), is.Message})
	}
	p.Lines(rows)
}

// Events adds a section with the events of an object, if there are any.
func (p *Page) Events(events []report.Event, now time.Time) {
	if len(events) == 0 {
		return
	}
	p.Section("Events")
	rows := [][]string{{"AGO", "TYPE", "MESSAGE"}}
	for _, e := range events {
		message := e.Message
		if e.Count > 1 {
			message += " (x" + strconv.Itoa(e.Count) + ")"
		}
		rows = append(rows, []string{Ago(e.Time, now), e.Type, message})
	}
	p.Lines(rows)
}

// WriteTo writes the page without blanks at the ends of lines.
func (p *Page) WriteTo(w io.Writer) (int64, error) {
	var trimmed strings.Builder
	for line := range strings.Lines(p.b.String()) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	n, err := io.WriteString(w, trimmed.String())
	return int64(n), err
}
