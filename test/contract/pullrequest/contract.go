// SPDX-License-Identifier: Apache-2.0

package pullrequest

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// Run runs the whole contract, each test in a repository of its own.
func Run(t *testing.T, newRepository func(*testing.T) Repository) {
	for name, test := range map[string]func(suite){
		"opened, found, updated":                        openedFoundUpdated,
		"gated, approved, guarded, merged, never twice": gatedAndMerged,
		"merged by each method":                         mergedByEachMethod,
		"closed and reopened by us":                     closedAndReopened,
		"closed by a person":                            closedByAPerson,
		"a fork's branch of our name is not ours":       forksAreNotOurs,
		"an older one of the branch is passed over":     theNewestIsFound,
		"a deleted branch":                              aDeletedBranch,
		"a text that is too long":                       textsAreShortened,
		"a draft":                                       drafts,
		"merged by the forge itself":                    autoMerge,
		"what the branch demands":                       rules,
		"what a forge cannot is refused":                refusals,
		"decorated":                                     decorated,
	} {
		t.Run(name, func(t *testing.T) {
			repository := newRepository(t)
			can, err := forge.CapabilitiesOf(repository.Provider())
			if err != nil {
				t.Fatal(err)
			}
			test(suite{t, repository, t.Context(), can, Branch})
		})
	}
}

func openedFoundUpdated(s suite) {
	_, err := s.Forge().Find(s.ctx, Base, Branch)
	s.wantError(err, forge.ErrNotFound)
	_, err = s.Forge().Get(s.ctx, 4711)
	s.wantError(err, forge.ErrNotFound)

	pr := s.open(nil)
	me, err := s.Forge().CurrentUser(s.ctx)
	if err != nil || me.Login == "" {
		s.Fatalf("identity: %+v, %v", me, err)
	}
	type identity struct {
		state                                           forge.PullRequestState
		head, base, branch, author, title, body, landed string
	}
	got := identity{pr.State, pr.HeadSHA, pr.Base, pr.Branch, pr.Author, pr.Title, pr.Body, pr.Landed}
	if got != (identity{forge.Open, s.Head(Branch), Base, Branch, me.Login, "Promote shop to production", "api 1.4.2", ""}) {
		s.Errorf("opened as %+v by %s", pr, me.Login)
	}
	if pr.URL == "" || pr.HeadRepo == "" {
		s.Errorf("opened without %+v", pr)
	}
	_, err = s.Forge().Open(s.ctx, forge.NewPullRequest{Base: Base, Branch: Branch, Text: forge.Text{Title: "again"}})
	s.wantError(err, forge.ErrExists)
	if found := s.find(); found.Number != pr.Number || found.HeadSHA != pr.HeadSHA {
		s.Errorf("found %+v", found)
	}
	s.updated(pr)
}

func (s suite) updated(pr *forge.PullRequest) {
	want := forge.Text{Title: "Promote shop: api 1.4.3", Body: "api 1.4.3\n\nand more"}
	if _, err := s.Forge().Update(s.ctx, pr.Number, want); err != nil {
		s.Fatal(err)
	}
	if got := s.get(pr.Number); got.Title != want.Title || got.Body != want.Body {
		s.Errorf("updated to %q, %q", got.Title, got.Body)
	}
	if err := s.Forge().Comment(s.ctx, pr.Number, "hands off: somebody else pushed"); err != nil {
		s.Error(err)
	}
	recent, err := s.Forge().Recent(s.ctx)
	if err != nil || len(recent) != 1 || recent[0].Number != pr.Number || recent[0].Branch != Branch ||
		len(recent[0].HeadSHA) < 12 || !strings.HasPrefix(pr.HeadSHA, recent[0].HeadSHA) {
		s.Errorf("recent: %+v, %v", recent, err)
	}
}

