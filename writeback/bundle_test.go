// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

func TestABundleIsWrittenBelowThePathsOfAStage(t *testing.T) {
	repo := gitserver.New(t).Repo("fleet")
	repo.Commit("main",
		gitserver.Files{"staging/a.yaml": marked, "production/eu/a.yaml": marked, "production/us/a.yaml": marked, "other.yaml": marked})
	w := newWriter(t)
	req := request(repo, "")
	req.Edits = writeback.BundleEdits{
		Paths:  []string{"production/eu", "production/us"},
		Fields: writeback.ArtifactFields{Namespace: "apps", Policies: map[string]string{"shop": "app"}},
		Images: map[string]edit.Image{"shop": {Name: "app", Tag: "2"}},
	}
	if _, err := w.Run(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := repo.Git("diff", "--name-only", "main^", "main"); got != "production/eu/a.yaml\nproduction/us/a.yaml" {
		t.Errorf("changed %q", got)
	}
	again, err := w.Run(t.Context(), req)
	if err != nil || !again.Commit.IsZero() {
		t.Errorf("written again: %v, %v", again.Commit, err)
	}
}

func TestABundleThatLacksAPartIsNotWrittenInPart(t *testing.T) {
	repo := gitserver.New(t).Repo("fleet")
	head := repo.Commit("main", gitserver.Files{
		"a.yaml": marked, "b.yaml": "digest: sha256:1 # {\"$imagepolicy\": \"apps:app:digest\"}\n",
	})
	req := request(repo, "")
	req.Edits = writeback.BundleEdits{
		Paths:  []string{""},
		Fields: writeback.ArtifactFields{Namespace: "apps", Policies: map[string]string{"shop": "app"}},
		Images: map[string]edit.Image{"shop": {Name: "app", Tag: "2"}},
	}
	if _, err := newWriter(t).Run(t.Context(), req); !errors.Is(err, edit.ErrMissingPart) {
		t.Errorf("got %v", err)
	}
	if repo.Head("main") != head {
		t.Error("something was written")
	}
}

func TestTwoArtifactsOfAPolicyCannotHaveTwoVersions(t *testing.T) {
	repo := gitserver.New(t).Repo("fleet")
	head := repo.Commit("main", gitserver.Files{"a.yaml": marked})
	req := request(repo, "")
	edits := writeback.BundleEdits{
		Paths:  []string{""},
		Fields: writeback.ArtifactFields{Namespace: "apps", Policies: map[string]string{"shop": "app", "twin": "app"}},
		Images: map[string]edit.Image{"shop": {Name: "app", Tag: "2"}, "twin": {Name: "app", Tag: "3"}},
	}
	req.Edits = edits
	_, err := newWriter(t).Run(t.Context(), req)
	if !errors.Is(err, writeback.ErrDisagree) || !strings.Contains(err.Error(), "artifacts shop and twin have the same policy app") {
		t.Errorf("got %v", err)
	}
	if repo.Head("main") != head {
		t.Error("something was written")
	}
	edits.Images["twin"] = edits.Images["shop"]
	if _, err := newWriter(t).Run(t.Context(), req); err != nil || repo.Head("main") == head {
		t.Errorf("the same version is not written: %v", err)
	}
}

func TestTheVersionsOfAStage(t *testing.T) {
	marker := func(key, value, setter string) string {
		return key + ": " + value + " # {\"$imagepolicy\": \"" + setter + "\"}\n"
	}
	tests := map[string]struct {
		files gitserver.Files
		want  map[string]edit.Image
		err   error
	}{
		"a whole reference": {
			files: gitserver.Files{"a.yaml": marker("image", "host:5000/team/app:1.2@sha256:ab", "apps:app")},
			want:  map[string]edit.Image{"shop": {Name: "host:5000/team/app", Tag: "1.2", Digest: "sha256:ab"}},
		},
		"parts in several files": {
			files: gitserver.Files{
				"a.yaml": marker("newName", "host/app", "apps:app:name") + marker("newTag", "'1.20'", "apps:app:tag"),
				"b.yaml": marker("digest", "sha256:ab", "apps:app:digest") + marker("image", "host/app:1.20", "apps:app"),
			},
			want: map[string]edit.Image{"shop": {Name: "host/app", Tag: "1.20", Digest: "sha256:ab"}},
		},
		"other policies and namespaces do not count": {
			files: gitserver.Files{"a.yaml": marker("image", "app:1", "apps:app") + marker("image", "x:1", "apps:x") +
				marker("image", "y:1", "other:app")},
			want: map[string]edit.Image{"shop": {Name: "app", Tag: "1"}},
		},
		"two versions of one policy": {
			files: gitserver.Files{"a.yaml": marker("image", "app:1", "apps:app") + marker("image", "app:2", "apps:app")},
			err:   writeback.ErrDisagree,
		},
		"no field": {files: gitserver.Files{"a.yaml": "image: app:1\n"}, err: writeback.ErrNoFields},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := gitserver.New(t).Repo("fleet")
			repo.Commit("main", tc.files)
			w := newWriter(t)
			files := filesOf(t, repo)
			fields := writeback.ArtifactFields{Namespace: "apps", Policies: map[string]string{"shop": "app", "web": "web"}}
			got, err := w.Index().Versions(t.Context(), files, "", fields)
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A marker of another namespace was passed over in silence.
func TestMarkersOfOtherPoliciesAreNamedIfThereIsNoOther(t *testing.T) {
	repo := gitserver.New(t).Repo("fleet")
	repo.Commit("main", gitserver.Files{
		"a.yaml": "image: app:1 # {\"$imagepolicy\": \"default:app\"}\n---\nimage: x:1 # {\"$imagepolicy\": \"apps:x\"}\n",
	})
	fields := writeback.ArtifactFields{Namespace: "apps", Policies: map[string]string{"shop": "app"}}
	_, err := newWriter(t).Index().Versions(t.Context(), filesOf(t, repo), "", fields)
	const want = `below "": there are markers of default:app (a.yaml:1), apps:x (a.yaml:3), and none of apps:app`
	if !errors.Is(err, writeback.ErrNoFields) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// filesOf are the files of main.
func filesOf(t *testing.T, repo *gitserver.Repo) *git.CommitTree {
	t.Helper()
	mirror, err := newMirrors(t).Get(t.Context(), git.Remote{URL: repo.URL})
	if err != nil {
		t.Fatal(err)
	}
	head := plumbing.NewHash(repo.Head("main"))
	if err := mirror.Fetch(t.Context(), "main", head); err != nil {
		t.Fatal(err)
	}
	files, err := mirror.Tree(head)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheStateIsWrittenByCompareAndSwap(t *testing.T) {
	repo := gitserver.New(t).Repo("fleet")
	repo.Commit("main", gitserver.Files{"a.yaml": marked})
	w := newWriter(t)
	if _, err := w.Run(t.Context(), request(repo, "2")); err != nil { // fetches
		t.Fatal(err)
	}
	f := writeback.StateFile{
		Remote: git.Remote{URL: repo.URL}, Branch: "sluice/state/apps.shop",
		Path: "state.yaml", Author: git.Signature{Name: "bot", Email: "bot@example.com"},
	}
	content, at, err := w.ReadState(t.Context(), f)
	if err != nil || content != nil || !at.IsZero() {
		t.Fatalf("before: %q at %s, %v", content, at, err)
	}
	first, err := w.WriteState(t.Context(), f, at, []byte("version: 1\n"), "First\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteState(t.Context(), f, at, []byte("version: 9\n"), "Late\n"); !errors.Is(err, git.ErrNonFastForward) {
		t.Errorf("a second first commit: %v", err)
	}
	if _, err := w.WriteState(t.Context(), f, first, []byte("version: 2\n"), "Second\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteState(t.Context(), f, first, []byte("version: 9\n"), "Late\n"); !errors.Is(err, git.ErrNonFastForward) {
		t.Errorf("a late commit: %v", err)
	}
	other := newWriter(t)
	content, _, err = other.ReadState(t.Context(), f)
	if err != nil || string(content) != "version: 2\n" {
		t.Errorf("after: %q, %v", content, err)
	}
	if got := repo.Git("ls-tree", "-r", "--name-only", f.Branch); got != "state.yaml" {
		t.Errorf("the branch has %q", got)
	}
}
