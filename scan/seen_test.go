// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// kept opens a store in dir, whose errors fail the test.
func kept(t *testing.T, dir string, at time.Time) *Store {
	t.Helper()
	return NewStore(InDir(dir, func(err error) { t.Error(err) }), WithClock(clocktesting.NewFakePassiveClock(at)))
}

// scanned puts what a registry answers at a time with a credential.
func scanned(t *testing.T, s *Store, at time.Time, access string, tags ...string) *Snapshot {
	t.Helper()
	to := target(t, imagev1.ImageRepositorySpec{Image: "app"})
	id := to.Image(registry.Access{}).ID()
	id.Access = access
	key := types.NamespacedName{Namespace: "apps", Name: "app"}
	s.Put(key, newSnapshot(to, newListing(id, packed(tags...), at), nil))
	snapshot, ok := s.Get(key, to)
	if !ok {
		t.Fatal("no snapshot")
	}
	return snapshot
}

func ages(s *Snapshot, tags ...string) map[string]time.Duration {
	found := map[string]time.Duration{}
	for _, tag := range tags {
		if at := s.FirstSeen(tag); !at.IsZero() {
			found[tag] = at.Sub(start)
		}
	}
	return found
}

func TestATagIsAsOldAsTheFirstScanThatFoundIt(t *testing.T) {
	dir := t.TempDir()
	s := kept(t, dir, start)
	scanned(t, s, start, "a", "1", "2")
	scanned(t, s, start.Add(time.Hour), "a", "1", "2", "3")
	scanned(t, s, start.Add(2*time.Hour), "a", "1", "3", "4", "4.sig")
	want := map[string]time.Duration{"1": 0, "3": time.Hour, "4": 2 * time.Hour, "2": 3 * time.Hour}
	for name, store := range map[string]*Store{"in memory": s, "after a restart": kept(t, dir, start)} {
		t.Run(name, func(t *testing.T) {
			got := scanned(t, store, start.Add(3*time.Hour), "a", "1", "2", "3", "4", "4.sig")
			if diff := cmp.Diff(want, ages(got, "1", "2", "3", "4", "4.sig", "5")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARenewedCredentialDoesNotStartTheClockAnew(t *testing.T) {
	dir := t.TempDir()
	scanned(t, kept(t, dir, start), start, "old", "1")
	got := scanned(t, kept(t, dir, start), start.Add(time.Hour), "new", "1", "2")
	if diff := cmp.Diff(map[string]time.Duration{"1": 0, "2": time.Hour}, ages(got, "1", "2")); diff != "" {
		t.Error(diff)
	}
}

func TestADigestIsAsOldAsItsFirstSighting(t *testing.T) {
	dir := t.TempDir()
	clk := clocktesting.NewFakePassiveClock(start)
	s := NewStore(InDir(dir, func(err error) { t.Error(err) }), WithClock(clk))
	s.Seen("app", "1", "sha256:a")
	clk.SetTime(start.Add(time.Hour))
	tests := map[string]struct {
		image, tag, digest string
		want               time.Duration
	}{
		"the same digest keeps its time":   {"app", "1", "sha256:a", 0},
		"another digest of the tag is new": {"app", "1", "sha256:b", time.Hour},
		"another tag of the digest is new": {"app", "2", "sha256:a", time.Hour},
		"another image is another clock":   {"other", "1", "sha256:a", time.Hour},
		"a tag without a digest is a tag":  {"app", "1", "", time.Hour},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := s.Seen(tc.image, tc.tag, tc.digest).Sub(start); got != tc.want {
				t.Errorf("in memory: %s", got)
			}
			if got := kept(t, dir, start.Add(2*time.Hour)).Seen(tc.image, tc.tag, tc.digest).Sub(start); got != tc.want {
				t.Errorf("after a restart: %s", got)
			}
		})
	}
}

func TestASightingThatWasCutOffIsSkipped(t *testing.T) {
	dir := t.TempDir()
	s := kept(t, dir, start)
	s.Seen("app", "1", "sha256:a")
	s.Seen("app", "2", "sha256:b")
	path := s.disk.path(seenFileOf("app"))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-4], 0o600); err != nil {
		t.Fatal(err)
	}
	later := kept(t, dir, start.Add(time.Hour))
	if got := later.Seen("app", "1", "sha256:a").Sub(start); got != 0 {
		t.Errorf("the whole line: %s", got)
	}
	if got := later.Seen("app", "2", "sha256:b").Sub(start); got != time.Hour {
		t.Errorf("the cut line: %s", got)
	}
}

func TestSightingsAreBounded(t *testing.T) {
	s := kept(t, t.TempDir(), start)
	for i := range maxSeen + 1 {
		s.seen.first("app", seenEntry{"1", time.Duration(i).String()}, start.Unix()+int64(i))
	}
	if n := len(s.seen.index("app").first); n > maxSeen/2+1 {
		t.Errorf("%d first-seen times", n)
	}
}

// listings are what a cache on disk must give back.
func listings() map[string]*listing {
	id := registry.ID{Image: "index.docker.io/library/app", Access: "a"}
	many := newListing(id, packed("1", "1.0", "1.0.1", "2"), start.Add(time.Hour))
	many.inheritFirstSeen(newListing(id, packed("1", "2"), start))
	tagged := newListing(id, packed("1"), start)
	tagged.pages = []page{{etag: `W/"x"`}}
	return map[string]*listing{
		"no tags": newListing(id, packed(), start), "one scan": newListing(id, packed("a", "b"), start),
		"two scans": many, "an etag": tagged,
	}
}

func TestAListingSurvivesTheDisk(t *testing.T) {
	for name, want := range listings() {
		t.Run(name, func(t *testing.T) {
			got, err := decodeListing(encodeListing(want))
			if err != nil {
				t.Fatal(err)
			}
			got.id.Access = "a"
			got.at = got.at.UTC()
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(listing{}, page{}, tagset{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzDecodeListing(f *testing.F) {
	for _, l := range listings() {
		f.Add(encodeListing(l))
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		sealed := binary.LittleEndian.AppendUint32(append(slices.Clone(magic), data...),
			crc32.Checksum(append(slices.Clone(magic), data...), castagnoli))
		for _, in := range [][]byte{data, sealed} {
			l, err := decodeListing(in)
			if err != nil {
				continue
			}
			for i := range l.tags.len() {
				_ = l.firstSeen(i)
				if at, ok := l.tags.find(l.tags.at(i)); !ok || at != i {
					t.Fatalf("tag %d is not found", i)
				}
			}
			if again, err := decodeListing(encodeListing(l)); err != nil || again.tags.text != l.tags.text {
				t.Fatalf("not the same again: %v", err)
			}
		}
	})
}

func TestTheTagsOfARepositoryAreMeasured(t *testing.T) {
	s := kept(t, t.TempDir(), start)
	scanned(t, s, start, "a", "1", "2", "2.sig")
	want := `# HELP sluice_image_repository_tags Tags of an ImageRepository that are not excluded.
# TYPE sluice_image_repository_tags gauge
sluice_image_repository_tags{name="app",namespace="apps"} 2
`
	if err := testutil.CollectAndCompare(s, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	s.Delete(types.NamespacedName{Namespace: "apps", Name: "app"})
	if n := testutil.CollectAndCount(s); n != 0 {
		t.Errorf("%d series of a repository that is gone", n)
	}
}
