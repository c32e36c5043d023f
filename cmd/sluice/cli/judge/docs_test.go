// SPDX-License-Identifier: Apache-2.0

package judge_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/golden"
)

// TestDocsAreCurrent runs the commands that docs/judge.md shows, in the order in which it does. What
// it says they print is what they print; -update writes the pictures.
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
	for i, block := range strings.Split(string(page), "```") {
		if i%2 == 0 || !strings.Contains(block, "$ sluice judge ") {
			continue
		}
		for _, example := range strings.Split(block, "$ sluice ")[1:] {
			line, prints, _ := strings.Cut(example, "\n")
			line, picture, drawn := strings.Cut(line, " > ")
			args := strings.Fields(line)
			if args[0] != "judge" || strings.Contains(line, "--prometheus") {
				continue
			}
			shown++
			out, err := run(t, args[1:]...)
			switch {
			case err != nil:
				t.Errorf("%s: %v", line, err)
			case drawn:
				golden.Compare(t, filepath.Join(docs, picture), out)
				if !strings.Contains(string(page), "]("+picture+")") {
					t.Errorf("the page draws %s, and does not show it", picture)
				}
			case trimmed(out) != trimmed(prints):
				t.Errorf("docs/judge.md does not show what %q prints:\n%s", line, out)
			}
		}
	}
	if shown < 5 {
		t.Errorf("the page shows %d commands", shown)
	}
}

// trimmed is a text without blanks at the ends of its lines.
func trimmed(text string) string {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(text)) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}
