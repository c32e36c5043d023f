// SPDX-License-Identifier: Apache-2.0

package git

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/tree"
)

func FuzzParseTree(f *testing.F) {
	f.Add(tree.EncodeDir([]tree.Entry{
		{Name: "a.b", Mode: tree.File, Hash: tree.BlobHash(nil)}, {Name: "a", Mode: tree.Dir, Hash: tree.DirHash(nil)},
	}))
	f.Add([]byte("100664 old\x00" + string(make([]byte, 20))))
	f.Add([]byte("40000 ..\x00" + string(make([]byte, 20))))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseTree(data)
		if err != nil {
			return
		}
		again, err := parseTree(tree.EncodeDir(entries))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entries, again); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTreeObjectsThatGitDoesNotServe(t *testing.T) {
	id := string(make([]byte, 20))
	for name, tc := range map[string]struct{ data, says string }{
		"cut short in an id":       {"100644 f\x00short", "cut short"},
		"cut short in a name":      {"100644 f", "cut short"},
		"without a name":           {"100644 \x00" + id, `"" cannot be the name`},
		"without a mode":           {"f\x00" + id, "entry 0 has no mode"},
		"with a mode of letters":   {"mode f\x00" + id, "entry 0 has no mode"},
		"with a mode of many bits": {"77777777777777 f\x00" + id, "entry 0 has no mode"},
	} {
		if _, err := parseTree([]byte(tc.data)); !errors.Is(err, ErrTree) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want ErrTree that says %q", name, err, tc.says)
		}
	}
}

func TestTheTreeCacheKeepsExtentsWithTheirDirectories(t *testing.T) {
	c := newTreeCache(80)
	if _, ok := c.size("a"); ok {
		t.Error("an unknown directory has a size")
	}
	c.setSize("a", subtreeSize{paths: 1}) // it is not kept, which is no reason to keep it
	c.put("a", make([]tree.Entry, 4))
	if _, ok := c.size("a"); ok {
		t.Error("a directory that was not measured has a size")
	}
	c.setSize("a", subtreeSize{paths: 3, longest: 4})
	if e, ok := c.size("a"); !ok || e != (subtreeSize{3, 4}) {
		t.Errorf("size %+v, %v", e, ok)
	}
	if entries, ok := c.get("a"); !ok || len(entries) != 4 {
		t.Errorf("%d entries, %v", len(entries), ok)
	}
}

func TestALongNameWeighsMoreInTheTreeCache(t *testing.T) {
	if got := weight([]tree.Entry{{Name: "a"}, {Name: strings.Repeat("x", 130)}}); got != 5 {
		t.Errorf("weight %d, want 5", got)
	}
}
