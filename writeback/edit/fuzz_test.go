// SPDX-License-Identifier: Apache-2.0

package edit_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// FuzzApply feeds any content and any tag. Whatever they are, only changed
// scalars differ, line by line; a second run changes nothing; and what was valid
// YAML still is, with the changed fields reading as exactly the new values.
func FuzzApply(f *testing.F) {
	cases, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range cases {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, "2.0.0")
	}
	marker := `{"$imagepolicy": "apps:app:tag"}`
	for _, line := range []string{
		"a: 'x # " + marker, "- - ? b # " + marker, "a: |\n b: c # " + marker + "\nd: e # " + marker,
		"a: &x !!str 1 # " + marker + "\nb: *x", "{a: b, c: d, # " + marker + "\n}", "a: b\r# " + marker,
		"\"a\\\"\": b # " + marker, "--- a # " + marker, "a: - # " + marker, "a:\tb\t# " + marker,
	} {
		f.Add([]byte(line), "10")
	}
	f.Fuzz(func(t *testing.T, content []byte, tag string) {
		images := edit.Images{Namespace: "apps", ByPolicy: map[string]edit.Image{
			"app": {Name: "ghcr.io/acme/app", Tag: tag, Digest: "sha256:feed"}}}
		input := bytes.Clone(content)
		edited, outcomes, err := edit.Apply(content, images)
		if !bytes.Equal(input, content) {
			t.Fatal("the input was written to")
		}
		if err != nil {
			if !errors.Is(err, edit.ErrMissingPart) || !bytes.Equal(edited, content) {
				t.Fatalf("error %v with an edit", err)
			}
			return
		}
		checkLines(t, content, edited, outcomes)
		checkMeaning(t, content, edited, outcomes)
		again, _, err := edit.Apply(edited, images)
		if err != nil || !bytes.Equal(again, edited) {
			t.Fatalf("not idempotent (error %v):\n%q\n%q", err, edited, again)
		}
	})
}

// checkLines compares the files outside of what the changed lines may differ in:
// everything up to the value and everything from the comment on.
func checkLines(t *testing.T, before, after []byte, outcomes []edit.MarkerResult) {
	t.Helper()
	changed := map[int]bool{}
	for _, o := range outcomes {
		if o.Changed() {
			changed[o.Line] = true
		}
	}
	old, edited := yamlLines(before), yamlLines(after)
	if len(old) > len(edited) && len(changed) > 0 {
		return // a value that spanned lines is on one now: see checkMeaning
	}
	if len(old) != len(edited) {
		t.Fatalf("%d lines became %d", len(old), len(edited))
	}
	for i := range old {
		if bytes.Equal(old[i], edited[i]) {
			continue
		}
		if !changed[i+1] {
			t.Fatalf("line %d changed without a change: %q -> %q", i+1, old[i], edited[i])
		}
		if tail := markerComment(old[i]); !bytes.HasSuffix(edited[i], tail) {
			t.Fatalf("line %d: the comment changed: %q -> %q", i+1, old[i], edited[i])
		}
	}
}

// markerComment is the comment of a line with a marker. Where the marker is on
// the line above there is none.
func markerComment(line []byte) []byte {
	at := max(bytes.Index(line, []byte("$imagepolicy")), bytes.Index(line, []byte("$ref")))
	if at < 0 {
		return nil
	}
	return line[bytes.LastIndexByte(line[:at], '#'):]
}

// yamlLines splits as YAML 1.1 does, keeping the breaks.
func yamlLines(content []byte) [][]byte {
	var lines [][]byte
	start := 0
	for i := 0; i < len(content); i++ {
		width := 0
		switch rest := content[i:]; {
		case bytes.HasPrefix(rest, []byte("\r\n")), bytes.HasPrefix(rest, []byte("\u0085")):
			width = 2
		case rest[0] == '\n', rest[0] == '\r':
			width = 1
		case bytes.HasPrefix(rest, []byte("\u2028")), bytes.HasPrefix(rest, []byte("\u2029")):
			width = 3
		}
		if width > 0 {
			lines = append(lines, content[start:i+width])
			start = i + width
			i += width - 1
		}
	}
	return append(lines, content[start:])
}

