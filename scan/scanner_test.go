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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// soon bounds every wait; it is only ever spent by a test that fails.
const soon = 5 * time.Minute

func object(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "apps", Name: name}
}

func patient(t *testing.T, store *Store) *Scanner {
	t.Helper()
	s := NewScanner(newClient(t), store)
	s.SetPatience(soon)
	return s
}

// counted counts the lists that a registry is asked for.
func counted(lists *atomic.Int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			lists.Add(1)
		}
		next.ServeHTTP(w, r)
	})
}

// silent answers nothing until the test is over.
func silent(t *testing.T) http.Handler {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	return silentUntil(release)
}

// silentUntil answers nothing until it is released: then that it knows nothing.
func silentUntil(release <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
			http.NotFound(w, r)
		}
	})
}

// One worker asks a registry that says nothing for fifty images, then another. Whoever
// waited for the silent one would do so for longer than the test may take.
func TestASilentRegistryHoldsUpNobodyElse(t *testing.T) {
	release := make(chan struct{})
	mute, live := registrytest.Serve(t, silentUntil(release)), registrytest.Serve(t, registrytest.New(t, "1"))
	s := NewScanner(newClient(t), NewStore())
	s.SetPatience(0) // the first one shows that the registry is slow
	done := waketest.Objects(t, s.Done())
	for i := range 50 {
		to := target(t, imagev1.ImageRepositorySpec{Image: fmt.Sprintf("%s/app-%d", mute, i)})
		to.Timeout = time.Hour
		if _, err := s.Scan(context.Background(), Request{Key: object(fmt.Sprint(i)), Target: to}); !errors.Is(err, ErrPending) {
			t.Fatalf("got %v", err)
		}
		s.SetPatience(2 * time.Hour)
	}
	to := target(t, imagev1.ImageRepositorySpec{Image: live + "/" + image})
	if _, err := s.Scan(context.Background(), Request{Key: object("live"), Target: to}); err != nil {
		t.Errorf("the other registry: %v", err)
	}
	close(release)
	for range 50 {
		waketest.Next(t, done)
	}
	to = target(t, imagev1.ImageRepositorySpec{Image: mute + "/app-7"})
	if _, err := s.Scan(context.Background(), Request{Key: object("7"), Target: to}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestOneListingServesEverybody(t *testing.T) {
	var lists atomic.Int64
	host := registrytest.Serve(t, counted(&lists, registrytest.New(t, "1", "2", "1-debug")))
	s := patient(t, NewStore())
	want := map[string][]string{"": {"1", "1-debug", "2"}, "-debug$": {"1", "2"}, "^1": {"2"}}
	for exclude, tags := range want {
		spec := imagev1.ImageRepositorySpec{Image: host + "/" + image, ExclusionList: []string{exclude}}
		if exclude == "" {
			spec.ExclusionList = nil
		}
		got, err := s.Scan(context.Background(), Request{Key: object("x" + exclude), Target: target(t, spec), Within: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tags, slices.Collect(got.All())); diff != "" {
			t.Error(diff)
		}
	}
	if n := lists.Load(); n != 1 {
		t.Errorf("the registry was asked %d times", n)
	}
}

func TestOtherCredentialsAreAnotherListing(t *testing.T) {
	host := registrytest.Serve(t, registrytest.Guarded(registrytest.New(t, "1")))
	reader := registrytest.Reader(registrytest.DockerConfig("good", host, "ann", "pw"),
		registrytest.DockerConfig("same", host, "ann", "pw"), registrytest.DockerConfig("bad", host, "ann", "guess"))
	s := patient(t, NewStore())
	scan := func(secret string) error {
		spec := imagev1.ImageRepositorySpec{Image: host + "/" + image, SecretRef: &meta.LocalObjectReference{Name: secret}}
		access, err := registry.ReadAccess(context.Background(), reader, RegistrySpec(repository(spec)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Scan(context.Background(), Request{Key: object(secret), Target: target(t, spec), Access: access, Within: time.Minute})
		return err
	}
	if err := scan("good"); err != nil {
		t.Fatal(err)
	}
	if err := scan("bad"); !errors.Is(err, registry.ErrUnauthorized) {
		t.Errorf("somebody else's listing was given away: %v", err)
	}
	if err := scan("same"); err != nil {
		t.Error(err)
	}
	if n := countListings(s.store); n != 1 {
		t.Errorf("%d listings", n)
	}
}

// countListings counts the listings in memory.
func countListings(s *Store) (n int) {
	for _, listings := range s.listings {
		n += len(listings)
	}
	return n
}

// blockedRegistry answers lists of tags only when pass is closed or sent to.
type blockedRegistry struct {
	next    http.Handler
	arrived chan struct{}
	pass    chan struct{}
}

func (h *blockedRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/tags/list") {
		h.arrived <- struct{}{}
		registrytest.Hold(r, h.pass)
	}
	h.next.ServeHTTP(w, r)
}

func TestScansOfOneImageAreOneRequest(t *testing.T) {
	h := &blockedRegistry{next: registrytest.New(t, "1"), arrived: make(chan struct{}, 10), pass: make(chan struct{})}
	var lists atomic.Int64
	host := registrytest.Serve(t, counted(&lists, h))
	s := NewScanner(newClient(t), NewStore())
	done := waketest.Objects(t, s.Done())
	to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
	for i := range 10 {
		request := Request{Key: object(fmt.Sprint(i)), Target: to, Within: time.Minute}
		if _, err := s.Scan(context.Background(), request); !errors.Is(err, ErrPending) {
			t.Fatalf("got %v", err)
		}
	}
	close(h.pass)
	for range 10 {
		key := waketest.Next(t, done)
		if _, err := s.Scan(context.Background(), Request{Key: key, Target: to}); err != nil {
			t.Error(err)
		}
	}
	if n := lists.Load(); n != 1 {
		t.Errorf("the registry was asked %d times", n)
	}
}

// What a webhook tells of may be newer than the scan that is under way.
func TestARequestIsNotAnsweredByAScanThatBeganBeforeIt(t *testing.T) {
	h := &blockedRegistry{next: registrytest.New(t, "1"), arrived: make(chan struct{}, 10), pass: make(chan struct{})}
	host := registrytest.Serve(t, h)
	s := NewScanner(newClient(t), NewStore())
	done := waketest.Objects(t, s.Done())
	request := Request{Key: object("first"), Target: target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})}
	later := request
	later.Key = object("later")
	for _, a := range []Request{request, request, later} {
		if _, err := s.Scan(context.Background(), a); !errors.Is(err, ErrPending) {
			t.Fatalf("got %v", err)
		}
		if a.Key == request.Key && len(h.arrived) == 0 {
			select {
			case <-h.arrived:
				h.arrived <- struct{}{}
			case <-time.After(soon):
				t.Fatal("no request")
			}
		}
	}
	h.pass <- struct{}{}
	if key := waketest.Next(t, done); key != request.Key {
		t.Errorf("%s was answered by a scan that began before it", key)
	}
	h.pass <- struct{}{}
	if key := waketest.Next(t, done); key != later.Key {
		t.Errorf("got %s", key)
	}
}

func TestAfterARestartNoRegistryIsAskedBeforeItsTime(t *testing.T) {
	dir := t.TempDir()
	var lists atomic.Int64
	host := registrytest.Serve(t, counted(&lists, registrytest.New(t, "1", "2")))
	spec := imagev1.ImageRepositorySpec{Image: host + "/" + image}
	request := Request{Key: object("app"), Target: target(t, spec), Within: time.Minute}
	for range 3 {
		got, err := patient(t, kept(t, dir, start)).Scan(context.Background(), request)
		if err != nil || got.Len() != 2 {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if n := lists.Load(); n != 1 {
		t.Errorf("the registry was asked %d times", n)
	}
	request.Within = 0
	if _, err := patient(t, kept(t, dir, start)).Scan(context.Background(), request); err != nil || lists.Load() != 2 {
		t.Errorf("asked %d times, %v", lists.Load(), err)
	}
}

// paged serves tags in pages of two with an ETag each.
type paged struct {
	mu    sync.Mutex
	tags  []string
	count map[int]int // by status
}

func (p *paged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var rest []string
	for _, tag := range p.tags {
		if tag > r.URL.Query().Get("last") {
			rest = append(rest, tag)
		}
	}
	page := rest[:min(2, len(rest))]
	etag := `"` + strings.Join(page, ",") + `"`
	w.Header().Set("ETag", etag)
	if len(page) < len(rest) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?last=%s&n=2>; rel="next"`, r.URL.Path, page[1]))
	}
	if r.Header.Get("If-None-Match") == etag {
		p.count[http.StatusNotModified]++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	p.count[http.StatusOK]++
	_, _ = io.WriteString(w, `{"name":"team/app","tags":["`+strings.Join(page, `","`)+`"]}`)
}

func TestWhatARegistryCallsUnchangedIsNotSentAgain(t *testing.T) {
	tests := map[string]struct {
		after    []string
		want     map[int]int
		restart  bool
		sameTags bool
	}{
		"nothing changed": {
			[]string{"a", "b", "c"}, map[int]int{304: 2}, false, true},
		"the first page changed": {
			[]string{"a", "b2", "c"}, map[int]int{200: 2}, false, false},
		"the last page changed": {
			[]string{"a", "b", "c", "d"}, map[int]int{200: 3, 304: 1}, false, false},
		"after a restart several pages are read once more": {
			[]string{"a", "b", "c"}, map[int]int{200: 2}, true, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			registry := &paged{tags: []string{"a", "b", "c"}, count: map[int]int{}}
			dir := t.TempDir()
			s := patient(t, kept(t, dir, start))
			to := target(t, imagev1.ImageRepositorySpec{Image: registrytest.Serve(t, registry) + "/" + image})
			request := Request{Key: object("app"), Target: to}
			first, err := s.Scan(context.Background(), request)
			if err != nil {
				t.Fatal(err)
			}
			if tc.restart {
				s = patient(t, kept(t, dir, start))
			}
			registry.tags, registry.count = tc.after, map[int]int{}
			second, err := s.Scan(context.Background(), request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.after, slices.Collect(second.All())); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.want, registry.count); diff != "" {
				t.Error(diff)
			}
			if same := first.list.tags == second.list.tags; same != tc.sameTags && !tc.restart {
				t.Errorf("tags are the same: %v", same)
			}
		})
	}
}

func TestTheBudgetIsEachObjectsOwn(t *testing.T) {
	host := registrytest.Serve(t, registrytest.New(t, "1", "2", "3"))
	s := patient(t, NewStore())
	scan := func(most int) error {
		to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image, MaxTags: most})
		_, err := s.Scan(context.Background(), Request{Key: object(fmt.Sprint(most)), Target: to, Within: time.Minute})
		return err
	}
	for most, want := range map[int]error{2: ErrBudget, 3: nil, 0: nil} {
		if err := scan(most); !errors.Is(err, want) {
			t.Errorf("%d: %v", most, err)
		}
	}
	if err := scan(2); !errors.Is(err, ErrBudget) {
		t.Errorf("of a listing that is there: %v", err)
	}
}

func TestWhatNobodyAsksForIsCollected(t *testing.T) {
	dir := t.TempDir()
	s := kept(t, dir, start)
	scanned(t, s, start, "old", "1")
	scanned(t, s, start.Add(unusedLife), "new", "1")
	s.Seen("index.docker.io/library/app", "1", "sha256:a")
	s = kept(t, dir, start.Add(unusedLife+time.Hour))
	got := scanned(t, s, start.Add(unusedLife+time.Hour), "new", "1")
	s.collect()
	if n := countListings(s); n != 1 {
		t.Errorf("%d listings in memory", n)
	}
	if n := len(s.disk.listingsOf(got.Image())); n != 1 {
		t.Errorf("%d listings on disk", n)
	}
	if at := got.FirstSeen("1"); !at.Equal(start) {
		t.Errorf("first seen %s", at)
	}
	s.Delete(object("app"))
	s.clock = kept(t, dir, start.Add(3*unusedLife)).clock
	s.collect()
	if n := len(s.disk.listingsOf(got.Image())); n != 0 {
		t.Errorf("%d listings of a deleted object on disk", n)
	}
}
