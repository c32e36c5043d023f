// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func random(t *testing.T, bytes int) string {
	t.Helper()
	data := make([]byte, bytes)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAMirrorIsNotMuchLargerThanItsRepository(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Git("config", "core.compression", "0") // what is random stays as large
	dir := t.TempDir()
	mirrors := git.NewMirrors(dir, clock.RealClock{})
	mirrors.Space = disk.New(1 << 30)
	for i := range 18 {
		repo.Replace("main", files{"blob": random(t, 2<<20), "n": fmt.Sprint(i)})
		m, err := mirrors.Get(t.Context(), git.Remote{URL: repo.URL, Namespace: "apps"})
		if err != nil {
			t.Fatal(err)
		}
		pull(t, m, "main")
		if size := disk.SizeOf(dir); size > 30<<20 || size != mirrors.Space.Used("apps") {
			t.Fatalf("after %d pushes by force it has %d bytes, of which %d are counted", i, size, mirrors.Space.Used("apps"))
		}
	}
}

func TestAFetchStopsWhereThereIsNoRoom(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	head := plumbing.NewHash(repo.Commit("main", files{"blob": random(t, 8<<20)}))
	dir := t.TempDir()
	mirrors := git.NewMirrors(dir, clock.RealClock{})
	mirrors.Space = disk.New(6 << 20)
	m, err := mirrors.Get(t.Context(), git.Remote{URL: repo.URL, Namespace: "apps"})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Fetch(t.Context(), "main", head); !errors.Is(err, disk.ErrFull) {
		t.Errorf("got %v", err)
	}
	if left := mirrors.Space.Used("apps"); left > 64<<10 || left != disk.SizeOf(dir) {
		t.Errorf("%d bytes are counted, %d are there", left, disk.SizeOf(dir))
	}
}

func TestWhatAnEarlierProcessLeftIsCountedUntilItIsSwept(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", files{"blob": random(t, 1<<20)})
	dir := t.TempDir()
	remote := git.Remote{URL: repo.URL, Namespace: "apps"}
	pull(t, open(t, dir, remote), "main")
	size := disk.SizeOf(dir)

	clk := clocktesting.NewFakePassiveClock(time.Now())
	mirrors := git.NewMirrors(dir, clk)
	mirrors.Space = disk.New(1 << 30)
	other := git.Remote{URL: repo.URL, Auth: git.Auth{Username: "other"}, Namespace: "others"}
	if _, err := mirrors.Get(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if got := mirrors.Space.Used(""); got != size {
		t.Errorf("of nobody yet: %d bytes, want %d", got, size)
	}
	clk.SetTime(time.Now().Add(72 * time.Hour))
	if _, err := mirrors.Get(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if got := mirrors.Space.Used(""); got != 0 {
		t.Errorf("after it was swept: %d bytes", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "objects")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestACommitBeyondTheLimitsIsFetchedOnce(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	head := plumbing.NewHash(repo.Commit("main", files{"blob": random(t, 4<<20)}))
	mirrors := git.NewMirrors(t.TempDir(), clock.RealClock{})
	mirrors.Memory = budget.New(4 << 20)
	m, err := mirrors.Get(t.Context(), git.Remote{URL: repo.URL, Namespace: "apps"})
	if err != nil {
		t.Fatal(err)
	}
	requests := int64(0)
	for i := range 3 {
		if err := m.Fetch(t.Context(), "main", head); !errors.Is(err, budget.ErrTooLarge) {
			t.Fatal(err)
		}
		if now := int64(server.Requests()); i > 0 && now != requests {
			t.Errorf("it was fetched again")
		} else {
			requests = now
		}
	}
	next := plumbing.NewHash(repo.Replace("main", files{"small": "x"}))
	if err := m.Fetch(t.Context(), "main", next); err != nil {
		t.Errorf("the next commit, which fits: %v", err)
	}
}

func TestNamespacesThatShareAMirrorPayEqualParts(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	first := plumbing.NewHash(repo.Commit("main", files{"blob": random(t, 3<<20)}))
	dir, now := t.TempDir(), time.Now()
	clk := clocktesting.NewFakePassiveClock(now)
	mirrors := git.NewMirrors(dir, clk)
	mirrors.Space = disk.New(20 << 20)
	get := func(namespace string) *git.Mirror {
		t.Helper()
		m, err := mirrors.Get(t.Context(), git.Remote{URL: repo.URL, Namespace: namespace, Owner: namespace + "/app"})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	used := func(when string, want ...string) {
		t.Helper()
		size := disk.SizeOf(dir)
		for _, namespace := range []string{"", "a", "b"} {
			got, part := mirrors.Space.Used(namespace), int64(0)
			if slices.Contains(want, namespace) {
				part = size / int64(len(want))
			}
			if got != part && got != part+size%2 {
				t.Errorf("%s, %q pays for %d bytes, want %d of %d", when, namespace, got, part, size)
			}
		}
	}
	a := get("a")
	if err := a.Fetch(t.Context(), "main", first); err != nil {
		t.Fatal(err)
	}
	used("with one", "a")
	b := get("b")
	used("with two", "a", "b")

	mirrors.Space.Record("a", 9<<20) // the first one's share is full of other things
	second := plumbing.NewHash(repo.Commit("main", files{"blob": random(t, 2<<20)}))
	if err := a.Fetch(t.Context(), "main", second); !errors.Is(err, disk.ErrFull) {
		t.Errorf("the fetch of a full namespace: %v", err)
	}
	if err := b.Fetch(t.Context(), "main", second); err != nil {
		t.Errorf("the fetch of the other namespace: %v", err)
	}
	mirrors.Space.Release("a", 9<<20)
	used("after a fetch", "a", "b")

	mirrors.Forget("a/app")
	used("after one left", "b")
	get("a")
	clk.SetTime(now.Add(30 * time.Hour))
	get("b")
	clk.SetTime(now.Add(60 * time.Hour))
	get("b")
	used("after one did not ask for long", "b")
	mirrors.Forget("b/app")
	mirrors.Forget("a/app")
	used("after all left")
}

func TestANamespaceWithoutMemoryHoldsUpNobodyElseAtASharedMirror(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	head := plumbing.NewHash(repo.Commit("main", files{"blob": random(t, 2<<20)}))
	mirrors := git.NewMirrors(t.TempDir(), clock.RealClock{})
	mirrors.Memory = budget.New(32 << 20)
	fetch := func(ctx context.Context, namespace string) error {
		m, err := mirrors.Get(ctx, git.Remote{URL: repo.URL, Namespace: namespace})
		if err == nil {
			err = m.Fetch(ctx, "main", head)
		}
		if err == nil {
			var files *git.CommitTree
			if files, err = m.Tree(head); err == nil {
				_, err = files.ReadFile("blob")
			}
		}
		return err
	}
	full, err := mirrors.Memory.TryAcquire("a", mirrors.Memory.NamespaceLimit())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	first := make(chan error, 1)
	go func() { first <- fetch(ctx, "a") }()
	for testutil.ToFloat64(mirrors.Memory.Collectors()[2]) == 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	if err := fetch(ctx, "b"); err != nil {
		t.Errorf("while another namespace waits for its memory: %v", err)
	}
	full.Release()
	if err := <-first; err != nil {
		t.Errorf("once there is memory: %v", err)
	}
}
