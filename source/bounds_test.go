// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	clocktesting "k8s.io/utils/clock/testing"

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
	if len(s.verified) > keptArtifacts || len(s.views[key]) > keptArtifacts {
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
