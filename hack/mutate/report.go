// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is what became of the mutants of one package.
type result struct {
	Package string    `json:"package"`
	Mutants []*mutant `json:"mutants"`
}

func (r result) count(outcomes ...outcome) int {
	n := 0
	for _, m := range r.Mutants {
		if slices.Contains(outcomes, m.Outcome) {
			n++
		}
	}
	return n
}

// row is the line of the table: package, mutants, killed, survived, not covered, score.
func (r result) row() []string {
	dead := r.count(killed, timedOut)
	score := "-"
	if len(r.Mutants) > 0 {
		score = fmt.Sprintf("%.0f %%", 100*float64(dead)/float64(len(r.Mutants)))
	}
	cells := []string{shortPath(r.Package)}
	for _, n := range []int{len(r.Mutants), dead, r.count(survived), r.count(uncovered)} {
		cells = append(cells, fmt.Sprint(n))
	}
	return append(cells, score)
}

// shortPath leaves the host, owner and name of the repository out.
func shortPath(path string) string {
	if parts := strings.SplitN(path, "/", 4); len(parts) == 4 {
		return parts[3]
	}
	return path
}

var header = []string{"Package", "Mutants", "Killed", "Survived", "Not covered", "Score"}

func printTable(w io.Writer, results []result) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, r := range results {
		fmt.Fprintln(table, strings.Join(r.row(), "\t"))
	}
	_ = table.Flush()
}

// printSurvivors lists what the tests did not notice.
func printSurvivors(w io.Writer, results []result) {
	for _, r := range results {
		for _, m := range r.Mutants {
			if m.Outcome == survived || m.Outcome == uncovered {
				fmt.Fprintf(w, "%s/%s:%d:%d: %s: %s\n", shortPath(r.Package), m.File, m.Line, m.Column, m.Outcome, m.Change)
			}
		}
	}
}

func printJSON(w io.Writer, results []result) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(results)
}

var (
	docTable = regexp.MustCompile(`(?s)(<!-- scores -->\n).*?(<!-- end -->)`)
	docRow   = regexp.MustCompile(`(?m)^\| (\S+) \|.*\n`)
)

// writeDoc replaces the rows of the measured packages in the page's table.
func writeDoc(path string, results []result) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	place := docTable.FindSubmatchIndex(page)
	if place == nil {
		return errors.New(path + " has no table between <!-- scores --> and <!-- end -->")
	}
	rows := map[string]string{}
	for _, found := range docRow.FindAllSubmatch(page[place[3]:place[4]], -1) {
		if name := string(found[1]); name != header[0] && name != "---" {
			rows[name] = string(found[0])
		}
	}
	for _, r := range results {
		rows[shortPath(r.Package)] = "| " + strings.Join(r.row(), " | ") + " |\n"
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	var out strings.Builder
	out.Write(page[:place[3]])
	out.WriteString("| " + strings.Join(header, " | ") + " |\n|" + strings.Repeat("---|", len(header)) + "\n")
	for _, name := range names {
		out.WriteString(rows[name])
	}
	out.Write(page[place[4]:])
	return os.WriteFile(path, []byte(out.String()), 0o644)
}
