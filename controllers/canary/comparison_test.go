// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/trial"
)

// compared is a release that began at noon, and whose canary has half of the users.
func compared(t *testing.T) (*comparison, *fakeCounters, time.Time) {
	t.Helper()
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	plan := canary.Plan{Routed: true, Interval: time.Minute, Steps: []canary.Step{{Weight: 50}},
		Judge: &canary.JudgeConfig{Settings: judge.Default(), Kinds: []judge.Kind{judge.Errors}, Every: 10 * time.Second,
			OnInconclusive: flaggerv1.InconclusiveHold}}
	state := canary.State{Phase: flaggerv1.CanaryPhaseProgressing, Weight: 50, Applied: "sha256:2",
		History: canary.History{{Revision: "sha256:2", StartedAt: metav1.NewTime(noon),
			Steps: []flaggerv1.CanaryStep{{Weight: 50, At: metav1.NewTime(noon)}}}}}
	counters := &fakeCounters{since: noon.Add(-time.Hour)}
	counters.failing.Store(10)
	return newComparison(podinfo(), state, plan), counters, noon
}

// feed adds readings of every ten seconds, and counts those that a reconcile is to know of.
func (c *comparison) feed(t *testing.T, from *fakeCounters, since time.Time, times int) (wakes int) {
	t.Helper()
	read, err := from.prepare(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		reading, err := read(t.Context(), since.Add(time.Duration(i)*10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if c.add(reading, nil) {
			wakes++
		}
	}
	return wakes
}

func TestAJudgeThatFailedItsTestOfItselfSaysSoOnce(t *testing.T) {
	of, counters, noon := compared(t)
	counters.failing.Store(14) // which takes long to decide about
	of.selfTest = trial.SelfTest{Windows: 100, Trials: 10, FalseAlarms: 5}
	if wakes := of.feed(t, counters, noon, 4); wakes != 1 {
		t.Errorf("a reconcile began %d times", wakes)
	}
	said, status := of.result(of.state), of.status()
	if !said.ThresholdsOnly || !strings.Contains(said.Text, "5 of 10 comparisons of the primary with itself were false alarms") {
		t.Errorf("says %+v", said)
	}
	if !status.ThresholdsOnly || !status.SelfTest.Failed || status.SelfTest.FalseAlarms != 5 {
		t.Errorf("status %+v", status)
	}
	of.selfTest = trial.SelfTest{}
	if wakes := of.feed(t, counters, noon.Add(40*time.Second), 2); wakes != 1 || of.result(of.state).ThresholdsOnly {
		t.Errorf("a reconcile began %d times when it is to be trusted again", wakes)
	}
}

func TestWhatThePrimaryIsLikeIsSaidOnceItIsKnown(t *testing.T) {
	of, counters, noon := compared(t)
	of.state.Phase = flaggerv1.CanaryPhaseSucceeded // at rest
	if of.pause() != atRest {
		t.Errorf("looks every %s", of.pause())
	}
	if wakes := of.feed(t, counters, noon, 100); wakes != 1 {
		t.Errorf("a reconcile began %d times", wakes)
	}
	status := of.status()
	if !strings.Contains(status.Outlook, "at 100 requests a second and 1 % errors a release that is as good passes after about") {
		t.Errorf("says %q", status.Outlook)
	}
	if status.Window != nil || status.Evidence != "" || status.SelfTest.Windows != 99 {
		t.Errorf("status %+v", status)
	}
	c := podinfo()
	c.Status.Judge = status
	again := newComparison(c, of.state, of.plan)
	if again.baseline.Windows != of.baseline.Windows || again.selfTest.Windows != 99 || again.outlook != of.outlook {
		t.Errorf("after a restart: %+v, %+v", again.baseline, again.selfTest)
	}
}

// Who had set nothing up that counts the primary was told so by the first release, which was inconclusive.
func TestAPrimaryThatNothingCountsIsAProblemBeforeTheRelease(t *testing.T) {
	for name, mute := range map[string]func(*fakeCounters){
		"the canary alone is counted":              func(f *fakeCounters) { f.without = counter.Primary },
		"nothing is":                               func(f *fakeCounters) { f.nothing = true },
		"nothing is, and it is known who is asked": func(f *fakeCounters) { f.nothing, f.where = true, "let Prometheus scrape it" },
	} {
		t.Run(name, func(t *testing.T) {
			of, counters, noon := compared(t)
			of.state.Phase = flaggerv1.CanaryPhaseSucceeded // at rest
			mute(counters)
			want := uncounted
			if counters.where != "" {
				want += "; " + counters.where
			}
			if wakes := of.feed(t, counters, noon, 5); wakes != 1 || of.status().Problem != want {
				t.Errorf("a reconcile began %d times, problem %q", wakes, of.status().Problem)
			}
			counters.without, counters.nothing = "", false
			if wakes := of.feed(t, counters, noon.Add(time.Minute), 3); wakes != 1 || of.status().Problem != "" {
				t.Errorf("a reconcile began %d times when it is counted, problem %q", wakes, of.status().Problem)
			}
		})
	}
}

// A server that nobody reaches was no news until the first release began.
func TestAServerThatDoesNotAnswerIsAProblemBeforeTheRelease(t *testing.T) {
	of, counters, noon := compared(t)
	of.state.Phase = flaggerv1.CanaryPhaseInitialized
	refused := errors.New("connection refused")
	if told := []bool{of.broken(refused), of.broken(refused), of.broken(refused)}; !slices.Equal(told, []bool{false, true, false}) {
		t.Errorf("told %v", told)
	}
	if got := of.status().Problem; got != "connection refused" {
		t.Errorf("problem: %q", got)
	}
	if wakes := of.feed(t, counters, noon, 3); wakes != 1 || of.status().Problem != "" {
		t.Errorf("a reconcile began %d times, problem: %q", wakes, of.problem)
	}
	if of.broken(refused) {
		t.Error("one slow answer is news")
	}
}

func TestWindowsOfOtherSettingsAreNoEvidence(t *testing.T) {
	of, counters, noon := compared(t)
	of.feed(t, counters, noon, 5)
	plan := of.plan
	strict := *plan.Judge
	strict.Settings.Alpha = 0.001
	plan.Judge = &strict
	of.follow(podinfo(), of.state, plan)
	if !of.window.IsZero() || of.release.Test.Observed != 0 {
		t.Errorf("it has %s until %s", of.release.Test.Observed, of.window)
	}
}

// The second verdict was taken for the first.
func TestARevisionThatIsTriedAgainHasAVerdictOfItsOwn(t *testing.T) {
	of, counters, noon := compared(t)
	counters.failing.Store(200)
	of.feed(t, counters, noon, 5)
	again := of.state
	again.History = append(canary.History{{Revision: "sha256:2", StartedAt: metav1.NewTime(noon.Add(time.Hour)),
		Steps: []flaggerv1.CanaryStep{{Weight: 50, At: metav1.NewTime(noon.Add(time.Hour))}}}}, of.state.History...)
	of.follow(podinfo(), again, of.plan)
	of.feed(t, counters, noon.Add(time.Hour), 5)
	if len(of.history) != 2 || of.history[0].Outcome != flaggerv1.JudgeFail || !of.history[0].At.After(noon.Add(time.Hour)) {
		t.Errorf("history %+v", of.history)
	}
}

func TestAMetricThatTheSpecNamesHasToBeThere(t *testing.T) {
	for named, want := range map[bool]judge.Outcome{false: judge.Pass, true: judge.Undecided} {
		of, counters, noon := compared(t)
		plan := of.plan
		both := *plan.Judge
		both.Kinds, both.Named = []judge.Kind{judge.Errors, judge.Latency}, named
		plan.Judge = &both
		of.follow(podinfo(), of.state, plan)
		of.feed(t, counters, noon, 60)
		if of.latest.Outcome != want {
			t.Errorf("named %v: %+v", named, of.verdict)
		}
		restarted := podinfo()
		restarted.Status.Judge = of.status()
		if again := newComparison(restarted, of.state, plan); again.latest.Outcome != want {
			t.Errorf("named %v, after a restart: %+v", named, again.verdict)
		}
	}
}

func TestAStatusThatNoTestLeadsToIsForgotten(t *testing.T) {
	of, _, _ := compared(t)
	of.restoreSelfTest(`{"baseline":"{\"windows\":3}","test":{"Trials":1000000000000,"FalseAlarms":1000000000000}}`)
	if of.selfTest != (trial.SelfTest{}) || of.baseline.Windows != 0 || of.distrusted() {
		t.Errorf("%+v, %d windows", of.selfTest, of.baseline.Windows)
	}
}

func TestATimeThatIsUpIsInTheHistory(t *testing.T) {
	of, counters, noon := compared(t)
	counters.failing.Store(14)
	of.feed(t, counters, noon, 5)
	up := of.state
	up.History = append(canary.History{}, of.state.History...)
	up.History[0].InconclusiveAt = metav1.NewTime(noon.Add(time.Hour))
	of.recordInconclusive(of.state, up)
	of.recordInconclusive(up, up)
	if len(of.history) != 1 || of.history[0].Outcome != flaggerv1.JudgeUndecided || of.history[0].Message == "" {
		t.Errorf("history %+v", of.history)
	}
	for i := range 2 * flaggerv1.MaxJudgeVerdicts {
		of.subject.revision = strings.Repeat("x", i)
		of.enter(canary.JudgeResult{Outcome: judge.Pass}, noon)
	}
	if len(of.history) != flaggerv1.MaxJudgeVerdicts {
		t.Errorf("%d verdicts are kept", len(of.history))
	}
}

// A release that began made the judge look twice at the same time, and that was a problem until the next window.
func TestALookAtTheSameTimeIsNoProblem(t *testing.T) {
	of, counters, noon := compared(t)
	of.feed(t, counters, noon, 1)
	of.feed(t, counters, noon, 1)
	if of.problem != "" {
		t.Errorf("problem: %s", of.problem)
	}
}

// The queries of a template were edited in the middle of a release, and what one counter had more than the other was
// taken for errors of the canary.
func TestAPrimaryThatIsBeingPromotedIsNotComparedWithItself(t *testing.T) {
	of, counters, noon := compared(t)
	of.feed(t, counters, noon, 3)
	if of.selfTest.Windows != 2 {
		t.Fatalf("%d windows", of.selfTest.Windows)
	}
	promoting := of.state
	promoting.Phase, promoting.At = flaggerv1.CanaryPhasePromoting, noon.Add(25*time.Second)
	succeeded := promoting
	succeeded.Phase, succeeded.At = flaggerv1.CanaryPhaseSucceeded, noon.Add(45*time.Second)
	restarted := newComparison(podinfo(), promoting, of.plan)
	of.follow(of.canary, promoting, of.plan)
	of.feed(t, counters, noon.Add(30*time.Second), 2)
	of.follow(of.canary, succeeded, of.plan)
	of.feed(t, counters, noon.Add(50*time.Second), 2)
	restarted.feed(t, counters, noon.Add(30*time.Second), 3)
	if of.selfTest.Windows != 3 || of.baseline.Windows != 6 || restarted.selfTest.Windows != 0 {
		t.Errorf("compared %d of %d windows with themselves, and after a restart %d",
			of.selfTest.Windows, of.baseline.Windows, restarted.selfTest.Windows)
	}
}

func TestCountersOfAnEditedTemplateAreOtherEvidence(t *testing.T) {
	of, counters, noon := compared(t)
	counters.source = "before"
	of.feed(t, counters, noon, 5)
	if of.release.Test.Observed != 40*time.Second || of.baseline.Windows != 4 {
		t.Fatalf("observed %s, %d windows", of.release.Test.Observed, of.baseline.Windows)
	}
	c := podinfo()
	c.Status.Judge = of.status()
	if got := newComparison(c, of.state, of.plan).status().CountedBy; got != "before" {
		t.Errorf("counted by %q after a restart", got)
	}
	counters.source = "after"
	for name, of := range map[string]*comparison{"the same process": of, "another one": newComparison(c, of.state, of.plan)} {
		of.feed(t, counters, noon.Add(time.Minute), 3)
		if of.release.Test.Observed != 20*time.Second || of.baseline.Windows != 2 {
			t.Errorf("%s: observed %s, %d windows", name, of.release.Test.Observed, of.baseline.Windows)
		}
		if got := of.status().CountedBy; got != "after" {
			t.Errorf("%s: counted by %q", name, got)
		}
	}
}

// Jobs were counted when they began, and failed later: windows with more failures than jobs were left out, and a release that
// was worse looked better.
func TestAnExposureThatCountsWhatBeginsIsRefused(t *testing.T) {
	of, counters, noon := compared(t)
	of.state.Phase = flaggerv1.CanaryPhaseSucceeded // at rest
	counters.source = "before"
	names := canary.Names{Namespace: "test", Canary: "podinfo"}
	odd := 0.0
	feed := func(from, times int, more float64) (wakes int) {
		read, err := counters.prepare(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range times {
			reading, err := read(t.Context(), noon.Add(time.Duration(from+i)*10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			odd += more
			for at, s := range reading.Samples {
				if s.Arm == counter.Primary && s.Class == counter.Errors {
					reading.Samples[at].Value += odd
				}
			}
			if of.add(reading, nil) {
				wakes++
			}
		}
		return wakes
	}
	feed(0, 10, 0)
	if feed(10, 2, 1000); of.status().Problem != "" {
		t.Errorf("two processes that began again are a problem: %s", of.problem)
	}
	wakes := feed(12, 4, 1000)
	if problem := of.status().Problem; wakes != 1 || !strings.Contains(problem, "let spec.counters.exposure include the events") {
		t.Errorf("a reconcile began %d times, problem %q", wakes, problem)
	}
	of.state.Phase = flaggerv1.CanaryPhaseProgressing
	feed(16, 3, 0)
	said := of.result(of.state)
	if events := of.takeWarnings(names); len(events) != 1 || said.Outcome != judge.Undecided || of.release.Test.Observed != 0 ||
		!strings.HasPrefix(events[0].Message, "The judge of podinfo.test cannot compare: the primary had more errors than requests") {
		t.Errorf("told %+v, says %+v, observed %s", events, said, of.release.Test.Observed)
	}
	counters.source, odd = "edited", 0
	if feed(20, 3, 0); of.status().Problem != "" || of.release.Test.Observed == 0 {
		t.Errorf("the problem of a template that was edited is %q", of.problem)
	}
}

// One query that timed out was all that people were told about a release that had failed.
func TestWhatIsKnownIsSaidAlsoWhileThereIsAProblem(t *testing.T) {
	of, counters, noon := compared(t)
	counters.failing.Store(200)
	of.feed(t, counters, noon, 5)
	of.broken(errors.New("connection refused"))
	if said := of.result(of.state); said.Outcome != judge.Fail || !strings.HasPrefix(said.Text, "errors 20 times the primary's") {
		t.Errorf("says %+v", said)
	}
}

func TestPeopleHearOnceWhyNothingFollows(t *testing.T) {
	of, counters, noon := compared(t)
	of.state.History[0].Steps[0].Weight, of.plan.Steps[0].Weight = 20, 20 // and it gets half of the requests
	if wakes := of.feed(t, counters, noon, 5); wakes != 1 {
		t.Errorf("a reconcile began %d times", wakes)
	}
	of.selfTest = trial.SelfTest{Windows: 100, Trials: 10, FalseAlarms: 5}
	of.feed(t, counters, noon.Add(time.Minute), 2)
	names := canary.Names{Namespace: "test", Canary: "podinfo"}
	events := of.takeWarnings(names)
	if len(events) != 2 || !events[0].Warning || events[0].Alert != flaggerv1.SeverityWarn ||
		!strings.HasPrefix(events[0].Message, "The judge of podinfo.test cannot decide: the canary got 2.5 times the requests") ||
		!strings.HasPrefix(events[1].Message, "Only thresholds decide about podinfo.test: the judge's test of itself failed: 5 of 10") {
		t.Errorf("told %+v", events)
	}
	of.feed(t, counters, noon.Add(2*time.Minute), 5)
	if events := of.takeWarnings(names); len(events) != 0 {
		t.Errorf("told again %+v", events)
	}
}

func TestPodsThatDoNotCountAreNamed(t *testing.T) {
	of, counters, noon := compared(t)
	counters.without = counter.Canary
	of.feed(t, counters, noon, 3)
	counters.without = ""
	read, err := counters.prepare(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, started := range []time.Time{{}, noon.Add(31 * time.Second)} {
		at := noon.Add(time.Duration(3+i) * 10 * time.Second)
		reading, err := read(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if got := of.newcomers(reading); !slices.Equal(got, []string{"podinfo-a"}) {
				t.Errorf("newcomers %v", got)
			}
		}
		of.add(reading, map[string]time.Time{"podinfo-a": started})
		want := [][]string{{"podinfo-a of the canary is new, and counts from the next window on"}, nil}[i]
		if remarks := of.status().Remarks; !slices.Equal(remarks, want) {
			t.Errorf("window %d: %q", i, remarks)
		}
	}
}
