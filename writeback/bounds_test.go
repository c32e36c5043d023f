// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback/edit"
)

const markedLine = "a: b:1 # {\"$imagepolicy\": \"n:p\"}\n"

func filesOf(t *testing.T, content map[string]string) tree.Tree {
	t.Helper()
	files, err := tree.FromStrings(content)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheIndexKeepsSoManyBytesAndNoMore(t *testing.T) {
	index := NewIndex(nil)
	index.blobs, index.trees = lru.New(4<<20, weighBlob), lru.New(1<<20, weighTree)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 24 {
		files := filesOf(t, map[string]string{"a.yaml": strings.Repeat(markedLine, 2000) + fmt.Sprintf("# %d\n", i)})
		if found, err := index.Marked(t.Context(), files, "", "apps"); err != nil || len(found) != 1 || len(found[0].Markers) != 2000 {
			t.Fatalf("found %d files, error %v", len(found), err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20; kept > 6 {
		t.Errorf("it keeps %d MiB", kept)
	}
	runtime.KeepAlive(index)
}

func TestMarkersAreBounded(t *testing.T) {
	many := map[string]string{"a.yaml": strings.Repeat(markedLine, maxMarkers+1)}
	found, err := NewIndex(nil).Marked(t.Context(), filesOf(t, many), "", "apps")
	if err != nil || len(found) != 1 || found[0].Skip != TooMany || len(found[0].Markers) > 0 {
		t.Errorf("a file of too many: found %d files, error %v", len(found), err)
	}
	for i := range maxMarked/maxMarkers + 1 {
		many[fmt.Sprintf("%d.yaml", i)] = strings.Repeat(markedLine, maxMarkers)
	}
	if _, err := NewIndex(nil).Marked(t.Context(), filesOf(t, many), "", "apps"); !errors.Is(err, ErrTooManyMarkers) {
		t.Errorf("too many files: error %v", err)
	}
}

// repeated is a tree of a few objects with a million files: 1,000 directories are all the
// same, and so are the files of each, below some directories of one name.
type repeated struct {
	below   int
	dir     string
	file    string // with a verb for its number
	content string
}

func (r repeated) ReadDir(at string) ([]tree.Entry, error) {
	depth := 0
	if at != "." {
		depth = strings.Count(at, "/") + 1
	}
	if depth < r.below {
		return []tree.Entry{{Name: r.dir, Mode: tree.Dir, Hash: fmt.Sprint(depth)}}, nil
	}
	many := make([]tree.Entry, 1000)
	for i := range many {
		many[i] = tree.Entry{Name: fmt.Sprintf("%04d", i), Mode: tree.Dir, Hash: "directory"}
		if depth > r.below {
			many[i] = tree.Entry{Name: fmt.Sprintf(r.file, i), Mode: tree.File, Hash: "file"}
		}
	}
	return many, nil
}

func (r repeated) ReadFile(string) ([]byte, error) { return []byte(r.content), nil }

func (repeated) Stat(string) (tree.Entry, error) {
	return tree.Entry{Name: ".", Mode: tree.Dir, Hash: "root"}, nil
}

// Files that were left alone counted for nothing: 20 objects made 4 GB of paths.
func TestFilesThatAreLeftAloneAreBounded(t *testing.T) {
	long, tooMany := strings.Repeat("d", 250), strings.Repeat(markedLine, maxMarkers+1)
	for name, tc := range map[string]struct {
		files repeated
		want  error
	}{
		"of names that Git does not check out": {repeated{file: `\%04d.yaml`}, ErrTooManyMarkers},
		"of other names":                       {repeated{file: "%04d.YAML", content: markedLine}, ErrTooManyMarkers},
		"of too many markers":                  {repeated{file: "%04d.yaml", content: tooMany}, ErrTooManyMarkers},
		"with long paths":                      {repeated{below: 15, dir: long, file: `\%04d.yaml`}, ErrTooLongPaths},
		"not left alone, with long paths":      {repeated{below: 15, dir: long, file: "%04d.yaml", content: markedLine}, ErrTooLongPaths},
		"of nothing, with long paths":          {repeated{below: 15, dir: long, file: "%04d.yaml"}, nil},
	} {
		if found, err := NewIndex(nil).Marked(t.Context(), tc.files, "", "apps"); !errors.Is(err, tc.want) || err == nil && len(found) > 0 {
			t.Errorf("%s: found %d files, error %v, want %v", name, len(found), err, tc.want)
		}
	}
}

func TestParsingWaitsForMemoryAndForNothingLonger(t *testing.T) {
	memory := budget.New(1 << 20)
	held, err := memory.Acquire(t.Context(), "apps", memory.NamespaceLimit())
	if err != nil {
		t.Fatal(err)
	}
	index, files := NewIndex(memory), filesOf(t, map[string]string{"a.yaml": markedLine})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := index.Marked(ctx, files, "", "apps"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while others of the namespace hold it: error %v", err)
	}
	if found, err := index.Marked(t.Context(), files, "", "others"); err != nil || len(found) != 1 {
		t.Errorf("in another namespace: %v, error %v", found, err)
	}
	held.Release()
	if found, err := index.Marked(t.Context(), files, "", "apps"); err != nil || len(found) != 1 {
		t.Errorf("after that: %v, error %v", found, err)
	}
	large := filesOf(t, map[string]string{"a.yaml": markedLine + strings.Repeat("- a\n", 50_000)})
	if found, err := index.Marked(t.Context(), large, "", "apps"); !errors.Is(err, budget.ErrTooLarge) {
		t.Errorf("more than there is: %v, error %v", found, err)
	}
}

func TestWhatChangesIsBounded(t *testing.T) {
	content := "# " + strings.Repeat("filler ", (3<<20)/7) + "\n"
	many := map[string]string{}
	for i := range maxContents/len(content) + 2 {
		many[fmt.Sprintf("%d.yaml", i)] = markedLine + "---\n" + content
	}
	files := filesOf(t, many)
	_, err := Plan(t.Context(), files, "", Policies{Namespace: "n", Chosen: map[string]edit.Image{"p": {Name: "b", Tag: "2"}}})
	if !errors.Is(err, ErrTooMuchChanged) {
		t.Errorf("error %v", err)
	}
}
