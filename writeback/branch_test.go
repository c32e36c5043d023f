// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// remember makes the next request know of a result, as a status does.
func remember(req *writeback.Request, result writeback.Result) {
	req.Last.Source = result.Source
	if !result.Commit.IsZero() {
		req.Last.Push, req.Last.Base = result.Commit, result.Base
	}
	edits := imagesOf(req)
	edits.LastChosen = map[string]edit.Image{}
	for policy, image := range edits.Policies.Chosen {
		edits.LastChosen[policy] = image
	}
}

// mustRun runs and remembers.
func mustRun(t *testing.T, w *writeback.Writer, req *writeback.Request) writeback.Result {
	t.Helper()
	result, err := w.Run(t.Context(), *req)
	if err != nil {
		t.Fatal(err)
	}
	remember(req, result)
	return result
}

func choose(req *writeback.Request, tag string) {
	imagesOf(req).Policies.Chosen = map[string]edit.Image{"app": {Name: "app", Tag: tag}}
}

func TestAPushBranchIsKeptOnItsBase(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	base := repo.Commit("main", gitserver.Files{"a.yaml": marked, "dir/x.txt": "x\n"})
	w := newWriter(t)
	req := request(repo, "2")
	req.Push = "updates/app"

	made := mustRun(t, w, &req)
	if repo.Head("updates/app^") != base || made.Source.String() != base || made.Base.String() != base {
		t.Fatalf("the branch starts at %s, source %s; want %s", repo.Head("updates/app^"), made.Source, base)
	}
	for _, w := range []*writeback.Writer{w, newWriter(t)} { // with and without a mirror
		if again := mustRun(t, w, &req); !again.Commit.IsZero() || repo.Head("updates/app") != made.Commit.String() {
			t.Fatal("the same commit was made again")
		}
	}
	req.Last, imagesOf(&req).LastChosen = writeback.Last{}, nil // as after a takeover
	if again := mustRun(t, w, &req); !again.Commit.IsZero() {
		t.Fatal("the same commit was made again by one that has no memory")
	}
	req.Last.Push, req.Last.Base = made.Commit, made.Base

	moved := repo.Commit("main", gitserver.Files{"b.yaml": marked})
	rebuilt := mustRun(t, w, &req)
	if repo.Head("updates/app^") != moved || !rebuilt.Foreign.IsZero() {
		t.Fatalf("after main moved the branch starts at %s, want %s", repo.Head("updates/app^"), moved)
	}
	if got := repo.Git("diff", "--name-only", "main", "updates/app"); got != "a.yaml\nb.yaml" {
		t.Errorf("the branch changes %s", got)
	}
	choose(&req, "3")
	if mustRun(t, w, &req); repo.Git("rev-list", "--count", "main..updates/app") != "1" {
		t.Error("a newer choice was added instead of taking the older one's place")
	}

	repo.Git("update-ref", "refs/heads/main", "updates/app") // merged
	merged := repo.Head("main")
	if after := mustRun(t, w, &req); !after.Commit.IsZero() || repo.Head("updates/app") != merged {
		t.Error("the branch of a merged update was touched")
	}
	top := repo.Commit("main", gitserver.Files{"c.txt": "c\n"})
	choose(&req, "4")
	if mustRun(t, w, &req); repo.Head("updates/app^") != top {
		t.Error("the next update does not start at main")
	}
	if repo.Head("main") != top {
		t.Error("main was pushed to")
	}
}

func TestAProposalOfWhatIsNotWantedAnyMoreIsWithdrawn(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	base := repo.Commit("main", gitserver.Files{"a.yaml": marked})
	w := newWriter(t)
	req := request(repo, "2")
	req.Push = "updates"
	made := mustRun(t, w, &req)
	choose(&req, "1") // 2 was rejected
	if result := mustRun(t, w, &req); result.Withdrawn != made.Commit || repo.Head("updates") != base {
		t.Errorf("withdrawn %s; the branch is at %s, want %s", result.Withdrawn, repo.Head("updates"), base)
	}
	if again := mustRun(t, w, &req); !again.Withdrawn.IsZero() {
		t.Error("withdrawn again")
	}
	choose(&req, "3")
	if mustRun(t, w, &req); repo.Head("updates^") != base || repo.Git("rev-list", "--count", base+"..updates") != "1" {
		t.Error("the next proposal does not start at main")
	}
}