func gatedAndMerged(s suite) {
	const check = "sluice/apps.shop/production"
	s.Require(check)
	pr := s.open(nil)
	merge := forge.Merge{HeadSHA: pr.HeadSHA, Method: forge.MergeCommit, Title: "Promote shop", Body: "Sluice-Stage: production"}
	if s.can.Mergeability {
		s.until(pr.Number, "known to be blocked", func(pr *forge.PullRequest) bool { return pr.Mergeable == forge.No })
	}
	_, err := s.Forge().Merge(s.ctx, pr.Number, merge)
	var not *forge.NotMergeable
	if !errors.As(err, &not) {
		s.Fatalf("merging what has neither check nor approval: %v", err)
	}
	if forge.Terminal(err) {
		s.Errorf("a gate is terminal: %v", err)
	}
	s.check(pr.HeadSHA, check)
	s.ApproveAsPerson(pr.Number)
	pr = s.mergeable(pr.Number)
	if pr.Approvals != 1 {
		s.Errorf("%d approvals", pr.Approvals)
	}

	moved := s.Push(Branch)
	s.until(pr.Number, "moved", func(pr *forge.PullRequest) bool { return pr.HeadSHA == moved })
	if err := s.Forge().SetStatus(s.ctx, moved, forge.Status{Context: check, State: forge.CheckSuccess}); err != nil {
		s.Fatal(err)
	}
	s.ApproveAsPerson(pr.Number)
	s.mergeable(pr.Number)
	_, err = s.Forge().Merge(s.ctx, pr.Number, merge)
	s.wantError(err, forge.ErrHeadMoved)
	if s.get(pr.Number).State != forge.Open {
		s.Fatal("a head that moved was merged")
	}
	merge.HeadSHA = moved
	s.mergedOnce(pr.Number, merge)
}

// check sets a status to pending and then to success, and reads it.
func (s suite) check(sha, name string) {
	for _, state := range []forge.CheckState{forge.CheckPending, forge.CheckSuccess} {
		status := forge.Status{Context: name, State: state, Description: "soaking", URL: "https://sluice.example/shop"}
		if err := s.Forge().SetStatus(s.ctx, sha, status); err != nil {
			s.Fatal(err)
		}
		checks, err := s.Forge().Checks(s.ctx, sha)
		if err != nil || checks.State != state || len(checks.Statuses) != 1 || checks.Statuses[0] != status {
			s.Fatalf("checks after %s: %+v, %v", state, checks, err)
		}
	}
}

// mergedOnce merges, twice.
func (s suite) mergedOnce(number int64, merge forge.Merge) {
	merged := s.merge(number, merge)
	if merged.Landed == "" || merged.Landed != s.Head(Base) || len(merged.Landed) != 40 {
		s.Errorf("landed as %q, and %s is at %s", merged.Landed, Base, s.Head(Base))
	}
	landed := s.Head(Base)
	if again, err := s.Forge().Merge(s.ctx, number, merge); err != nil || again.State != forge.Merged || s.Head(Base) != landed {
		s.Errorf("merging twice: %+v, %v", again, err)
	}
	if found := s.find(); found.State != forge.Merged || found.Landed != landed {
		s.Errorf("found after the merge: %+v", found)
	}
}

func mergedByEachMethod(s suite) {
	for _, method := range s.can.Methods {
		// One branch for all would have to be deleted in between, and Gitea closes what was
		// opened on a new branch of that name before it gets to the deletion.
		s.branch = Branch + "-" + string(method)
		s.Allow(method)
		pr := s.open(nil)
		merged := s.merge(pr.Number, forge.Merge{HeadSHA: pr.HeadSHA, Method: method, Title: "Promote shop"})
		if merged.State != forge.Merged || merged.Landed != s.Head(Base) {
			s.Errorf("%s: landed as %q, and %s is at %s", method, merged.Landed, Base, s.Head(Base))
		}
		if ff := merged.Landed == pr.HeadSHA; ff != (method == forge.FastForward) && method != forge.Rebase {
			s.Errorf("%s landed as %s, of head %s", method, merged.Landed, pr.HeadSHA)
		}
	}
}

func closedAndReopened(s suite) {
	pr := s.open(nil)
	me, _ := s.Forge().CurrentUser(s.ctx)
	for range 2 { // closing what is closed is done
		if err := s.Forge().Close(s.ctx, pr.Number); err != nil {
			s.Fatal(err)
		}
	}
	closed := s.find()
	if closed.State != forge.Closed || closed.ClosedBy != "" && closed.ClosedBy != me.Login || closed.Landed != "" {
		s.Errorf("closed as %+v", closed)
	}
	var not *forge.NotMergeable
	if _, err := s.Forge().Merge(s.ctx, pr.Number,
		forge.Merge{HeadSHA: pr.HeadSHA, Method: forge.MergeCommit}); !errors.As(err, &not) || not.Transient {
		s.Errorf("merging what is closed: %v", err)
	}
	if !s.can.Reopen {
		return
	}
	if err := s.Forge().Reopen(s.ctx, pr.Number); err != nil {
		s.Fatal(err)
	}
	if found := s.find(); found.State != forge.Open || found.ClosedBy != "" {
		s.Errorf("reopened as %+v", found)
	}
}

func closedByAPerson(s suite) {
	pr := s.open(nil)
	s.CloseAsPerson(pr.Number)
	if closed := s.find(); closed.State != forge.Closed || closed.ClosedBy != "" && closed.ClosedBy != s.Person() {
		s.Errorf("closed by %q, and it was %s", closed.ClosedBy, s.Person())
	}
}

