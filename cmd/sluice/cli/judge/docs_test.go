// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/golden"
)

// TestDocsAreCurrent runs the commands that docs/judge.md shows, in the order in which it does. What
// it says they print is what they print; -update writes that, and the pictures.
func TestDocsAreCurrent(t *testing.T) {
	docs, err := filepath.Abs(filepath.Join("..", "..", "..", "..", "docs"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(docs, "judge.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	shown := 0
	blocks := strings.Split(string(page), "```")
	for i, block := range blocks {
		if i%2 == 0 || !strings.Contains(block, "$ sluice judge ") {
			continue
		}
		current := strings.Split(block, "$ sluice ")[:1]
		for _, example := range strings.Split(block, "$ sluice ")[1:] {
			command, _, _ := strings.Cut(example, "\n")
			line, picture, drawn := strings.Cut(command, " > ")
			if args := strings.Fields(line); args[0] != "judge" || strings.Contains(line, "--prometheus") {
				current = append(current, example)
				continue
			}
			shown++
			out, err := run(t, strings.Fields(line)[1:]...)
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if drawn {
				golden.Compare(t, filepath.Join(docs, picture), out)
				if out = ""; !strings.Contains(string(page), "]("+picture+")") {
					t.Errorf("the page draws %s, and does not show it", picture)
				}
			}
			current = append(current, strings.TrimSpace(command+"\n"+trimmed(out))+"\n")
		}
		blocks[i] = strings.Join(current, "$ sluice ")
	}
	if shown < 5 {
		t.Errorf("the page shows %d commands", shown)
	}
	golden.Compare(t, filepath.Join(docs, "judge.md"), withTable(t, strings.Join(blocks, "```")))
}

// columns are what separates those of a table that is printed.
var columns = regexp.MustCompile(` {2,}`)

// withTable is a page whose table of releases is what a simulation of them prints.
func withTable(t *testing.T, page string) string {
	t.Helper()
	out, err := run(t, "simulate")
	if err != nil {
		t.Fatal(err)
	}
	const header = "| Release | Judge | Flagger | Argo Rollouts | Kayenta |\n|---|---|---|---|---|\n"
	before, rest, ok := strings.Cut(page, header)
	_, after, end := strings.Cut(rest, "\n\n")
	if !ok || !end {
		t.Fatal("the page has no table of releases")
	}
	table := header
	for _, row := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		table += "| " + strings.Join(columns.Split(row, -1)[:5], " | ") + " |\n"
	}
	return before + table + "\n" + after
}

// trimmed is a text without blanks at the ends of its lines.
func trimmed(text string) string {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(text)) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}
