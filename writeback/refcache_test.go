// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/internal/git"
)

// hashOf is a commit id that is easy to tell from others.
func hashOf(n int) plumbing.Hash { return plumbing.NewHash(fmt.Sprintf("%040x", n)) }

// remoteRefs is a remote whose main is at a commit, and that counts who asks.
type remoteRefs struct {
	main  plumbing.Hash
	err   error
	asked int
}

func (r *remoteRefs) Refs(context.Context) (map[string]plumbing.Hash, error) {
	r.asked++
	return map[string]plumbing.Hash{branchRef("main"): r.main, branchRef("other"): hashOf(9)}, r.err
}

func TestListedRefsCountForRunsThatOverlap(t *testing.T) {
	main, other := branchRef("main"), branchRef("other")
	tests := map[string]struct {
		between   func(first, second *refSession) // what happens between the lists of two overlapping runs
		needed    []string
		wantAsked int
		wantMain  int
	}{
		"what was listed before the second run began is stale": {needed: []string{main}, wantAsked: 2, wantMain: 2},
		"what the first run pushed since is fresh": {
			between: func(first, _ *refSession) { first.recordPush([]git.RefUpdate{{Ref: main, New: hashOf(3)}}) },
			needed:  []string{main}, wantAsked: 1, wantMain: 3},
		"a push to one ref says nothing of another": {
			between: func(first, _ *refSession) { first.recordPush([]git.RefUpdate{{Ref: main, New: hashOf(3)}}) },
			needed:  []string{main, other}, wantAsked: 2, wantMain: 2},
		"a run that needs all refs asks": {
			between:   func(first, _ *refSession) { first.recordPush([]git.RefUpdate{{Ref: main, New: hashOf(3)}}) },
			wantAsked: 2, wantMain: 2},
		"what was invalidated is asked for again": {
			between: func(first, second *refSession) {
				first.recordPush([]git.RefUpdate{{Ref: main, New: hashOf(3)}})
				second.invalidate()
			},
			needed: []string{main}, wantAsked: 2, wantMain: 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			clk := testclock.NewFakeClock(time.Unix(0, 0))
			cache, remote := newRefCache(clk), &remoteRefs{main: hashOf(1)}
			first := cache.begin("remote", "apps")
			if _, err := first.list(t.Context(), remote, main); err != nil {
				t.Fatal(err)
			}
			clk.Step(time.Second)
			second := cache.begin("remote", "apps")
			clk.Step(time.Second)
			if tc.between != nil {
				tc.between(first, second)
			}
			remote.main = hashOf(2)
			refs, err := second.list(t.Context(), remote, tc.needed...)
			if err != nil {
				t.Fatal(err)
			}
			if remote.asked != tc.wantAsked || refs[main] != hashOf(tc.wantMain) {
				t.Errorf("asked %d times, main is at %s; want %d and %s", remote.asked, refs[main], tc.wantAsked, hashOf(tc.wantMain))
			}
			second.list(t.Context(), remote, main) //nolint:errcheck // what it asked itself is fresh
			if remote.asked != tc.wantAsked {
				t.Error("a run asked twice")
			}
		})
	}
}

func TestListedRefsEndWithTheLastRun(t *testing.T) {
	cache, remote := newRefCache(testclock.NewFakeClock(time.Unix(0, 0))), &remoteRefs{main: hashOf(1)}
	first, second := cache.begin("remote", "apps"), cache.begin("remote", "apps")
	refs, err := first.list(t.Context(), remote)
	if err != nil {
		t.Fatal(err)
	}
	refs[branchRef("main")] = hashOf(7) // the caller's copy
	first.end()
	if again, err := second.list(t.Context(), remote); err != nil || remote.asked != 1 || again[branchRef("main")] != hashOf(1) {
		t.Errorf("asked %d times, refs %v, error %v", remote.asked, again, err)
	}
	second.end()
	if len(cache.remotes) != 0 {
		t.Errorf("%d remotes are kept though nobody runs", len(cache.remotes))
	}
}

