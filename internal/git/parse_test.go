package git

import (
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

func TestTreeCacheForgetsTheLeastUsed(t *testing.T) {
	c := newTreeCache(10)
	entries := make([]tree.Entry, 4)
	c.put("a", entries)
	c.put("b", entries)
	if _, ok := c.get("a"); !ok {
		t.Error("a is gone too early")
	}
	c.put("c", entries)
	_, a := c.get("a")
	_, b := c.get("b")
	_, last := c.get("c")
	if !a || b || !last || c.size != 10 {
		t.Errorf("a: %v, b: %v, c: %v, size %d", a, b, last, c.size)
	}
}
