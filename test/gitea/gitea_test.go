// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
)

// forge is a server with an organization, in which a robot proposes what a reviewer
// approves.
type forge struct {
	*gitea.Server
	robot, reviewer *gitea.Person
}

func TestForge(t *testing.T) {
	f := &forge{Server: gitea.Require(t)}
	must(t, f.Admin.NewOrganization(t.Context(), "acme"))
	f.robot, f.reviewer = get(f.NewPerson(t.Context(), "robot")).or(t), get(f.NewPerson(t.Context(), "reviewer")).or(t)
	for name, test := range map[string]func(*testing.T, *forge){
		"a protected branch takes what is approved and checked, and says so": protected,
		"a merge style lands in its own way, or not if it is not allowed":    styles,
		"a head that is behind lands by none but a merge":                    behind,
		"what landed is taken back by another pull request":                  reverted,
		"a branch is deleted, and comes back":                                deleted,
		"Git speaks HTTP and SSH, and the rules of branches hold for it":     git,
		"a person merges by the button of the page":                          pressed,
		"a fork proposes a branch of the same name":                          forked,
		"a token that may only read does not write":                          scoped,
	} {
		t.Run(name, func(t *testing.T) { test(t, f) })
	}
}

// repo makes a repository in which the robot and the reviewer may write.
func (f *forge) repo(t *testing.T, name string) *gitea.Repo {
	t.Helper()
	r := get(f.NewRepo(t.Context(), "acme", name, map[string]string{"staging/image.txt": "1.0.0\n", "production/image.txt": "1.0.0\n"})).or(t)
	must(t, r.Invite(t.Context(), gitea.Write, f.robot, f.reviewer))
	return r
}

// propose opens a pull request that puts a version into production.
func (f *forge) propose(t *testing.T, r *gitea.Repo, branch, version string) *gitea.Pull {
	t.Helper()
	get(f.robot.Commit(t.Context(), r, gitea.Commit{Branch: branch, From: gitea.Branch, Message: "Promote " + version,
		Files: map[string]string{"production/image.txt": version + "\n"}})).or(t)
	return get(f.robot.Open(t.Context(), r, branch, gitea.Branch, "Promote "+version)).or(t)
}

func protected(t *testing.T, f *forge) {
	ctx, r := t.Context(), f.repo(t, "protected")
	must(t, r.Allow(ctx, gitea.StyleSquash))
	must(t, r.Protect(ctx, gitea.Protection{Branch: gitea.Branch, Statuses: []string{"sluice/shop/production"}, Approvals: 1}))
	hook := listen(t, "a secret")
	must(t, r.AddWebhook(ctx, hook.URL, "a secret", "pull_request"))

	pull := f.propose(t, r, "promote", "1.1.0")
	hook.await(t, "opened")
	refused(t, f.robot.Merge(ctx, r, pull.Number, gitea.StyleSquash), "nobody has approved it")
	must(t, f.reviewer.Approve(ctx, r, pull.Number))
	refused(t, f.robot.Merge(ctx, r, pull.Number, gitea.StyleSquash), "its status is missing")
	refused(t, f.Admin.Merge(ctx, r, pull.Number, gitea.StyleSquash), "its status is missing, for administrators, too")
	must(t, f.robot.SetStatus(ctx, r, pull.Head.SHA, "sluice/shop/production", "success"))
	must(t, f.robot.Merge(ctx, r, pull.Number, gitea.StyleSquash))

	merged := get(r.Pull(ctx, pull.Number)).or(t)
	if !merged.Merged || merged.State != "closed" || merged.MergedBy == nil || merged.MergedBy.Name != "robot" {
		t.Errorf("after the merge the pull request is %+v", merged)
	}
	if head := get(r.Head(ctx, gitea.Branch)).or(t); head != merged.Landed {
		t.Errorf("%s is at %s, and the pull request says that it landed as %s", gitea.Branch, head, merged.Landed)
	}
	if got := get(r.File(ctx, gitea.Branch, "production/image.txt")).or(t); got != "1.1.0\n" {
		t.Errorf("production has %q", got)
	}
	event := hook.await(t, "closed")
	if !event.PullRequest.Merged || event.Repository.Name != "acme/protected" {
		t.Errorf("the webhook says %+v", event)
	}
}