func TestAFailedListIsNotRemembered(t *testing.T) {
	cache, remote := newRefCache(testclock.NewFakeClock(time.Unix(0, 0))), &remoteRefs{err: errors.New("down")}
	s := cache.begin("remote", "apps")
	if _, err := s.list(t.Context(), remote); err == nil {
		t.Fatal("no error")
	}
	remote.err = nil
	if refs, err := s.list(t.Context(), remote); err != nil || len(refs) != 2 || remote.asked != 2 {
		t.Errorf("asked %d times, refs %v, error %v", remote.asked, refs, err)
	}
}

func TestLastHeadsOutliveRunsAndAreBounded(t *testing.T) {
	cache := newRefCache(testclock.NewFakeClock(time.Unix(0, 0)))
	s := cache.begin("remote", "apps")
	s.setLastHead("main", hashOf(1))
	s.end()
	if got := cache.begin("remote", "apps").lastHead("main"); got != hashOf(1) {
		t.Errorf("main was left at %s", got)
	}
	for _, s := range []*refSession{cache.begin("other", "apps"), cache.begin("remote", "apps")} {
		if got := s.lastHead("updates"); !got.IsZero() {
			t.Errorf("the head of another branch is %s", got)
		}
	}
	s.setLastHead("main", plumbing.ZeroHash)
	if got := s.lastHead("main"); !got.IsZero() {
		t.Errorf("a forgotten head is %s", got)
	}
	for n := range 50_000 {
		s.setLastHead(fmt.Sprint("branch", n), hashOf(n+1))
	}
	if weight, heads := cache.heads.Usage(); weight > maxHeads || heads < 10_000 || heads == 50_000 {
		t.Errorf("%d heads weigh %d bytes", heads, weight)
	}
}

