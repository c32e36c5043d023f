// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
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