func styles(t *testing.T, f *forge) {
	for name, tc := range map[string]struct {
		style   gitea.MergeStyle
		parents int
		same    bool // the head itself is what lands
	}{
		"a merge has two parents":            {style: gitea.StyleMerge, parents: 2},
		"a squash is another commit":         {style: gitea.StyleSquash, parents: 1},
		"a rebase of what is on top is same": {style: gitea.StyleRebase, parents: 1, same: true},
		"a rebase with a merge has two":      {style: gitea.StyleRebaseMerge, parents: 2},
		"a fast-forward lands the head":      {style: gitea.StyleFastForward, parents: 1, same: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, r := t.Context(), f.repo(t, "style-"+string(tc.style))
			other := gitea.StyleMerge
			if tc.style == other {
				other = gitea.StyleSquash
			}
			must(t, r.Allow(ctx, tc.style))
			pull := f.propose(t, r, "promote", "1.1.0")
			refused(t, f.robot.Merge(ctx, r, pull.Number, other), "the style is not allowed")
			must(t, f.robot.Merge(ctx, r, pull.Number, tc.style))
			dir := filepath.Join(t.TempDir(), "clone")
			must(t, f.robot.Clone(ctx, r, dir))
			landed := get(r.Pull(ctx, pull.Number)).or(t).Landed
			line := get(harness.Git(ctx, "-C", dir, "log", "-1", "--format=%H %P", gitea.Branch)).or(t)
			if parents := len(strings.Fields(line)) - 1; parents != tc.parents || !strings.HasPrefix(line, landed) {
				t.Errorf("landed as %s, and %s has %q, want %d parents", landed, gitea.Branch, line, tc.parents)
			}
			if (landed == pull.Head.SHA) != tc.same {
				t.Errorf("landed as %s, proposed as %s", landed, pull.Head.SHA)
			}
		})
	}
}

func behind(t *testing.T, f *forge) {
	ctx, r := t.Context(), f.repo(t, "behind")
	must(t, r.Allow(ctx, gitea.StyleFastForward, gitea.StyleMerge))
	pull := f.propose(t, r, "promote", "1.1.0")
	get(f.reviewer.Commit(ctx, r, gitea.Commit{Branch: gitea.Branch, Message: "Document",
		Files: map[string]string{"README.md": "Shop\n"}})).or(t)
	if err := f.robot.Merge(ctx, r, pull.Number, gitea.StyleFastForward); err == nil {
		t.Error("a head that is behind was fast-forwarded to")
	}
	must(t, r.Protect(ctx, gitea.Protection{Branch: gitea.Branch, UpToDate: true}))
	refused(t, f.robot.Merge(ctx, r, pull.Number, gitea.StyleMerge), "the head is behind")
	must(t, r.Protect(ctx, gitea.Protection{Branch: gitea.Branch}))
	must(t, f.robot.Merge(ctx, r, pull.Number, gitea.StyleMerge))
}

func reverted(t *testing.T, f *forge) {
	for _, style := range []gitea.MergeStyle{gitea.StyleSquash, gitea.StyleMerge} {
		ctx, r := t.Context(), f.repo(t, "revert-"+string(style))
		pull := f.propose(t, r, "promote", "1.1.0")
		must(t, f.robot.Merge(ctx, r, pull.Number, style))
		landed := get(r.Pull(ctx, pull.Number)).or(t).Landed
		commit := get(f.reviewer.Revert(ctx, r, landed, "take-back")).or(t)
		if head := get(r.Head(ctx, "take-back")).or(t); head != commit {
			t.Errorf("the branch is at %s, want %s", head, commit)
		}
		back := get(f.reviewer.Open(ctx, r, "take-back", gitea.Branch, "Take 1.1.0 back")).or(t)
		must(t, f.reviewer.Merge(ctx, r, back.Number, style))
		if got := get(r.File(ctx, gitea.Branch, "production/image.txt")).or(t); got != "1.0.0\n" {
			t.Errorf("after the revert of a %s, production has %q", style, got)
		}
	}
}

func deleted(t *testing.T, f *forge) {
	ctx, r := t.Context(), f.repo(t, "deleted")
	pull := f.propose(t, r, "promote", "1.1.0")
	must(t, f.reviewer.Close(ctx, r, pull.Number))
	must(t, f.reviewer.Reopen(ctx, r, pull.Number))
	if state := get(r.Pull(ctx, pull.Number)).or(t).State; state != "open" {
		t.Errorf("a reopened pull request is %s", state)
	}
	must(t, f.reviewer.DeleteBranch(ctx, r, "promote"))
	if head := get(r.Head(ctx, "promote")).or(t); head != "" {
		t.Errorf("a deleted branch is at %s", head)
	}
	get(harness.Eventually(ctx, "closing a pull request without a branch", harness.Patience, func(ctx context.Context) (bool, string) {
		state := get(r.Pull(ctx, pull.Number)).or(t).State
		return state == "closed", state
	})).or(t)
	again := f.propose(t, r, "promote", "1.2.0")
	if open := get(r.Pulls(ctx, "open")).or(t); len(open) != 1 || open[0].Number != again.Number {
		t.Errorf("open are %+v, want number %d", open, again.Number)
	}
}

