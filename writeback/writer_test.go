// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

const marked = "image: app:1 # {\"$imagepolicy\": \"apps:app\"}\n"

func newWriter(t *testing.T) *writeback.Writer {
	t.Helper()
	return writeback.NewWriter(newMirrors(t), clock.RealClock{})
}

func newMirrors(t *testing.T) *git.Mirrors {
	t.Helper()
	return git.NewMirrors(t.TempDir(), clock.RealClock{})
}

// request asks for app:<tag> on main.
func request(repo *gitserver.Repo, tag string) writeback.Request {
	return writeback.Request{
		Remote: git.Remote{URL: repo.URL}, Checkout: git.Reference{Branch: "main"}, Push: "main",
		Edits: &writeback.ImageEdits{
			Policies: writeback.Policies{Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: tag}}}},
		Author: git.Signature{Name: "bot", Email: "bot@example.com"},
		Message: func(_ context.Context, c writeback.Changed) (string, error) {
			return "Set " + strings.Join(c.Files(), " "), nil
		},
	}
}

// imagesOf are the edits of such a request, to change them.
func imagesOf(req *writeback.Request) *writeback.ImageEdits { return req.Edits.(*writeback.ImageEdits) }

func TestRunCommitsExactlyTheMarkedLines(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	base := repo.Commit("main", gitserver.Files{
		"apps/a.yaml": "# keep\n\n" + marked, "apps/b.yml": marked, "apps/Kustomization": marked,
		"apps/c.txt": marked, "100755 apps/run.yaml": marked, "120000 apps/link.yaml": "a.yaml",
		".hidden/d.yaml": marked, "e.yaml": "kind: None\n",
	})
	mirrors := newMirrors(t)
	w := writeback.NewWriter(mirrors, clock.RealClock{})

	req := request(repo, "2")
	req.Remote.Owner = "apps/fleet"
	result, err := w.Run(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}

	if head := repo.Head("main"); head != result.Commit.String() || result.Source != result.Commit {
		t.Errorf("main is at %s, the run says commit %s, source %s", head, result.Commit, result.Source)
	}
	if parent := repo.Head("main^"); parent != base {
		t.Errorf("the parent is %s, want %s", parent, base)
	}
	want := ".hidden/d.yaml\napps/Kustomization\napps/a.yaml\napps/b.yml\napps/run.yaml"
	if diff := cmp.Diff(want, repo.Git("diff", "--name-only", base, "main")); diff != "" {
		t.Errorf("changed files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, strings.Join(changedIn(t, mirrors, "apps/fleet", result.Commit), "\n")); diff != "" {
		t.Errorf("what its mirror tells of the commit (-want +got):\n%s", diff)
	}
	if stat := repo.Git("diff", "--shortstat", base, "main"); stat != " 5 files changed, 5 insertions(+), 5 deletions(-)" {
		t.Errorf("changed %s", stat)
	}
	if mode := repo.Git("ls-tree", "main", "apps/run.yaml"); !strings.HasPrefix(mode, "100755") {
		t.Errorf("the executable became %s", mode)
	}
	who := repo.Git("log", "-1", "--format=%an <%ae>, %cn <%ce>: %B", "main")
	want = "bot <bot@example.com>, bot <bot@example.com>: Set " + strings.ReplaceAll(want, "\n", " ")
	if diff := cmp.Diff(want, strings.TrimSpace(who)); diff != "" {
		t.Errorf("commit (-want +got):\n%s", diff)
	}

	again, err := w.Run(t.Context(), request(repo, "2"))
	if err != nil || !again.Commit.IsZero() || again.Source != result.Commit {
		t.Errorf("a second run committed %s on %s, error %v", again.Commit, again.Source, err)
	}
	afterCrash, err := newWriter(t).Run(t.Context(), request(repo, "2"))
	if err != nil || !afterCrash.Commit.IsZero() {
		t.Errorf("a run of a new process committed %s, error %v", afterCrash.Commit, err)
	}
}

// changedIn asks the mirror of an owner what a commit that was pushed from it changed.
func changedIn(t *testing.T, mirrors *git.Mirrors, owner string, commit plumbing.Hash) []string {
	t.Helper()
	mirror, ok := mirrors.OwnedBy(owner)
	if !ok {
		t.Fatal("there is no mirror of", owner)
	}
	changes, err := mirror.Changes(commit, git.ChangeLimits{Paths: 10, Files: 10, File: 1000, Total: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, f := range changes.Files {
		if string(f.New) != strings.ReplaceAll(string(f.Old), "app:1", "app:2") {
			t.Errorf("%s was %q and is %q", f.Path, f.Old, f.New)
		}
		files = append(files, f.Path)
	}
	slices.Sort(files)
	return files
}

func TestRunHonoursThePath(t *testing.T) {
	tests := map[string]struct {
		path, want string
		wantErr    bool
	}{
		"a directory":            {path: "./apps/", want: "apps/a.yaml"},
		"a nested directory":     {path: "infra/x", want: "infra/x/c.yaml"},
		"a file":                 {path: "infra/b.yaml", want: "infra/b.yaml"},
		"everything":             {path: "", want: "apps/a.yaml\ninfra/b.yaml\ninfra/x/c.yaml"},
		"what is not there":      {path: "none", wantErr: true},
		"a symlink":              {path: "link", wantErr: true},
		"outside the repository": {path: "../apps", wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := gitserver.New(t).Repo("app")
			base := repo.Commit("main", gitserver.Files{
				"apps/a.yaml": marked, "infra/b.yaml": marked, "infra/x/c.yaml": marked, "120000 link": "apps"})
			req := request(repo, "2")
			imagesOf(&req).Path = tc.path
			_, err := newWriter(t).Run(t.Context(), req)
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want one: %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, repo.Git("diff", "--name-only", base, "main")); diff != "" {
				t.Errorf("changed files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunHoldsAPolicyThatLacksADigest(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", gitserver.Files{
		"a.yaml": "newTag: v1 # {\"$imagepolicy\": \"apps:app:tag\"}\ndigest: sha256:1 # {\"$imagepolicy\": \"apps:app:digest\"}\n",
		"b.yaml": "image: other:1 # {\"$imagepolicy\": \"apps:other\"}\n",
	})
	before := repo.File("main", "a.yaml")
	req := request(repo, "2")
	imagesOf(&req).Policies.Chosen["other"] = edit.Image{Name: "other", Tag: "2"}

	result, err := newWriter(t).Run(t.Context(), req)

	if err != nil || result.Held == nil || !strings.Contains(result.Held.Error(), "a.yaml:2: apps:app:digest") {
		t.Fatalf("held %v, error %v", result.Held, err)
	}
	if after := repo.File("main", "a.yaml"); after != before {
		t.Errorf("half of the reference was written: %s", after)
	}
	if got := repo.File("main", "b.yaml"); !strings.HasPrefix(got, "image: other:2 ") {
		t.Errorf("the other policy was not written: %s", got)
	}
}

func TestRunReportsNearMisses(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", gitserver.Files{"a.yaml": marked + "b: c # {'$imagepolicy': 'apps:app'}\n" +
		"d: e # {\"$imagepolicy\": \"others:app\"}\nf: g # {\"$imagepolicy\": \"apps:nobody\"}\n"})
	result, err := newWriter(t).Run(t.Context(), request(repo, "1"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a.yaml:2: skipped: " + string(edit.SingleQuotes) + " (marker # {'$imagepolicy': 'apps:app'})",
		"a.yaml:4: skipped: " + string(edit.UnknownPolicy) + ` (marker "apps:nobody" of policy 'nobody' in namespace 'apps')`,
	}
	if diff := cmp.Diff(want, result.Report.NearMisses()); diff != "" {
		t.Errorf("near misses (-want +got):\n%s", diff)
	}
}

func TestRunRetriesWhenItLosesTheRace(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	repo.Commit("main", gitserver.Files{"a.yaml": marked})
	var once sync.Once
	var rival string
	server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") && r.Method == http.MethodPost {
				once.Do(func() { rival = repo.Commit("main", gitserver.Files{"b.yaml": marked}) })
			}
			next.ServeHTTP(rw, r)
		})
	})

	result, err := newWriter(t).Run(t.Context(), request(repo, "2"))

	if err != nil || result.Conflicts != 1 {
		t.Fatalf("%d conflicts, error %v", result.Conflicts, err)
	}
	if parent := repo.Head("main^"); parent != rival {
		t.Errorf("the commit is on %s, want the rival's %s", parent, rival)
	}
	if got := repo.File("main", "b.yaml"); !strings.HasPrefix(got, "image: app:2 ") {
		t.Errorf("the new head was not edited anew: %s", got)
	}
}

func TestRunGivesUpWhenItLosesEveryRace(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	repo.Commit("main", gitserver.Files{"a.yaml": marked})
	server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") && r.Method == http.MethodPost {
				repo.Commit("main", gitserver.Files{"b.yaml": marked})
			}
			next.ServeHTTP(rw, r)
		})
	})
	result, err := newWriter(t).Run(t.Context(), request(repo, "2"))
	if !errors.Is(err, git.ErrNonFastForward) || result.Conflicts != 10 || !result.Commit.IsZero() {
		t.Errorf("%d conflicts, commit %s, error %v", result.Conflicts, result.Commit, err)
	}
}