func forksAreNotOurs(s suite) {
	s.OpenFromFork(Branch)
	_, err := s.Forge().Find(s.ctx, Base, Branch)
	s.wantError(err, forge.ErrNotFound)
	pr := s.open(nil)
	if found := s.find(); found.Number != pr.Number || found.HeadSHA != s.Head(Branch) {
		s.Errorf("found %+v instead of %d", found, pr.Number)
	}
}

func theNewestIsFound(s suite) {
	first := s.open(nil)
	if err := s.Forge().Close(s.ctx, first.Number); err != nil {
		s.Fatal(err)
	}
	second := s.open(nil)
	if found := s.find(); second.Number == first.Number || found.Number != second.Number || found.State != forge.Open {
		s.Errorf("found %+v", found)
	}
	if err := s.Forge().Close(s.ctx, second.Number); err != nil {
		s.Fatal(err)
	}
	if found := s.find(); found.Number != second.Number {
		s.Errorf("of two that are closed, found %d, not %d", found.Number, second.Number)
	}
}

func aDeletedBranch(s suite) {
	pr := s.open(nil)
	if err := s.Forge().Close(s.ctx, pr.Number); err != nil {
		s.Fatal(err)
	}
	s.DeleteBranch(Branch)
	if found := s.find(); found.Number != pr.Number || found.State != forge.Closed {
		s.Errorf("found %+v", found)
	}
	err := s.Forge().Reopen(s.ctx, pr.Number)
	var not *forge.NotReopened
	if s.can.Reopen && !errors.As(err, &not) {
		s.Errorf("reopening without the branch: %v", err)
	}
	if again := s.open(nil); again.Number == pr.Number {
		s.Errorf("the next one is %+v", again)
	}
}

func textsAreShortened(s suite) {
	long := strings.Repeat("é", 500_000)
	pr := s.open(func(p *forge.NewPullRequest) { p.Title, p.Body = "Promote "+long[:2000], long })
	if len(pr.Title) > s.can.TitleBytes || len(pr.Body) > s.can.BodyBytes || !strings.HasPrefix(pr.Body, "éé") {
		s.Errorf("%d bytes of title, %d of body", len(pr.Title), len(pr.Body))
	}
}

func drafts(s suite) {
	if !s.can.Draft {
		return
	}
	// As long as the forge takes, with what its titles mark drafts with in front.
	long := "Promote " + strings.Repeat("x", s.can.TitleBytes)
	first := s.open(func(p *forge.NewPullRequest) { p.Draft, p.Title = true, "wip: draft: "+long })
	if !first.Draft || !strings.Contains(first.Title, "Promote xx") {
		s.Errorf("opened as %+v", first)
	}
	if err := s.Forge().Close(s.ctx, first.Number); err != nil {
		s.Fatal(err)
	}
	pr := s.open(func(p *forge.NewPullRequest) { p.Draft = true })
	if !pr.Draft || pr.Mergeable != forge.No || pr.Title != "Promote shop to production" {
		s.Errorf("opened as %+v", pr)
	}
	ready, err := s.Forge().Update(s.ctx, pr.Number, forge.Text{Title: pr.Title, Body: pr.Body})
	if err != nil || ready.Draft || ready.Title != pr.Title {
		s.Fatalf("ready as %+v, %v", ready, err)
	}
	again, err := s.Forge().Update(s.ctx, pr.Number, forge.Text{Title: pr.Title, Body: pr.Body, Draft: true})
	if err != nil || !again.Draft || again.Title != pr.Title {
		s.Fatalf("draft again as %+v, %v", again, err)
	}
	var not *forge.NotMergeable
	if _, err := s.Forge().Merge(s.ctx, pr.Number, forge.Merge{HeadSHA: pr.HeadSHA, Method: forge.MergeCommit}); !errors.As(err, &not) {
		s.Errorf("merging a draft: %v", err)
	}
}