func forked(t *testing.T, f *forge) {
	ctx, r := t.Context(), f.repo(t, "forked")
	ours := f.propose(t, r, "promote", "1.1.0")
	fork := get(f.reviewer.Fork(ctx, r)).or(t)
	get(f.reviewer.Commit(ctx, fork, gitea.Commit{Branch: "promote", Message: "Promote 6.6.6",
		Files: map[string]string{"production/image.txt": "6.6.6\n"}})).or(t)
	theirs := get(f.reviewer.Open(ctx, r, "reviewer:promote", gitea.Branch, "Promote 6.6.6")).or(t)
	if theirs.Number == ours.Number || theirs.Head.Branch != ours.Head.Branch || theirs.Head.SHA == ours.Head.SHA {
		t.Errorf("ours is %+v, that of the fork %+v", ours, theirs)
	}
}

func git(t *testing.T, f *forge) {
	ctx, r := t.Context(), f.repo(t, "git")
	must(t, r.Protect(ctx, gitea.Protection{Branch: gitea.Branch}))
	dir := filepath.Join(t.TempDir(), "clone")
	must(t, f.robot.Clone(ctx, r, dir))
	must(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("Shop\n"), 0o600))
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "Document"}} {
		get(harness.Git(ctx, append([]string{"-C", dir}, args...)...)).or(t)
	}
	if _, err := harness.Git(ctx, "-C", dir, "push", "-q", "origin", gitea.Branch); err == nil {
		t.Error("a protected branch took a push")
	}
	get(harness.Git(ctx, "-C", dir, "push", "-q", "origin", "HEAD:refs/heads/over-http")).or(t)

	key, hosts := filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "known_hosts")
	must(t, os.WriteFile(key, get(f.robot.NewSSHKey(ctx)).or(t), 0o600))
	must(t, os.WriteFile(hosts, []byte(f.KnownHosts), 0o600))
	ssh := "core.sshCommand=ssh -F none -i " + key + " -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + hosts
	get(harness.Git(ctx, "-C", dir, "-c", ssh, "push", "-q", r.SSHURL, "HEAD:refs/heads/over-ssh")).or(t)
	http, over := get(r.Head(ctx, "over-http")).or(t), get(r.Head(ctx, "over-ssh")).or(t)
	if http == "" || http != over {
		t.Errorf("over HTTP came %q, over SSH %q", http, over)
	}
}

func scoped(t *testing.T, f *forge) {
	ctx, r := t.Context(), f.repo(t, "scoped")
	reader := *f.robot
	reader.Token = get(f.robot.NewToken(ctx, "read:repository")).or(t)
	_, err := reader.Commit(ctx, r, gitea.Commit{Branch: "promote", From: gitea.Branch, Message: "Promote",
		Files: map[string]string{"a": "b"}})
	var answer *gitea.StatusError
	if !errors.As(err, &answer) || answer.Code != http.StatusForbidden {
		t.Errorf("a commit with a token that may read is answered with %v", err)
	}
}

// event is what the tests look at in a webhook about a pull request.
type event struct {
	Action      string
	PullRequest struct{ Merged bool } `json:"pull_request"`
	Repository  struct {
		Name string `json:"full_name"`
	}
}

// receiver takes webhooks that are signed with its secret.
type receiver struct {
	*httptest.Server
	events chan event
}

func listen(t *testing.T, secret string) *receiver {
	r := &receiver{events: make(chan event, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if got := req.Header.Get("X-Hub-Signature-256"); got != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("the signature is %q", got)
		}
		var e event
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		r.events <- e
	}))
	t.Cleanup(r.Close)
	return r
}

// await waits for the event of an action, past others.
func (r *receiver) await(t *testing.T, action string) event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for {
		select {
		case e := <-r.events:
			if e.Action == action {
				return e
			}
		case <-ctx.Done():
			t.Fatalf("no webhook says %s", action)
		}
	}
}

// refused fails the test unless the server said that a rule is not met.
func refused(t *testing.T, err error, because string) {
	t.Helper()
	var answer *gitea.StatusError
	if !errors.As(err, &answer) || answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("a merge is answered with %v, want a refusal since %s", err, because)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// result is what a call returned.
type result[T any] struct {
	value T
	err   error
}

func get[T any](value T, err error) result[T] { return result[T]{value, err} }

// or is the value; the test ends if there is none.
func (r result[T]) or(t *testing.T) T {
	t.Helper()
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.value
}
