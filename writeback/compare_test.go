// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"errors"
	"testing"

	"github.com/sluice-cd/sluice/internal/tree"
)

// unreadableTree fails to read one directory.
type unreadableTree struct {
	tree.Tree
	dir string
}

var errUnreadable = errors.New("unreadable")

func (u unreadableTree) ReadDir(dir string) ([]tree.Entry, error) {
	if dir == u.dir {
		return nil, errUnreadable
	}
	return u.Tree.ReadDir(dir)
}

func TestWhichBranchesAreWhatWouldBePushed(t *testing.T) {
	of := func(files map[string]tree.Content) tree.Tree {
		made, err := tree.New(files)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	file := func(text string) tree.Content { return tree.Content{Data: []byte(text)} }
	base := of(map[string]tree.Content{"a/one": file("1"), "a/two": file("2"), "b/three": file("3")})
	tests := map[string]struct {
		branch  tree.Tree
		changes map[string]string
		want    bool
		err     error
	}{
		"the same": {branch: base, want: true},
		"the change": {
			branch:  of(map[string]tree.Content{"a/one": file("new"), "a/two": file("2"), "b/three": file("3")}),
			changes: map[string]string{"a/one": "new"}, want: true,
		},
		"another change": {
			branch:  of(map[string]tree.Content{"a/one": file("other"), "a/two": file("2"), "b/three": file("3")}),
			changes: map[string]string{"a/one": "new"},
		},
		"a change more": {
			branch:  of(map[string]tree.Content{"a/one": file("new"), "a/two": file("2"), "b/three": file("other")}),
			changes: map[string]string{"a/one": "new"},
		},
		"a change that is not there": {branch: base, changes: map[string]string{"a/four": "4"}},
		"a name with the same content": {
			branch: of(map[string]tree.Content{"a/one": file("1"), "a/zwo": file("2"), "b/three": file("3")}),
		},
		"a link with the same content": {
			branch: of(map[string]tree.Content{"a/one": file("1"), "a/two": {Mode: tree.Symlink, Data: []byte("2")}, "b/three": file("3")}),
		},
		"a file less": {branch: of(map[string]tree.Content{"a/one": file("1"), "b/three": file("3")})},
		"a directory that cannot be read": {
			branch:  unreadableTree{of(map[string]tree.Content{"a/one": file("new"), "a/two": file("2"), "b/three": file("3")}), "a"},
			changes: map[string]string{"a/one": "new"}, err: errUnreadable,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			changes := map[string][]byte{}
			for path, text := range tc.changes {
				changes[path] = []byte(text)
			}
			if got, err := sameExcept(base, tc.branch, changes); got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, tc.want, tc.err)
			}
		})
	}
	if _, err := sameExcept(unreadableTree{base, ""}, base, nil); !errors.Is(err, errUnreadable) {
		t.Errorf("a base that cannot be read: %v", err)
	}
}

func TestHowManyOtherPoliciesAreNamed(t *testing.T) {
	fields := ArtifactFields{Namespace: "apps", Policies: map[string]string{"shop": "app"}}
	others := []string{"a", "b", "c", "d", "e"}
	for n, want := range map[int]string{
		0: "",
		3: ": there are markers of a, b, c, and none of apps:app",
		4: ": there are markers of a, b, c and 1 more, and none of apps:app",
		5: ": there are markers of a, b, c and 2 more, and none of apps:app",
	} {
		if got := otherMarkersNote(fields, others[:n]); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