func autoMerge(s suite) {
	if !s.can.AutoMerge {
		return
	}
	const check = "ci"
	pr := s.open(nil)
	merge := forge.Merge{HeadSHA: pr.HeadSHA, Method: forge.MergeCommit}
	s.mergeable(pr.Number)
	s.wantError(s.Forge().EnableAutoMerge(s.ctx, pr.Number, merge), forge.ErrMergeableNow)

	s.Require(check)
	s.ApproveAsPerson(pr.Number)
	if err := s.Forge().SetStatus(s.ctx, pr.HeadSHA, forge.Status{Context: check, State: forge.CheckPending}); err != nil {
		s.Fatal(err)
	}
	s.until(pr.Number, "blocked", func(pr *forge.PullRequest) bool { return pr.Mergeable == forge.No })
	for range 2 {
		s.retryTransient(func() error { return s.Forge().EnableAutoMerge(s.ctx, pr.Number, merge) })
	}
	if s.get(pr.Number).Auto == forge.No {
		s.Error("auto-merge is not on")
	}
	for range 2 {
		if err := s.Forge().DisableAutoMerge(s.ctx, pr.Number); err != nil {
			s.Fatal(err)
		}
	}
	if s.get(pr.Number).Auto == forge.Yes {
		s.Error("auto-merge is still on")
	}
	stale := forge.Merge{HeadSHA: s.Head(Base), Method: forge.MergeCommit}
	s.wantError(s.Forge().EnableAutoMerge(s.ctx, pr.Number, stale), forge.ErrHeadMoved)
	s.retryTransient(func() error { return s.Forge().EnableAutoMerge(s.ctx, pr.Number, merge) })
	if err := s.Forge().SetStatus(s.ctx, pr.HeadSHA, forge.Status{Context: check, State: forge.CheckSuccess}); err != nil {
		s.Fatal(err)
	}
	s.until(pr.Number, "merged by the forge", func(pr *forge.PullRequest) bool { return pr.State == forge.Merged })
}

func rules(s suite) {
	free, err := s.Forge().Rules(s.ctx, Base)
	if err != nil || free.Approvals != 0 || len(free.RequiredChecks) != 0 || len(free.Methods) == 0 {
		s.Errorf("rules of a branch without: %+v, %v", free, err)
	}
	s.Require("ci")
	strict, err := s.Forge().Rules(s.ctx, Base)
	if err != nil || !strict.Protected || strict.Approvals != 1 || len(strict.RequiredChecks) == 0 && !strict.AllChecks {
		s.Errorf("rules of a branch with some: %+v, %v", strict, err)
	}
}

func refusals(s suite) {
	var unsupported *forge.Unsupported
	refused := func(what string, able bool, err error) {
		s.Helper()
		if !able && (!errors.As(err, &unsupported) || !forge.Terminal(err)) {
			s.Errorf("%s: %v", what, err)
		}
	}
	open := func(p forge.NewPullRequest) error {
		p.Base, p.Branch, p.Title = Base, Branch, "refused"
		_, err := s.Forge().Open(s.ctx, p)
		return err
	}
	refused("reopen", s.can.Reopen, s.Forge().Reopen(s.ctx, 1))
	refused("queue", s.can.Queue, s.Forge().Enqueue(s.ctx, 1, "0000"))
	refused("auto-merge", s.can.AutoMerge, s.Forge().EnableAutoMerge(s.ctx, 1, forge.Merge{HeadSHA: "0000", Method: forge.MergeCommit}))
	for what, able := range map[string]struct {
		able bool
		p    forge.NewPullRequest
	}{
		"draft":     {s.can.Draft, forge.NewPullRequest{Text: forge.Text{Draft: true}}},
		"labels":    {s.can.Labels, forge.NewPullRequest{Labels: []string{"promotion"}}},
		"reviewers": {s.can.Reviewers, forge.NewPullRequest{Reviewers: []string{"someone"}}},
		"assignees": {s.can.Assignees, forge.NewPullRequest{Assignees: []string{"someone"}}},
	} {
		refused(what, able.able, open(able.p))
	}
	_, err := s.Forge().Merge(s.ctx, 1, forge.Merge{HeadSHA: "0000", Method: "octopus"})
	refused("an unknown method", false, err)
	if _, err := s.Forge().Merge(s.ctx, 1, forge.Merge{Method: forge.MergeCommit}); err == nil {
		s.Error("a merge without the commit that was judged is tried")
	}
}

func decorated(s suite) {
	pr := s.open(func(p *forge.NewPullRequest) {
		if s.can.Labels {
			p.Labels = []string{"promotion", "production"}
		}
		if s.can.Reviewers {
			p.Reviewers = []string{s.Person()}
		}
		if s.can.Assignees {
			p.Assignees = []string{s.Person()}
		}
	})
	if s.can.Labels && len(pr.Labels) != 2 {
		s.Errorf("labels %v", pr.Labels)
	}
	s.ApproveAsPerson(pr.Number)
	if got, err := s.Forge().Update(s.ctx, pr.Number, forge.Text{Title: "changed", Body: "changed"}); err != nil || got.Approvals != 1 {
		s.Errorf("an update loses reviewers: %+v, %v", got, err)
	}
}