func TestARunLeavesALastHeadUnlessItFailedOrUsesMoreBranches(t *testing.T) {
	onMain := Request{Push: "main", Checkout: git.Reference{Branch: "main"}}
	another := Request{Push: "updates", Checkout: git.Reference{Branch: "main"}}
	mirrored := onMain
	mirrored.Refspec = Refspec{Source: "HEAD", Target: "refs/heads/copy"}
	tests := map[string]struct {
		req  Request
		err  error
		want plumbing.Hash
	}{
		"a run on one branch":         {req: onMain, want: hashOf(1)},
		"a failed run":                {req: onMain, err: errors.New("down")},
		"a run with a push branch":    {req: another},
		"a run that pushes a refspec": {req: mirrored},
	}
	for name, tc := range tests {
		if got := headAfter(tc.req, Result{Source: hashOf(1)}, tc.err); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestTheRefsThatARunNeeds(t *testing.T) {
	main, updates, copied := branchRef("main"), branchRef("updates"), "refs/heads/copy"
	tests := map[string]struct {
		req  Request
		want []string
	}{
		"a branch": {Request{Checkout: git.Reference{Branch: "main"}, Push: "updates"}, []string{main, updates}},
		"a refspec": {Request{Checkout: git.Reference{Branch: "main"}, Push: "updates", Refspec: Refspec{Target: copied}},
			[]string{main, updates, copied}},
		"a range of tags needs all": {Request{Checkout: git.Reference{SemVer: "1.x"}, Push: "updates"}, nil},
	}
	for name, tc := range tests {
		if diff := cmp.Diff(tc.want, tc.req.neededRefs()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// blockedRefs is a remote that says when it is asked, and what it has when it is told.
type blockedRefs struct {
	asked  chan context.Context
	answer chan map[string]plumbing.Hash
}

func (r blockedRefs) Refs(ctx context.Context) (map[string]plumbing.Hash, error) {
	r.asked <- ctx
	select {
	case refs := <-r.answer:
		return refs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A run waited for the question of another beyond its own time, and what it pushed while a
// question was under way waited for the answer.
func TestRunsThatAskTogether(t *testing.T) {
	main := branchRef("main")
	for name, tc := range map[string]struct {
		namespace string
		meanwhile func(clk *testclock.FakeClock, first, second *refSession)
		wantAsked int
		want      int // where the second run finds main; 0 is anywhere
	}{
		"share a question": {namespace: "apps", wantAsked: 1, want: 1},
		"share none with another namespace, of whose memory the answer takes": {namespace: "other", wantAsked: 2},
		"know better than an answer what was pushed meanwhile": {
			namespace: "apps", wantAsked: 1, want: 7,
			meanwhile: func(clk *testclock.FakeClock, first, _ *refSession) {
				clk.Step(time.Second)
				first.recordPush([]git.RefUpdate{{Ref: main, New: hashOf(7)}})
			},
		},
		"do not believe an answer that a lost race has overtaken": {
			namespace: "apps", wantAsked: 2, want: 2,
			meanwhile: func(clk *testclock.FakeClock, _, second *refSession) {
				clk.Step(time.Second)
				second.invalidate()
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk := testclock.NewFakeClock(time.Unix(0, 0))
				cache := newRefCache(clk)
				remote := blockedRefs{make(chan context.Context, 10), make(chan map[string]plumbing.Hash, 2)}
				list := func(s *refSession) chan map[string]plumbing.Hash {
					listed := make(chan map[string]plumbing.Hash, 1)
					go func() {
						refs, err := s.list(t.Context(), remote, main)
						if err != nil {
							t.Error(err)
						}
						listed <- refs
					}()
					synctest.Wait()
					return listed
				}
				first, second := cache.begin("remote", "apps"), cache.begin("remote", tc.namespace)
				one := list(first)
				if tc.meanwhile != nil {
					tc.meanwhile(clk, first, second)
				}
				other := list(second)
				for n := range tc.wantAsked {
					remote.answer <- map[string]plumbing.Hash{main: hashOf(n + 1)}
					synctest.Wait()
				}
				<-one
				if refs := <-other; tc.want > 0 && refs[main] != hashOf(tc.want) || len(remote.asked) != tc.wantAsked {
					t.Errorf("asked %d times, main is at %s; want %d and %s", len(remote.asked), refs[main], tc.wantAsked, hashOf(tc.want))
				}
			})
		})
	}
}

func TestARunThatGivesUpLeavesItsQuestionToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := newRefCache(testclock.NewFakeClock(time.Unix(0, 0)))
		remote := blockedRefs{make(chan context.Context, 10), make(chan map[string]plumbing.Hash, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 2)
		for _, ctx := range []context.Context{ctx, t.Context()} {
			go func() {
				_, err := cache.begin("remote", "apps").list(ctx, remote)
				results <- err
			}()
			synctest.Wait()
		}
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		remote.answer <- map[string]plumbing.Hash{}
		if err := <-results; err != nil || len(remote.asked) != 1 {
			t.Errorf("the other got %v, and asked %d times", err, len(remote.asked))
		}
	})
}

// The answer to a slow question of one namespace replaced the later one that another namespace had got, so that a run took refs
// from before a push for fresh.
func TestALateAnswerToAnOldQuestionIsNotRemembered(t *testing.T) {
	main, start := branchRef("main"), time.Unix(0, 0)
	listed := &listedRefs{pushed: map[string]pushedRef{}}
	listed.pushed[main] = pushedRef{to: hashOf(2), pushedAt: start.Add(time.Second)}
	listed.record(map[string]plumbing.Hash{main: hashOf(2)}, start.Add(2*time.Second))
	listed.pushed[main] = pushedRef{to: hashOf(3), pushedAt: start.Add(3 * time.Second)}
	if got := listed.record(map[string]plumbing.Hash{main: hashOf(1)}, start); got[main] != hashOf(3) {
		t.Errorf("who asked finds main at %s", got[main])
	}
	if got := listed.refsSince(start.Add(2*time.Second), nil); got[main] != hashOf(2) {
		t.Errorf("others find main at %s", got[main])
	}
	if got := listed.refsSince(start.Add(3*time.Second), nil); got != nil {
		t.Errorf("what was asked before is fresh: %v", got)
	}
}

// A server that took connections and never answered was waited for as long as runs overlapped.
func TestARunAsksAnewWhereAnotherHasNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := newRefCache(testclock.NewFakeClock(time.Unix(0, 0)))
		remote := blockedRefs{make(chan context.Context, 10), make(chan map[string]plumbing.Hash)}
		for range 3 {
			s := cache.begin("remote", "apps")
			go func() { _, _ = s.list(t.Context(), remote) }()
			time.Sleep(askTimeout - time.Second)
			synctest.Wait()
		}
		if len(remote.asked) != 2 {
			t.Errorf("asked %d times within %s", len(remote.asked), 3*askTimeout)
		}
		time.Sleep(2 * askTimeout)
	})
}
