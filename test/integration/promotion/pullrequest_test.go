// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"strings"
	"testing"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/gitea"
)

// What people do with pull requests.

func TestSquashOnlyMergeWithoutTrailersStillLandsTheBundle(t *testing.T) {
	f := newProposals(t, "squash", "never")
	f.must(f.repo.Allow(t.Context(), gitea.StyleSquash))
	f.proposed("1.1.0")
	f.squash(f.pull().Number, "Ship it", "In words of my own.")
	f.look()
	p := f.stands("1.1.0", "1.1.0")
	if landing := statusOf(p, "production").Landings[0]; landing.Kind != sluicev1.LandingPromotion {
		t.Errorf("the landing is %+v", landing)
	}
	messages, err := f.repo.messages(t.Context())
	f.must(err)
	if !strings.HasPrefix(messages[0], "Ship it") || strings.Contains(messages[0], "Sluice-") {
		t.Errorf("the commit says %q", messages[0])
	}
}

func TestALandedPullRequestThatAPersonRevertsIsNotMergedAgain(t *testing.T) {
	f := newProposals(t, "revert", "self")
	f.push("1.1.0")
	f.stands("1.1.0", "1.1.0")
	_, err := f.at.alice.Revert(t.Context(), f.repo.Repo, f.headOf("main"), "undo")
	f.must(err)
	undo, err := f.at.alice.Open(t.Context(), f.repo.Repo, "undo", "main", "Undo that")
	f.must(err)
	f.must(f.at.alice.Merge(t.Context(), f.repo.Repo, undo.Number, gitea.StyleMerge))
	main := f.headOf("main")
	f.look()
	p := f.pipelineBecomes("production has 1.0.0 again, and holds", func(p *sluicev1.Pipeline) bool {
		return hasVerified(p, "production", "1.0.0") && waits(p, "production", sluicev1.GateContent, "took it out")
	})
	if landing := statusOf(p, "production").Landings[0]; landing.Kind != sluicev1.LandingManual {
		t.Errorf("the landing is %+v", landing)
	}
	f.look()
	f.look()
	if open := f.pulls("open"); len(open) > 0 || f.headOf("main") != main {
		t.Errorf("open are %+v, and main is at %s, was at %s: %s", open, f.headOf("main"), main, standing(f.pipeline()))
	}
	f.want("main", "production", "1.0.0")
}

func TestAPullRequestOfAForkWithOurBranchNameIsNeverAdopted(t *testing.T) {
	f := newProposals(t, "fork", "self")
	fork, err := f.at.mallory.Fork(t.Context(), f.repo.Repo)
	f.must(err)
	evil := gitea.Commit{
		Branch: f.branch(), From: "main", Message: "Mine",
		Files: map[string]string{"production/app.yaml": f.stageFile("production", "9.9.9")},
	}
	theirs, err := f.at.mallory.Commit(t.Context(), fork, evil)
	f.must(err)
	opened, err := f.at.mallory.Open(t.Context(), f.repo.Repo,
		f.at.mallory.Name+":"+f.branch(), "main", "Promote fork to production: app 1.1.0")
	f.must(err)
	f.push("1.1.0")
	p := f.stands("1.1.0", "1.1.0")
	if pr := statusOf(p, "production").PullRequest; pr != nil && pr.Number == opened.Number {
		t.Errorf("the pull request of the stage is %+v", pr)
	}
	found, err := f.repo.Pull(t.Context(), opened.Number)
	f.must(err)
	if comments := f.comments(opened.Number); found.State != "open" || found.Head.SHA != theirs || len(comments) > 0 {
		t.Errorf("theirs is %+v, with comments %q", found, comments)
	}
}

func TestABranchOfOurNameThatIsNotOursIsNotPushedTo(t *testing.T) {
	f := newProposals(t, "foreign", "self")
	theirs, err := f.at.alice.Commit(t.Context(), f.repo.Repo,
		gitea.Commit{Branch: f.branch(), From: "main", Message: "Mine", Files: map[string]string{"mine": "x\n"}})
	f.must(err)
	f.push("1.1.0")
	f.pipelineBecomes("production says what is in its way", func(p *sluicev1.Pipeline) bool {
		return hasVerified(p, "staging", "1.1.0") &&
			strings.Contains(standing(p), "no pull request of ours: delete it, or name others in spec.stages[production]")
	})
	if head := f.headOf(f.branch()); head != theirs || len(f.pulls("all")) > 0 {
		t.Errorf("the branch is at %s, was at %s, and there are %+v", head, theirs, f.pulls("all"))
	}
	f.must(f.at.alice.DeleteBranch(t.Context(), f.repo.Repo, f.branch()))
	f.look()
	// Gitea closes the pull requests of a deleted branch later, in the name of who deleted it, and sometimes one that was opened since.
	const closed = "alice closed pull request #1; reopen it"
	p := f.pipelineBecomes("ours is merged, or closed by Gitea", func(p *sluicev1.Pipeline) bool {
		return hasVerified(p, "production", "1.1.0") || strings.Contains(standing(p), closed)
	})
	if strings.Contains(standing(p), closed) {
		f.must(f.at.alice.Reopen(t.Context(), f.repo.Repo, 1))
		f.look()
	}
	f.stands("1.1.0", "1.1.0")
}

