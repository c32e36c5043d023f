package edit_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
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
func checkLines(t *testing.T, before, after []byte, outcomes []edit.Outcome) {
	t.Helper()
	changed := map[int]bool{}
	for _, o := range outcomes {
		if o.Changed() {
			changed[o.Line] = true
		}
	}
	old, edited := yamlLines(before), yamlLines(after)
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
		tail := old[i][bytes.LastIndexByte(old[i][:bytes.Index(old[i], []byte("$imagepolicy"))], '#'):]
		if !bytes.HasSuffix(edited[i], tail) {
			t.Fatalf("line %d: the comment changed: %q -> %q", i+1, old[i], edited[i])
		}
	}
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
// the changed values and no other difference, in order.
func checkMeaning(t *testing.T, before, after []byte, outcomes []edit.Outcome) {
	t.Helper()
	was, err := scalars(before)
	if err != nil {
		return
	}
	is, err := scalars(after)
	if err != nil {
		t.Fatalf("not YAML any more: %v\n%q", err, after)
	}
	if len(was) != len(is) {
		t.Fatalf("%d scalars became %d", len(was), len(is))
	}
	var changes []edit.Outcome
	for _, o := range outcomes {
		if o.Changed() {
			changes = append(changes, o)
		}
	}
	for i := range was {
		if was[i].Line != is[i].Line {
			t.Fatalf("%q moved from line %d to %d", was[i].Value, was[i].Line, is[i].Line)
		}
		if was[i].Value == is[i].Value && was[i].ShortTag() == is[i].ShortTag() {
			continue
		}
		if len(changes) == 0 || changes[0].Line != is[i].Line || changes[0].New != is[i].Value ||
			changes[0].Old != was[i].Value || is[i].ShortTag() != "!!str" {
			t.Fatalf("line %d: %q became %s %q, outcomes %+v", is[i].Line, was[i].Value, is[i].ShortTag(), is[i].Value, outcomes)
		}
		changes = changes[1:]
	}
	if len(changes) > 0 {
		t.Fatalf("announced but not done: %+v", changes)
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