func TestAPushBranchKeepsTheCommitsOfOthers(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", gitserver.Files{"a.yaml": marked})
	w := newWriter(t)
	req := request(repo, "2")
	req.Push = "updates"
	mustRun(t, w, &req)
	theirs := repo.Commit("updates", gitserver.Files{"fix.txt": "needed\n"})
	repo.Commit("main", gitserver.Files{"m.txt": "m\n"})

	same := mustRun(t, w, &req)
	if !same.Commit.IsZero() || same.Foreign.String() != theirs || repo.Head("updates") != theirs {
		t.Fatalf("a branch with nothing to change: pushed %s, foreign %s", same.Commit, same.Foreign)
	}
	for _, tag := range []string{"3", "4"} {
		tip := repo.Head("updates")
		choose(&req, tag)
		extended := mustRun(t, w, &req)
		if repo.Head("updates^") != tip || extended.Foreign.String() != tip || !extended.Base.IsZero() {
			t.Fatalf("tag %s: the branch is on %s, want %s; foreign %s", tag, repo.Head("updates^"), tip, extended.Foreign)
		}
		if got := repo.File("updates", "fix.txt"); got != "needed\n" {
			t.Fatalf("their file is %q", got)
		}
	}
	repo.Git("update-ref", "-d", "refs/heads/updates") // merged or given up
	choose(&req, "5")
	if mustRun(t, w, &req); repo.Head("updates^") != repo.Head("main") {
		t.Error("a deleted branch was not made anew")
	}
}

func TestCheckoutOfWhatIsNoBranch(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	old := repo.Commit("main", gitserver.Files{"a.yaml": marked})
	repo.Git("tag", "v1.0.0", old)
	repo.Git("-c", "user.name=t", "-c", "user.email=t@example.com", "tag", "-a", "-m", "x", "v1.2.0", old)
	repo.Git("update-ref", "refs/pull/7/head", old)
	repo.Commit("main", gitserver.Files{"b.yaml": marked})
	tests := map[string]struct {
		ref   git.Reference
		label string
	}{
		"a tag":            {git.Reference{Tag: "v1.0.0"}, "v1.0.0"},
		"a range":          {git.Reference{SemVer: "1.x"}, "v1.2.0"},
		"a name":           {git.Reference{Name: "refs/pull/7/head"}, "refs/pull/7/head"},
		"a commit":         {git.Reference{Commit: old}, ""},
		"a commit of main": {git.Reference{Commit: old, Branch: "main"}, "main"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			req := request(repo, "2")
			req.Checkout, req.Push = tc.ref, "to/"+strings.ReplaceAll(name, " ", "-")
			result := mustRun(t, newWriter(t), &req)
			if repo.Head(req.Push+"^") != old || result.Source.String() != old || result.Label != tc.label {
				t.Errorf("on %s from source %s, label %q", repo.Head(req.Push+"^"), result.Source, result.Label)
			}
			if again := mustRun(t, newWriter(t), &req); !again.Commit.IsZero() {
				t.Error("made again")
			}
		})
	}
}

