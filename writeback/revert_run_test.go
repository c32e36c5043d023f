// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

const (
	two   = "image: app:2 # {\"$imagepolicy\": \"apps:app\"}\n"
	other = "image: other:1 # {\"$imagepolicy\": \"apps:other\"}\n"
)

func TestWhatSomeoneTookBackIsHeld(t *testing.T) {
	deployment := func(name, image string) string {
		return "kind: Deployment\nmetadata: {name: " + name + "}\n" + strings.Replace(marked, "app:1", image, 1)
	}
	tests := map[string]struct {
		then  func(repo *gitserver.Repo, ours string) // what happens after our push
		again func(req *writeback.Request)            // what changes besides
		held  bool
	}{
		"a revert": {then: func(r *gitserver.Repo, _ string) { r.Commit("main", gitserver.Files{"a.yaml": marked}) }, held: true},
		"a value of another writer": {then: func(r *gitserver.Repo, _ string) {
			r.Commit("main", gitserver.Files{"a.yaml": strings.Replace(marked, "app:1", "app:9", 1)})
		}, held: true},
		"a revert among other changes": {then: func(r *gitserver.Repo, _ string) {
			r.Commit("main", gitserver.Files{"a.yaml": "# note\n" + marked + "# note\n", "n.yaml": "n: 1\n"})
		}, held: true},
		"a marker that is added in another file": {then: func(r *gitserver.Repo, _ string) {
			r.Commit("main", gitserver.Files{"b.yaml": marked})
		}},
		"a marker that is added before another": {then: func(r *gitserver.Repo, _ string) {
			r.Commit("main", gitserver.Files{"a.yaml": marked + two})
		}},
		"an object that is added to the file": {then: func(r *gitserver.Repo, _ string) {
			r.Commit("main", gitserver.Files{"a.yaml": two + "---\n" + deployment("new", "app:1")})
		}},
		"a branch that is set back": {then: func(r *gitserver.Repo, ours string) { r.Git("update-ref", "refs/heads/main", ours+"^") }},
		"another choice": {then: func(r *gitserver.Repo, _ string) { r.Commit("main", gitserver.Files{"a.yaml": marked}) },
			again: func(req *writeback.Request) { choose(req, "3") }},
		"a lower choice": {then: func(r *gitserver.Repo, _ string) { r.Commit("main", gitserver.Files{"a.yaml": marked}) },
			again: func(req *writeback.Request) { choose(req, "0") }},
		"no memory": {then: func(r *gitserver.Repo, _ string) { r.Commit("main", gitserver.Files{"a.yaml": marked}) },
			again: func(req *writeback.Request) { req.Last, imagesOf(req).LastChosen = writeback.Last{}, nil }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := gitserver.New(t).Repo("app")
			repo.Commit("main", gitserver.Files{"a.yaml": marked, "o.yaml": other})
			w := newWriter(t)
			req := request(repo, "2")
			ours := mustRun(t, w, &req)
			tc.then(repo, ours.Commit.String())
			head := repo.Head("main")
			if tc.again != nil {
				tc.again(&req)
			}
			imagesOf(&req).Policies.Chosen["other"] = edit.Image{Name: "other", Tag: "2"}

			result := mustRun(t, w, &req)

			var want []writeback.RevertedUpdate
			if tc.held {
				by := result.Reverted[0].By
				if by.String() != head {
					t.Errorf("reverted by %s, want %s", by, head)
				}
				want = []writeback.RevertedUpdate{{Policy: "app", Image: edit.Image{Name: "app", Tag: "2"}, Reverted: ours.Commit, By: by}}
			}
			if diff := cmp.Diff(want, result.Reverted); diff != "" {
				t.Errorf("reverted (-want +got):\n%s", diff)
			}
			if got := repo.File("main", "o.yaml"); !strings.HasPrefix(got, "image: other:2 ") {
				t.Errorf("the other policy was not written: %s", got)
			}
			if changed := strings.Contains(repo.Git("diff", "--name-only", head, "main"), "a.yaml"); tc.held && changed {
				t.Errorf("what is held was written: %s", repo.File("main", "a.yaml"))
			}
			if counts := result.Report.Counts(); (counts.Held > 0) != tc.held {
				t.Errorf("counts %+v", counts)
			}
		})
	}
}

func TestAHeldPolicyStaysHeld(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", gitserver.Files{"a.yaml": marked})
	w := newWriter(t)
	req := request(repo, "2")
	mustRun(t, w, &req)
	repo.Commit("main", gitserver.Files{"a.yaml": marked})
	if held := mustRun(t, w, &req); len(held.Reverted) != 1 {
		t.Fatalf("reverted %v", held.Reverted)
	}
	imagesOf(&req).Policies.Held = map[string]bool{"app": true}
	repo.Commit("main", gitserver.Files{"b.yaml": marked})
	if again := mustRun(t, w, &req); !again.Commit.IsZero() || len(again.Reverted) > 0 || again.Report.Counts().Held != 2 {
		t.Errorf("pushed %s, reverted %v, counts %+v", again.Commit, again.Reverted, again.Report.Counts())
	}
	imagesOf(&req).Policies.Held = nil // released
	if released := mustRun(t, w, &req); repo.File("main", "a.yaml") != two || len(released.Reverted) > 0 {
		t.Errorf("after the release the file is %s", repo.File("main", "a.yaml"))
	}
}

// TestTwoWritersDoNotQuarrel lets two processes want different images in the same
// field.
func TestTwoWritersDoNotQuarrel(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", gitserver.Files{"a.yaml": marked})
	one, two := newWriter(t), newWriter(t)
	first, second := request(repo, "2"), request(repo, "3")
	for range 6 {
		for _, turn := range []struct {
			w   *writeback.Writer
			req *writeback.Request
		}{{one, &first}, {two, &second}} {
			result := mustRun(t, turn.w, turn.req)
			for _, u := range result.Reverted {
				imagesOf(turn.req).Policies.Held = map[string]bool{u.Policy: true}
			}
		}
	}
	if count := repo.Git("rev-list", "--count", "main"); count != "3" {
		t.Errorf("%s commits, want 3: one of each writer", count)
	}
}

// A person who takes back a commit on the push branch means it as well.
func TestARevertOnThePushBranchIsHeld(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", gitserver.Files{"a.yaml": marked})
	w := newWriter(t)
	req := request(repo, "2")
	req.Push = "updates"
	mustRun(t, w, &req)
	theirs := repo.Commit("updates", gitserver.Files{"a.yaml": marked})
	held := mustRun(t, w, &req)
	if len(held.Reverted) != 1 || repo.Head("updates") != theirs {
		t.Errorf("reverted %v, the branch is at %s, want %s", held.Reverted, repo.Head("updates"), theirs)
	}
}
