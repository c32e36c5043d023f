// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/tree"
)

func TestWhatDiffersBetweenTwoTrees(t *testing.T) {
	of := func(files string) tree.Tree {
		contents := map[string]tree.Content{}
		for file := range strings.FieldsSeq(files) {
			name, text, _ := strings.Cut(file, "=")
			contents[name] = tree.Content{Data: []byte(text)}
		}
		m, err := tree.New(contents)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, tc := range map[string]struct{ a, b, want string }{
		"nothing":                             {"a=1 b/c=1", "a=1 b/c=1", ""},
		"a file":                              {"a=1 b/c=1", "a=1 b/c=2", "b/c"},
		"one that came and one that went":     {"a=1 c=1", "b=1 c=1", "a b"},
		"a directory that came":               {"a=1", "a=1 b/c/d=1 b/e=1", "b"},
		"a file that became a directory":      {"a=1 z=1", "a/b=1 z=1", "a"},
		"names that Git sorts in its own way": {"a/x=1 a-b=1 a.txt=1", "a/x=2 a-b=1 a.txt=2", "a.txt a/x"},
		"everything":                          {"", "a=1 b=1", "a b"},
	} {
		got, ok, err := tree.Changed(of(tc.a), of(tc.b), 3)
		if err != nil || !ok {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got, ok, err := tree.Changed(of(""), of("a=1 b=1 c=1 d=1 e=1"), 3); ok || err != nil || len(got) > 4 {
		t.Errorf("too many are %v, %v", got, err)
	}
}
