// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bytes"
	"strings"
	"testing"
)

func TestTables(t *testing.T) {
	table := Table{Columns: []string{"A", "B", "C"}, Short: 2}
	table.Add("kind/x", "x\x1b[2Jy\tz\n", "", "hidden")
	tests := map[string]struct {
		format Format
		want   string
	}{
		"commands for the terminal are blanks, and nothing is a dash": {Short, "A           B\nx [2Jy z    -\n"},
		"wide has all columns":       {Wide, "A           B   C\nx [2Jy z    -   hidden\n"},
		"a name a line":              {Name, "kind/x\n"},
		"JSON is that of the report": {JSON, "{\n  \"a\": \"<b>\"\n}\n"},
		"YAML is that of the report": {YAML, "a: <b>\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			f := Flags{format: string(tc.format)}
			if err := f.Validate(); err != nil {
				t.Fatal(err)
			}
			if err := f.Print(&out, table, map[string]string{"a": "<b>"}); err != nil {
				t.Fatal(err)
			}
			if out.String() != tc.want {
				t.Errorf("got %q, want %q", out.String(), tc.want)
			}
		})
	}
}

// Messages were cut at 80 characters wherever they went, so that four failures of a source read the same.
func TestWhatALaterColumnSaysIsShownInShort(t *testing.T) {
	const hash = "5af75a7d0123456789abcdef0123456789abcdef"
	long := strings.Repeat("é", 100)
	table := Table{Columns: []string{"A", "B", "C", "D", "E"}, Short: 2, Also: []int{3, 4}}
	table.Add("x", "a", "main@sha1:"+hash, "c", "d", long)
	for name, tc := range map[string]struct {
		width int
		want  string
	}{
		"whole in a file":                       {0, long},
		"whole in a terminal that has room":     {200, long},
		"cut where the line of a terminal ends": {120, strings.Repeat("é", 88) + "..."},
		"no less than what can be understood":   {50, strings.Repeat("é", 77) + "..."},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			want := "A   B                    D   E\na   main@sha1:5af75a7d   d   " + tc.want + "\n"
			if err := table.PrintShort(&out, tc.width); err != nil || out.String() != want {
				t.Errorf("got %q, want %q, %v", out.String(), want, err)
			}
		})
	}
	var out bytes.Buffer
	cut, want := table.Without(0), "B                    D   E\nmain@sha1:5af75a7d   d   éé"
	if err := cut.PrintShort(&out, 0); err != nil || !strings.HasPrefix(out.String(), want) {
		t.Errorf("without the first: %q, %v", out.String(), err)
	}
	out.Reset()
	if err := table.Print(&out); err != nil || !strings.Contains(out.String(), long) || !strings.Contains(out.String(), hash) {
		t.Errorf("wide: %q, %v", out.String(), err)
	}
}

func TestAColumnIsLeftOut(t *testing.T) {
	table := Table{Columns: []string{"A", "B", "C"}, Short: 2}
	table.Add("x", "a", "b", "c")
	for name, tc := range map[string]struct {
		column int
		want   string
	}{
		"one that is shown":       {0, "B\nb\n"},
		"one that is for -o wide": {2, "A   B\na   b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			cut := table.Without(tc.column)
			var out bytes.Buffer
			if err := cut.PrintShort(&out, 0); err != nil {
				t.Fatal(err)
			}
			if out.String() != tc.want {
				t.Errorf("got %q, want %q", out.String(), tc.want)
			}
		})
	}
	if len(table.Columns) != 3 || len(table.rows[0].cells) != 3 {
		t.Error("the table itself has changed")
	}
}

// Messages come from servers that may mean harm to the terminal that shows them.
func TestWhatATerminalObeysIsBlank(t *testing.T) {
	if got := Clean("a\x1b[2K\r\u009bb\u202ec\u2066é"); got != "a [2K  b c é" {
		t.Errorf("got %q", got)
	}
}