func TestRefspec(t *testing.T) {
	tests := map[string]struct {
		refspec, push string
		before        string // where the destination is before: main, updates, other
		wantErr       error
		want          string // the branch that the destination ends as
	}{
		"a new branch":                {refspec: "refs/heads/main:refs/heads/copy", want: "main"},
		"HEAD":                        {refspec: "HEAD:refs/for/main", want: "main"},
		"short names":                 {refspec: "main:copy", want: "main"},
		"a branch at the base":        {refspec: "main:copy", before: "main", want: "main"},
		"a branch with other commits": {refspec: "main:copy", before: "other", wantErr: writeback.ErrDiverged, want: "other"},
		"the push branch":             {refspec: "main:main", want: "main"},
		"another push branch":         {refspec: "refs/heads/updates:refs/for/main", push: "updates", want: "updates"},
		"what was checked out":        {refspec: "main:copy", push: "updates", want: "main"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := gitserver.New(t).Repo("app")
			repo.Commit("main", gitserver.Files{"a.yaml": marked})
			repo.Commit("other", gitserver.Files{"o.yaml": "o: 1\n"})
			req := request(repo, "2")
			if tc.push != "" {
				req.Push = tc.push
			}
			var err error
			if req.Refspec, err = writeback.ParseRefspec(tc.refspec); err != nil {
				t.Fatal(err)
			}
			if tc.before != "" {
				repo.Git("update-ref", req.Refspec.Target, tc.before)
			}
			w := newWriter(t)
			for _, tag := range []string{"2", "3"} {
				choose(&req, tag)
				result, err := w.Run(t.Context(), req)
				if !errors.Is(err, tc.wantErr) {
					t.Fatalf("tag %s: error %v, want %v", tag, err, tc.wantErr)
				}
				remember(&req, result)
			}
			if got, want := repo.Head(req.Refspec.Target), repo.Head(tc.want); got != want {
				t.Errorf("%s is at %s, want %s", req.Refspec.Target, got, want)
			}
		})
	}
}

func TestParseRefspecRefuses(t *testing.T) {
	for _, text := range []string{
		"", "main", ":main", "main:", "+main:main", "a:b:c", "refs/heads/*:refs/heads/*", "main:HEAD",
		"main:refs/heads/a..b", "main:-x y",
	} {
		if spec, err := writeback.ParseRefspec(text); err == nil {
			t.Errorf("%q is %+v", text, spec)
		}
	}
}

func FuzzParseRefspec(f *testing.F) {
	f.Add("main:refs/heads/x")
	f.Add("HEAD:refs/for/main")
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := writeback.ParseRefspec(text)
		if err == nil && (!strings.HasPrefix(spec.Target, "refs/") || plumbing.ReferenceName(spec.Target).Validate() != nil) {
			t.Errorf("%q gives %+v", text, spec)
		}
	})
}

func TestOneCommitPerPolicy(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	base := repo.Commit("main", gitserver.Files{
		"a.yaml": "a: a:1 # {\"$imagepolicy\": \"apps:a\"}\nb: b:1 # {\"$imagepolicy\": \"apps:b\"}\n",
		"b.yaml": "b: b:1 # {\"$imagepolicy\": \"apps:b\"}\nc: c:2 # {\"$imagepolicy\": \"apps:c\"}\n",
	})
	for _, push := range []string{"main", "updates"} {
		t.Run(push, func(t *testing.T) {
			repo.Git("update-ref", "refs/heads/main", base)
			req := request(repo, "")
			req.Push, imagesOf(&req).CommitPerPolicy = push, true
			imagesOf(&req).Policies.Chosen = map[string]edit.Image{
				"a": {Name: "a", Tag: "2"},
				"b": {Name: "b", Tag: "2"},
				"c": {Name: "c", Tag: "2"},
			}
			req.Message = func(_ context.Context, c writeback.Changed) (string, error) {
				return fmt.Sprint(c.Changes()[0].Setter, " in ", c.Files()), nil
			}
			w := newWriter(t)
			result := mustRun(t, w, &req)
			want := "apps:b in [a.yaml b.yaml]\napps:a in [a.yaml]"
			if diff := cmp.Diff(want, repo.Git("log", "--format=%s", base+".."+push)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			if len(result.Commits) != 2 || result.Commits[1].Hash != result.Commit || repo.Head(push) != result.Commit.String() {
				t.Errorf("commits %v, last %s", result.Commits, result.Commit)
			}
			if again := mustRun(t, w, &req); !again.Commit.IsZero() {
				t.Error("made again")
			}
		})
	}
}
