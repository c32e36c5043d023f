// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// Table is what people read.
type Table struct {
	Columns []string
	// Short is how many of the columns are shown without -o wide; 0 is all. Also are
	// later columns that are shown as well; the last of them is text, which a terminal has at
	// its width.
	Short int
	Also  []int
	// Headless leaves out the titles of the columns.
	Headless bool
	rows     []row
}

type row struct {
	name  string
	cells []string
}

// Add adds a row, which -o name prints as the given name.
func (t *Table) Add(name string, cells ...string) { t.rows = append(t.rows, row{name, cells}) }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Key tells the object of a row apart from those of all others: its namespace, if the table
// has that, its kind and its name.
func (t *Table) Key(at int) string {
	r := t.rows[at]
	if !t.HasNamespaces() {
		return r.name
	}
	return r.cells[0] + "/" + r.name
}

// namespaceColumn is the title of the first column, where objects are of namespaces.
const namespaceColumn = "NAMESPACE"

// HasNamespaces reports whether the first column is the namespace.
func (t *Table) HasNamespaces() bool { return t.Columns[0] == namespaceColumn }

// WideLine is a row as one line of a log, with all columns.
func (t *Table) WideLine(at int) string { return CleanLine(t.rows[at].cells) }

// Line is a row as one line of a log, with the columns that are shown without -o wide, and short hashes.
func (t *Table) Line(at int) string { return ShortHashes(CleanLine(t.shown(t.rows[at].cells))) }

// leastText is how many characters of a text a terminal has, however narrow it is.
const leastText = 80

// Print writes all columns, aligned.
func (t *Table) Print(w io.Writer) error {
	lines := make([][]string, 0, t.Len()+1)
	for _, r := range t.withHead() {
		lines = append(lines, cleanCells(r.cells))
	}
	return align(w, lines)
}

// PrintShort writes the columns that are shown without -o wide, aligned, with short hashes. The
// text of a row is cut where the line of a terminal ends; a width of 0 is no terminal.
func (t *Table) PrintShort(w io.Writer, width int) error {
	lines := make([][]string, 0, t.Len()+1)
	for _, r := range t.withHead() {
		cells := cleanCells(t.shown(r.cells))
		for i := range cells {
			cells[i] = ShortHashes(cells[i])
		}
		lines = append(lines, cells)
	}
	if width > 0 && len(t.Also) > 0 && len(lines) > 0 {
		cutLast(lines, width)
	}
	return align(w, lines)
}

func (t *Table) withHead() []row {
	if t.Headless {
		return t.rows
	}
	return append([]row{{cells: t.Columns}}, t.rows...)
}

// gap is what is between two columns.
const gap = 3

func align(w io.Writer, lines [][]string) error {
	tabs := tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
	for _, cells := range lines {
		if _, err := fmt.Fprintln(tabs, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return tabs.Flush()
}

// cutLast cuts the last cell of each line so that the line has the width.
func cutLast(lines [][]string, width int) {
	last := len(lines[0]) - 1
	for column := range last {
		widest := 0
		for _, cells := range lines {
			widest = max(widest, utf8.RuneCountInString(cells[column]))
		}
		width -= widest + gap
	}
	for _, cells := range lines {
		cells[last] = Fit(cells[last], max(width, leastText))
	}
}

// shown are the cells of the first columns, and of those that go with them.
func (t *Table) shown(cells []string) []string {
	if t.Short == 0 {
		return cells
	}
	shown := slices.Clone(cells[:t.Short])
	for _, at := range t.Also {
		shown = append(shown, cells[at])
	}
	return shown
}

// hashes are whole ones of Git and of registries.
var hashes = regexp.MustCompile(`\b(?:[0-9a-f]{40}|[0-9a-f]{64})\b`)

// ShortHashes has eight digits of each hash in a text, as Flux's CLI has.
func ShortHashes(text string) string {
	return hashes.ReplaceAllStringFunc(text, func(hash string) string { return hash[:8] })
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
	cut := Table{Columns: slices.Delete(slices.Clone(t.Columns), column, column+1), Short: t.Short, Headless: t.Headless}
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