func TestANewerBundleChangesThePullRequestUntilItIsApproved(t *testing.T) {
	f := newProposals(t, "newer", "never")
	f.proposed("1.1.0")
	number := f.pull().Number
	f.proposed("1.2.0")
	if pr := f.pull(); pr.Number != number || f.has(f.branch(), "production") != "1.2.0" {
		t.Errorf("the pull request is %+v", pr)
	}
	f.must(f.at.alice.Approve(t.Context(), f.repo.Repo, number))
	f.look()
	head := f.headOf(f.branch())
	f.push("1.3.0")
	f.pipelineBecomes("1.3.0 is verified in staging", func(p *sluicev1.Pipeline) bool { return hasVerified(p, "staging", "1.3.0") })
	p := f.look()
	if pr := statusOf(p, "production").PullRequest; pr == nil || pr.Frozen != "it is approved" {
		t.Errorf("the pull request is %+v", pr)
	}
	if pr := f.pull(); f.headOf(f.branch()) != head || !strings.HasSuffix(pr.Title, "app 1.2.0") {
		t.Errorf("the pull request is %+v", pr)
	}
	f.must(f.at.alice.Merge(t.Context(), f.repo.Repo, number, gitea.StyleMerge))
	f.look()
	f.pipelineBecomes("what was approved has landed, and the next is proposed", func(p *sluicev1.Pipeline) bool {
		return hasVerified(p, "production", "1.2.0") && f.proposes("1.3.0")
	})
}

func TestAPullRequestThatAPersonClosesIsAVetoOfItsBundleUntilItIsReopened(t *testing.T) {
	f := newProposals(t, "veto", "never")
	f.proposed("1.1.0")
	first := f.pull().Number
	f.must(f.at.alice.Close(t.Context(), f.repo.Repo, first))
	f.look()
	p := f.look()
	if pr := f.pull(); pr.State != "closed" || !strings.Contains(standing(p), "alice closed pull request #1; reopen it") {
		t.Errorf("the pull request is %+v: %s", pr, standing(p))
	}
	f.proposed("1.2.0")
	var second int64
	for _, pr := range f.pulls("open") {
		second = pr.Number
	}
	f.must(f.at.alice.Close(t.Context(), f.repo.Repo, second))
	f.look()
	if open := f.pulls("open"); len(open) > 0 {
		t.Errorf("open are %+v", open)
	}
	f.must(f.at.alice.Reopen(t.Context(), f.repo.Repo, second))
	p = f.look()
	if pr := statusOf(p, "production").PullRequest; pr == nil || pr.Number != second || pr.State != "open" || pr.Bundle == "" {
		t.Errorf("the pull request is %+v: %s", pr, standing(p))
	}
	f.must(f.at.alice.Merge(t.Context(), f.repo.Repo, second, gitea.StyleMerge))
	f.look()
	f.stands("1.2.0", "1.2.0")
}

func TestABranchThatWasDeletedAfterTheMergeIsMadeAgain(t *testing.T) {
	f := newProposals(t, "again", "self")
	for _, version := range []string{"1.1.0", "1.2.0"} {
		f.push(version)
		f.stands(version, version)
		f.must(f.at.alice.DeleteBranch(t.Context(), f.repo.Repo, f.branch()))
		f.look()
		f.stands(version, version)
	}
	if all := f.pulls("all"); len(all) != 2 || !all[0].Merged || !all[1].Merged {
		t.Errorf("the pull requests are %+v", all)
	}
}

func TestAPullRequestWhoseBundleTheBaseHasIsClosedBeforeAnyPush(t *testing.T) {
	f := newProposals(t, "equal", "never")
	f.proposed("1.1.0")
	head := f.headOf(f.branch())
	f.must(f.git.commit(t.Context(), "Ship it myself", map[string]string{"production/app.yaml": f.stageFile("production", "1.1.0")}))
	f.look()
	f.stands("1.1.0", "1.1.0")
	pr := f.pull()
	if pr.State != "closed" || pr.Merged || f.headOf(f.branch()) != head {
		t.Errorf("the pull request is %+v, and its branch is at %s, was at %s", pr, f.headOf(f.branch()), head)
	}
	if comments := f.comments(pr.Number); len(comments) != 1 || !strings.Contains(comments[0], "production has app 1.1.0 already") {
		t.Errorf("the comments are %q", comments)
	}
}

func TestAPersonsCommitOnOurBranchIsLeftAloneAndLandsByContent(t *testing.T) {
	f := newProposals(t, "theirs", "never")
	f.proposed("1.1.0")
	number := f.pull().Number
	_, err := f.at.alice.Commit(t.Context(), f.repo.Repo,
		gitea.Commit{Branch: f.branch(), Message: "Mine", Files: map[string]string{"mine": "x\n"}})
	f.must(err)
	theirs := f.headOf(f.branch())
	f.stage("production", "write: {pullRequest: {autoMerge: self}, path: ./production}") // it could be merged
	f.look()
	f.push("1.2.0")
	f.pipelineBecomes("1.2.0 is verified in staging", func(p *sluicev1.Pipeline) bool { return hasVerified(p, "staging", "1.2.0") })
	f.look()
	f.look()
	if head, comments := f.headOf(f.branch()), f.comments(number); head != theirs || len(comments) != 1 ||
		f.has("main", "production") != "1.0.0" {
		t.Errorf("the branch is at %s, was at %s, and the comments are %q: %s", head, theirs, comments, standing(f.pipeline()))
	}
	f.stage("production", "write: {pullRequest: {autoMerge: never}, path: ./production}")
	f.must(f.at.alice.Merge(t.Context(), f.repo.Repo, number, gitea.StyleMerge))
	f.look()
	f.pipelineBecomes("what she merged has landed", func(p *sluicev1.Pipeline) bool { return hasVerified(p, "production", "1.1.0") })
}
