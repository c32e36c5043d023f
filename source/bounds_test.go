// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
)

// contents is a tree in memory that finds content by hash.
type contents struct {
	*tree.Memory
	data []byte
}

func (c contents) ReadBlob(string) ([]byte, error) { return c.data, nil }
func (c contents) BlobSize(string) (int64, error)  { return int64(len(c.data)), nil }

func viewOf(t *testing.T, data string) *View {
	t.Helper()
	files, err := tree.FromStrings(map[string]string{"f": data})
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewView(t.Context(), contents{files, []byte(data)}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWhatIsKnownOfArtifactsGoesWithThem(t *testing.T) {
	s := NewStore(t.TempDir(), "localhost", clocktesting.NewFakePassiveClock(time.Unix(0, 0)))
	key := Key{Kind: "GitRepository", Namespace: "apps", Name: "app"}
	for i := range 20 {
		name := fmt.Sprint(i)
		if _, err := s.Put(t.Context(), key, Content{Name: name, Revision: name, View: viewOf(t, name)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.verified) > DefaultRetention.Records || len(s.views[key]) > DefaultRetention.Records {
		t.Errorf("of 20 artifacts %d are known and %d kept", len(s.verified), len(s.views[key]))
	}
	if err := s.Remove(key); err != nil || len(s.verified)+len(s.views) > 0 {
		t.Errorf("after the source is gone %d and %d, %v", len(s.verified), len(s.views), err)
	}
}

func TestTheViewsPublishedLastAreKept(t *testing.T) {
	s := NewStore(t.TempDir(), "localhost", clocktesting.NewFakePassiveClock(time.Unix(0, 0)))
	publish := func(name string, size int) {
		s.Publish(Key{Name: name}, &meta.Artifact{Digest: name}, &View{size: size})
	}
	publish("oldest", maxKept/2)
	publish("old", maxKept/4)
	publish("oldest", maxKept/2) // looked at again
	publish("new", maxKept/2)
	for name, want := range map[string]bool{"oldest": true, "old": false, "new": true} {
		if got := s.Published(name) != nil; got != want {
			t.Errorf("%s is kept: %t", name, got)
		}
	}
	publish("huge", 2*maxKept)
	if s.Published("huge") == nil || s.Published("new") != nil {
		t.Error("the one that was published last is not the one that is kept")
	}
}

// repeated are files of a few objects: so many directories are all the same, and have
// 1,000 files each that are all the same, below 15 directories of one name.
type repeated struct {
	tree.Tree
	above       string
	directories int
}

const nested = 15

func (r repeated) Stat(string) (tree.Entry, error) {
	return tree.Entry{Name: ".", Mode: tree.Dir, Hash: fmt.Sprint("root", r)}, nil
}

func (r repeated) ReadDir(at string) ([]tree.Entry, error) {
	depth := 0
	if at != "" {
		depth = strings.Count(at, "/") + 1
	}
	var entries []tree.Entry
	switch {
	case depth < nested:
		return []tree.Entry{{Name: r.above, Mode: tree.Dir, Hash: fmt.Sprint(depth, r)}}, nil
	case depth == nested:
		for i := range r.directories {
			entries = append(entries, tree.Entry{Name: fmt.Sprintf("%04d", i), Mode: tree.Dir, Hash: "directory"})
		}
	default:
		for i := range 1000 {
			entries = append(entries, tree.Entry{Name: fmt.Sprintf("%04d", i), Mode: tree.File, Hash: "file"})
		}
	}
	return entries, nil
}

func (repeated) ReadBlob(string) ([]byte, error) { return nil, nil }
func (repeated) BlobSize(string) (int64, error)  { return 0, nil }

// Each path was bounded, and the number of files, but not their product: 20 objects of a
// Git repository made 2 GB of paths when they were archived.
func TestPathsOfAViewAreBoundedTogether(t *testing.T) {
	long := strings.Repeat("d", 250)
	for name, tc := range map[string]struct {
		files repeated
		want  error
	}{
		"long paths":           {repeated{above: long, directories: 20}, tree.ErrTooLarge},
		"as many short ones":   {repeated{above: "d", directories: 20}, nil},
		"few of the long ones": {repeated{above: long, directories: 2}, nil},
	} {
		_, err := NewView(t.Context(), All(tc.files), nil, nil, nil)
		if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), "the paths of its files have more than 67108864 bytes") {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

func TestPathsOfAnArchiveAreOfTheShareOfItsNamespace(t *testing.T) {
	v, err := NewView(t.Context(), All(repeated{above: strings.Repeat("d", 250), directories: 2}), nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := budget.New(8<<20).Acquire(t.Context(), "apps", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeArchive(t.Context(), io.Discard, v, nil, memory); !errors.Is(err, budget.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// Of a view only what was new since the one before was counted: commit by commit, a
// repository made views that were kept without bound.
func TestWhatIsTakenOverFromTheViewBeforeCounts(t *testing.T) {
	before, err := NewView(t.Context(), repeated{above: "d", directories: 2}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := repeated{above: "d", directories: 3}
	anew, err := NewView(t.Context(), files, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := NewView(t.Context(), files, nil, before, nil)
	if err != nil {
		t.Fatal(err)
	}
	if of := before.root; after.root.extent != anew.root.extent || after.size != anew.size || of.listed != nested+2+2000 {
		t.Errorf("got %v of %d, want %v of %d; the one before %v", after.root.extent, after.size, anew.root.extent, anew.size, of.extent)
	}
}
