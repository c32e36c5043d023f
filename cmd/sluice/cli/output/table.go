// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Table is what people read.
type Table struct {
	Columns []string
	// Short is how many of the columns are shown without -o wide; 0 is all. Also are
	// later columns that are shown as well, with at most shortText of their cells.
	Short int
	Also  []int
	rows  []row
}

type row struct {
	name  string
	cells []string
}

// Add adds a row, which -o name prints as the given name.
func (t *Table) Add(name string, cells ...string) { t.rows = append(t.rows, row{name, cells}) }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// shortText is how many characters a cell of [Table.Also] has without -o wide.
const shortText = 80

// Print writes the first columns, aligned; 0 is all of them.
func (t *Table) Print(w io.Writer, columns int) error {
	if columns == 0 {
		columns = len(t.Columns)
	}
	tabs := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, r := range append([]row{{cells: t.Columns}}, t.rows...) {
		if _, err := fmt.Fprintln(tabs, strings.Join(cleanCells(t.shown(r.cells, columns)), "\t")); err != nil {
			return err
		}
	}
	return tabs.Flush()
}

// shown are the cells of the first columns, and of those that go with them.
func (t *Table) shown(cells []string, columns int) []string {
	if columns != t.Short {
		return cells[:columns]
	}
	shown := slices.Clone(cells[:columns])
	for _, at := range t.Also {
		shown = append(shown, Fit(cells[at], shortText))
	}
	return shown
}

func (t *Table) printNames(w io.Writer) error {
	for _, r := range t.rows {
		if _, err := fmt.Fprintln(w, Clean(r.name)); err != nil {
			return err
		}
	}
	return nil
}

// Without leaves out a column.
func (t *Table) Without(column int) Table {
	cut := Table{Columns: slices.Delete(slices.Clone(t.Columns), column, column+1), Short: t.Short}
	if column < t.Short {
		cut.Short--
	}
	for _, at := range t.Also {
		switch {
		case at > column:
			cut.Also = append(cut.Also, at-1)
		case at < column:
			cut.Also = append(cut.Also, at)
		}
	}
	for _, r := range t.rows {
		cut.Add(r.name, slices.Delete(slices.Clone(r.cells), column, column+1)...)
	}
	return cut
}

// Clean keeps a text to its line and its cell: control characters, and those that turn the
// order of what stands there, become blanks, and nothing becomes a dash.
func Clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text
}

func cleanCells(cells []string) []string {
	clean := make([]string, len(cells))
	for i, cell := range cells {
		clean[i] = Clean(cell)
	}
	return clean
}

// CleanLine is Clean of several texts, as one line with two blanks between them.
func CleanLine(parts []string) string { return strings.Join(cleanCells(parts), "  ") }
