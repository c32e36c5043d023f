// SPDX-License-Identifier: Apache-2.0

// Package promotion runs pipelines with the program itself, as it is installed: all groups
// of controllers in one process, or the group promotion alone beside nobody.
//
// What goes wrong with promotions elsewhere is a list of scenarios, each of which has a test
// here, against a real API server, Git servers, registry and forge, or where it can be made
// to happen, with a clock that the test sets:
//
//	 1 squash-only merging drops our trailers        TestSquashOnlyMergeWithoutTrailersStillLandsTheBundle
//	 2 a person reverts what landed                  TestALandedPullRequestThatAPersonRevertsIsNotMergedAgain
//	 3 production lands after staging on one branch  TestStagingStaysReadyWhenProductionLandsAfterIt
//	 4 Ready, but on the old revision                TestReadyOnTheOldRevisionIsNotReady
//	 5 the forge answers 504                         TestAForgeThatIsAwayIsWaitedFor
//	   and does so for an hour                       controllers/pipeline.TestAForgeThatIsAwayForAnHourIsAskedAgain
//	 6 the status write after a merge is lost        TestAMergeWhoseStatusWriteWasLostIsNotMergedAgain
//	 7 a fork's pull request has our branch name     TestAPullRequestOfAForkWithOurBranchNameIsNeverAdopted
//	   and so has a branch that is not ours          TestABranchOfOurNameThatIsNotOursIsNotPushedTo
//	 8 a newer bundle comes, before and after the    TestANewerBundleChangesThePullRequestUntilItIsApproved
//	   pull request is approved
//	 9 a person closes the pull request              TestAPullRequestThatAPersonClosesIsAVetoOfItsBundleUntilItIsReopened
//	10 we close it, or an outage hides it            TestPullRequestsClosedByUsOrGoneForAWhileAreNoVeto
//	11 head branches are deleted after a merge       TestABranchThatWasDeletedAfterTheMergeIsMadeAgain
//	12 the base has the bundle already               TestAPullRequestWhoseBundleTheBaseHasIsClosedBeforeAnyPush
//	13 a person commits to our branch                TestAPersonsCommitOnOurBranchIsLeftAloneAndLandsByContent
//	14 a merge queue                                 controllers/pipeline.TestAMergeQueue
//	15 auto-merge is on when a window closes         TestAutoMergeIsTakenBackBeforeAWindowCloses
//	16 the head moves after its checks               TestAHeadThatMovedAfterItsChecksIsNotMerged
//	17 ten stages push to one branch                 TestTenStagesOnOneBranchLandOnceEach
//	   and the process is killed all the time        test/crash.TestEachVersionLandsOnceInEachStageWhateverIsKilled
//	18 bundles come faster than they are verified    TestProductionAdvancesAlthoughBundlesComeFasterThanTheyAreVerified
//	19 api is built and web is not                   TestNothingIsWrittenUntilAllArtifactsAreThereOrTheTimeIsOver
//	20 a soaked bundle is replaced in staging        TestASoakedBundleThatWasReplacedInStagingStaysEligible
//	21 a user without the verb                       TestAUserWithoutTheVerbIsDeniedWhateverTheClient
//	22 a window on the day of the spring change      promotion.TestWindows
//	23 a failed canary                               TestAFailedCanaryIsInQuarantineBeforeItsCommitAndStaysOut
//	   with users                                    test/e2e/promotion.TestWhatFailsInProductionAloneIsTakenBackThere
//	24 all objects are deleted and applied again     TestDeletedObjectsAreAppliedAgainWithTheSameStatusAndNoWrite
//	   and the state branch is deleted               TestWithoutItsStateBranchNothingIsPromotedByItself
//	25 polling many pull requests within a budget:   controllers/pipeline.TestAPullRequestAtRestAsksNoForge
//	   what did not change is not charged            promotion/forge.TestWhatDidNotChangeIsNotSentAgain
//	   and writes stay below what forges allow       promotion/forge.TestNoMoreIsWrittenThanForgesAllow
package promotion

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/harness"
)

func TestEachScenarioHasTheTestThatTheTableNames(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "scenarios_test.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	numbers := 0
	for line := range strings.Lines(file.Doc.Text()) {
		if regexp.MustCompile(`^\s*\d+ `).MatchString(line) {
			numbers++
		}
		name := regexp.MustCompile(`\S*\bTest[A-Z]\w*$`).FindString(strings.TrimSpace(line))
		if name == "" {
			continue
		}
		dir, test := "test/integration/promotion", name
		if i := strings.LastIndex(name, "."); i >= 0 {
			dir, test = name[:i], name[i+1:]
		}
		if !declares(t, filepath.Join(root, dir), test) {
			t.Errorf("there is no %s in %s", test, dir)
		}
	}
	if numbers != 25 {
		t.Errorf("the table has %d scenarios", numbers)
	}
}

// declares reports whether a folder has a test.
func declares(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(t *testing.T) {") {
			return true
		}
	}
	return false
}
