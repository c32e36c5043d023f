// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// numbered are so many tags, from first on.
func numbered(first, n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("1.0.%05d", first+i)
	}
	return tags
}

// lossy is a registry whose list may be changed, seen by a scanner whose clock may.
type lossy struct {
	tags    []string
	clock   *clocktesting.FakePassiveClock
	scanner *Scanner
	to      Target
	known   int
}

func newLossy(t *testing.T, store *Store, tags ...string) *lossy {
	t.Helper()
	l := &lossy{tags: tags, clock: clocktesting.NewFakePassiveClock(start)}
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			_, _ = io.WriteString(w, `{"name":"app","tags":["`+strings.Join(l.tags, `","`)+`"]}`)
		}
	}))
	l.to = target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
	l.restart(t, store)
	return l
}

func (l *lossy) restart(t *testing.T, store *Store) {
	t.Helper()
	l.scanner = NewScanner(NewClient(registry.NewClient(l.clock), l.clock), store)
	l.scanner.SetPatience(soon)
}

// look scans after a while; the result is the number of tags in use, or -1 while
// the list is held.
func (l *lossy) look(t *testing.T, after time.Duration) int {
	t.Helper()
	l.clock.SetTime(l.clock.Now().Add(after))
	got, err := l.scanner.Scan(context.Background(), Request{Key: object("app"), Target: l.to, Known: l.known})
	var shrunk *Shrunk
	switch {
	case errors.As(err, &shrunk):
		return -1
	case err != nil:
		t.Fatal(err)
	}
	return got.Len()
}

func TestAListThatLostManyTagsIsHeldUntilASecondLook(t *testing.T) {
	const unconfirmed = -1
	type look struct {
		tags  []string
		after time.Duration
		want  int
	}
	tests := map[string]struct {
		before []string
		looks  []look
	}{
		"what a second look confirms is gone": {numbered(0, 100), []look{
			{numbered(0, 50), time.Minute, unconfirmed}, {numbered(0, 50), time.Minute, 50},
		}},
		"what is back was never gone": {numbered(0, 100), []look{
			{numbered(0, 50), time.Minute, unconfirmed}, {numbered(0, 100), time.Minute, 100}, {numbered(0, 40), time.Minute, unconfirmed},
		}},
		"a look that is too early confirms nothing": {numbered(0, 100), []look{
			{numbered(0, 50), time.Minute, unconfirmed}, {numbered(0, 50), time.Second, unconfirmed}, {numbered(0, 50), time.Minute, 50},
		}},
		"another list is a first look": {numbered(0, 100), []look{
			{numbered(0, 50), time.Minute, unconfirmed}, {numbered(50, 20), time.Minute, unconfirmed}, {numbered(50, 20), time.Minute, 20},
		}},
		"a release meanwhile changes nothing": {
			numbered(0, 100),
			[]look{{numbered(0, 50), time.Minute, unconfirmed}, {numbered(0, 51), time.Minute, 51}},
		},
		"nothing is left": {numbered(0, 9), []look{{nil, time.Minute, unconfirmed}, {nil, time.Minute, 0}}},
		"the last page of many": {
			numbered(0, 9000),
			[]look{{numbered(0, 8900), time.Minute, unconfirmed}, {numbered(0, 9000), time.Minute, 9000}},
		},
		"a few are deleted": {
			numbered(0, 100),
			[]look{{numbered(0, 96), time.Minute, 96}, {numbered(0, 92), time.Minute, 92}},
		},
		"some of very many are deleted": {numbered(0, 2000), []look{{numbered(0, 1960), time.Minute, 1960}}},
		"most of a handful": {
			numbered(0, 4),
			[]look{{numbered(0, 1), time.Minute, unconfirmed}, {numbered(0, 1), time.Minute, 1}},
		},
		"half of a handful":  {numbered(0, 4), []look{{numbered(0, 2), time.Minute, 2}}},
		"as many come as go": {numbered(0, 100), []look{{numbered(50, 100), time.Minute, unconfirmed}}},
		"a first look from long ago does not count": {
			numbered(0, 100),
			[]look{{numbered(0, 50), time.Minute, unconfirmed}, {numbered(0, 50), 3 * unconfirmedLife, unconfirmed}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t, NewStore(), tc.before...)
			if got := l.look(t, 0); got != len(tc.before) {
				t.Fatalf("%d tags at first", got)
			}
			for i, look := range tc.looks {
				l.tags = look.tags
				if got := l.look(t, look.after); got != look.want {
					t.Fatalf("look %d: got %d, want %d", i+1, got, look.want)
				}
				if look.want != unconfirmed {
					continue
				}
				if last, ok := l.scanner.Store().Get(object("app"), l.to); !ok || last.Len() != len(tc.before) && i == 0 {
					t.Errorf("look %d: %d tags are in use", i+1, last.Len())
				}
			}
		})
	}
}

// Tags that were missing for a while are as old as they were.
func TestTagsThatWereMissingAreNotNew(t *testing.T) {
	l := newLossy(t, NewStore(), numbered(0, 100)...)
	l.look(t, 0)
	l.tags = numbered(0, 10)
	l.look(t, time.Minute)
	l.tags = numbered(0, 100)
	l.look(t, time.Minute)
	got, _ := l.scanner.Store().Get(object("app"), l.to)
	if at := got.FirstSeen("1.0.00050"); !at.Equal(start) {
		t.Errorf("first seen at %s", at)
	}
}

func TestARestartConfirmsNothing(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]func() *Store{
		"the list is on disk":                  func() *Store { return NewStore(InDir(dir, func(error) {})) },
		"only the status knows what there was": func() *Store { return NewStore() },
	}
	for name, store := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t, store(), numbered(0, 100)...)
			l.look(t, 0)
			l.tags, l.known = numbered(0, 10), 100
			for range 2 { // the first look is forgotten with the process
				l.restart(t, store())
				if got := l.look(t, time.Minute); got != -1 {
					t.Fatalf("%d tags are used after a restart", got)
				}
			}
			if diff := cmp.Diff(10, l.look(t, time.Minute)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A new object, one with another image, or one with other exclusions has nothing to
// compare with.
func TestAFirstScanIsNotHeld(t *testing.T) {
	l := newLossy(t, NewStore(), numbered(0, 10)...)
	if got := l.look(t, 0); got != 10 {
		t.Errorf("got %d", got)
	}
	l.to = target(t, imagev1.ImageRepositorySpec{Image: l.to.Repository.String(), ExclusionList: []string{"0000[0-8]$"}})
	if got := l.look(t, time.Minute); got != 1 {
		t.Errorf("with other exclusions: got %d", got)
	}
}

func TestMissingTagsAreCounted(t *testing.T) {
	tests := map[string]struct {
		before, after []string
		want          int
	}{
		"none":          {[]string{"a", "b"}, []string{"a", "b", "c"}, 0},
		"the first":     {[]string{"a", "b"}, []string{"b"}, 1},
		"the last":      {[]string{"a", "b"}, []string{"a"}, 1},
		"all":           {[]string{"a", "b"}, nil, 2},
		"of nothing":    {nil, []string{"a"}, 0},
		"all but other": {[]string{"a", "c", "e"}, []string{"b", "d", "f"}, 3},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := packed(slices.Clone(tc.before)...).missing(packed(tc.after...)); got != tc.want {
				t.Errorf("got %d", got)
			}
		})
	}
}