// checkMeaning reads both files in full, if the first can be read, and expects
// the changed values and no other difference.
func checkMeaning(t *testing.T, before, after []byte, outcomes []edit.MarkerResult) {
	t.Helper()
	was, err := scalars(before)
	if err != nil {
		return
	}
	changes := map[int]edit.MarkerResult{}
	for _, o := range outcomes {
		if o.Changed() {
			changes[o.Line] = o
		}
	}
	compareScalars(t, was, after, scalarComparison{changes: changes})
	if len(changes) > 0 {
		t.Fatalf("announced but not done: %+v", changes)
	}
}

// scalarComparison is a comparison that starts behind a line; it takes out the changes
// that it finds.
type scalarComparison struct {
	offset  int
	changes map[int]edit.MarkerResult
}

func compareScalars(t *testing.T, was []*yaml.Node, after []byte, r scalarComparison) {
	t.Helper()
	is, err := scalars(after)
	if err != nil {
		t.Fatalf("not YAML any more: %v\n%q", err, after)
	}
	if len(was) != len(is) {
		t.Fatalf("%d scalars became %d", len(was), len(is))
	}
	for i := range was {
		switch {
		case was[i].Line < is[i].Line:
			t.Fatalf("%q moved from line %d to %d", was[i].Value, was[i].Line, is[i].Line)
		case was[i].Value == is[i].Value && was[i].ShortTag() == is[i].ShortTag():
		case was[i].Style&is[i].Style&yaml.LiteralStyle != 0:
			compareLiterals(t, was[i].Value, is[i].Value, scalarComparison{r.offset + was[i].Line, r.changes})
		default:
			at, o, ok := r.find(r.offset+was[i].Line, was[i].Value, is[i].Value)
			if !ok || o.New != strings.TrimRight(is[i].Value, "\n") || o.Old != strings.TrimRight(was[i].Value, "\n") ||
				is[i].ShortTag() != "!!str" && is[i].ShortTag() != was[i].ShortTag() {
				t.Fatalf("line %d: %q became %s %q, change %+v", r.offset+is[i].Line, was[i].Value, is[i].ShortTag(), is[i].Value, o)
			}
			delete(r.changes, at)
		}
	}
}

// find is the change on a line or, if there is none, one of the same values whose
// marker is elsewhere.
func (r scalarComparison) find(line int, was, is string) (int, edit.MarkerResult, bool) {
	same := func(o edit.MarkerResult) bool {
		return o.Old == strings.TrimRight(was, "\n") && o.New == strings.TrimRight(is, "\n")
	}
	o, ok := r.changes[line]
	if ok && same(o) {
		return line, o, true
	}
	for at, o := range r.changes {
		if same(o) {
			return at, o, true
		}
	}
	return line, o, ok
}

// compareLiterals compares the texts of literal block scalars, as YAML if they
// are that and by line if not.
func compareLiterals(t *testing.T, before, after string, r scalarComparison) {
	t.Helper()
	old, edited := strings.Split(before, "\n"), strings.Split(after, "\n")
	if len(old) != len(edited) {
		t.Fatalf("a block of %d lines got %d", len(old), len(edited))
	}
	was, err := scalars([]byte(before))
	if at, _, ok := r.find(r.offset, before, after); ok && !strings.Contains(strings.TrimRight(before, "\n"), "\n") {
		delete(r.changes, at)
		return
	}
	if err == nil {
		compareScalars(t, was, []byte(after), r)
		return
	}
	for i := range old {
		if old[i] == edited[i] {
			continue
		}
		at, o, ok := r.find(r.offset+i+1, before, after)
		if !ok || !strings.Contains(edited[i], o.New) && !strings.Contains(edited[i], strconv.QuoteToASCII(o.New)) {
			t.Fatalf("line %d: %q became %q, change %+v", r.offset+i+1, old[i], edited[i], o)
		}
		delete(r.changes, at)
	}
}

// scalars are the scalars of all documents, in order.
func scalars(content []byte) ([]*yaml.Node, error) {
	var found []*yaml.Node
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode {
			found = append(found, n)
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		walk(&document)
	}
}
