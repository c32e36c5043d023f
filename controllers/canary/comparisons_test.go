// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"k8s.io/apimachinery/pkg/types"
)

// fakeCounters are those of two pods of the primary and one of the canary, which answers a hundred requests a
// second, as many as both of the primary's. So many in a thousand of the canary's fail, and ten of the primary's.
type fakeCounters struct {
	failing  atomic.Int64
	readings atomic.Int64
	since    time.Time
	err      atomic.Pointer[error]
	without  counter.Arm
	nothing  bool // is counted
	source   string
	where    string
	prepared atomic.Int64
}

func (f *fakeCounters) prepare(context.Context, *flaggerv1.Canary) (readCounters, error) {
	f.prepared.Add(1)
	return func(_ context.Context, at time.Time) (counter.Reading, error) {
		defer f.readings.Add(1)
		if err := f.err.Load(); err != nil {
			return counter.Reading{}, *err
		}
		seconds := max(0, at.Sub(f.since).Truncate(time.Second).Seconds()) // no counter is below 0
		reading := counter.Reading{At: at, Source: f.source, CountedBy: f.source, Hint: f.where}
		for pod, arm := range armOf {
			rate, requests := 0.010, 50*seconds
			if arm == counter.Canary {
				rate, requests = float64(f.failing.Load())/1000, 100*seconds
			}
			if arm == f.without || f.nothing {
				continue
			}
			reading.Samples = append(reading.Samples,
				counter.Sample{Arm: arm, Pod: pod, Class: counter.Requests, Value: requests, Scraped: at},
				counter.Sample{Arm: arm, Pod: pod, Class: counter.Errors, Value: requests * rate, Scraped: at})
		}
		return reading, nil
	}, nil
}

// armOf are the pods that count.
var armOf = map[string]counter.Arm{
	"podinfo-primary-a": counter.Primary, "podinfo-primary-b": counter.Primary, "podinfo-a": counter.Canary,
}

// judgedRelease is one whose canary has half of the users, with a judge that looks every ten seconds.
func judgedRelease(t *testing.T, failing int64) (*testEnv, *fakeCounters) {
	t.Helper()
	e := newRelease(t, newPrometheus(t, "100"), func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Interval, c.Spec.Analysis.Sampling = "1m", &flaggerv1.CanarySampling{Disabled: true}
		c.Spec.Analysis.Judge = &flaggerv1.CanaryJudge{Metrics: []flaggerv1.JudgeMetric{flaggerv1.JudgeErrors}}
	})
	counters := &fakeCounters{since: e.clock.Now()}
	counters.failing.Store(failing)
	e.restartJudged(counters)
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	return e, counters
}

func (e *testEnv) restartJudged(counters *fakeCounters) {
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	e.r.stopMeasuring(c.UID)
	e.restart(e.api)
	e.r.metrics.observePhase(c)
	comparisons := e.r.observer.comparisons
	comparisons.prepare = counters.prepare
	comparisons.started = func(context.Context, types.NamespacedName) (time.Time, error) { return time.Time{}, nil }
}

// look lets the judge take so many readings, or more, and waits until it has judged the last one: it sleeps then.
func (e *testEnv) look(counters *fakeCounters, times int) {
	e.Helper()
	for range times {
		taken := counters.readings.Load()
		tick(e.T, e.clock, 10*time.Second)
		polls := 0
		poll(e.T, "a reading", func() bool {
			if polls++; polls%500 == 0 { // it had not gone to sleep yet, and sleeps from the new time on
				e.clock.Step(10 * time.Second)
			}
			return counters.readings.Load() > taken
		})
		poll(e.T, "a reading to be judged", e.clock.HasWaiters)
	}
}

// outcome waits until the judge says something about the release.
func (e *testEnv) outcome(counters *fakeCounters, want string) {
	e.Helper()
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	for range 60 {
		e.look(counters, 1)
		of := e.r.observer.comparisons.all[c.UID]
		if said := of.result(of.state); string(said.Outcome) == want {
			return
		}
	}
	e.Fatalf("the judge never says %s", want)
}

func TestACanaryThatIsWorseIsRolledBackBetweenTwoChecks(t *testing.T) {
	e, counters := judgedRelease(t, 60)
	e.outcome(counters, flaggerv1.JudgeFail)
	c, _, _ := e.reconcile()
	if c.Status.Phase != flaggerv1.CanaryPhaseFailed || e.routed() != [2]int64{100, 0} {
		t.Errorf("%s, routed %v", c.Status.Phase, e.routed())
	}
	said := strings.Join(e.events, "\n")
	if !strings.Contains(said, "Rolling back podinfo.test at once, errors ") || !strings.Contains(said, "times the primary's (at least") {
		t.Errorf("told %s", said)
	}
	j := c.Status.Judge
	if j == nil || j.Outcome != flaggerv1.JudgeFail || len(j.History) != 1 || j.History[0].Outcome != flaggerv1.JudgeFail ||
		!strings.Contains(j.Message, "times the primary's") || len(j.Findings) != 1 || j.SelfTest == nil || j.Revision != c.Status.Applied() {
		t.Errorf("status.judge is %+v", j)
	}
}

func TestACanaryThatIsAsGoodIsPromotedAsSoonAsThatIsKnown(t *testing.T) {
	e, counters := judgedRelease(t, 10)
	e.outcome(counters, flaggerv1.JudgePass)
	if _, err := e.phase(flaggerv1.CanaryPhasePromoting); err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(e.events, "\n"); !strings.Contains(said, "The judge passed podinfo.test: errors not 2 times as bad") {
		t.Errorf("told %s", said)
	}
}

// The evidence of an interval that the status does not have is read from the server again.
func TestARestartInTheMiddleOfAReleaseLosesNoEvidence(t *testing.T) {
	e, counters := judgedRelease(t, 14)
	e.look(counters, 8)
	c, err := e.until("a check", func(c *flaggerv1.Canary) bool { return c.Status.Judge.Window != nil })
	if err != nil || c.Status.Judge.Window == nil || c.Status.Judge.Evidence == "" {
		t.Fatalf("status.judge is %+v", c.Status.Judge)
	}
	recorded := c.Status.Judge.Window.Time
	e.look(counters, 3)
	before := e.r.observer.comparisons.all[c.UID].status()
	if !before.Window.Time.After(recorded) {
		t.Fatal("nothing happened since the status was written")
	}
	e.restartJudged(counters)
	taken := counters.readings.Load()
	if _, _, err := e.reconcile(); err != nil {
		t.Fatal(err)
	}
	poll(t, "the readings since the last window", func() bool { return counters.readings.Load() >= taken+4 })
	var after *flaggerv1.CanaryJudgeStatus
	poll(t, "the same window", func() bool {
		after = e.r.observer.comparisons.all[c.UID].status()
		return after.Window.Time.Equal(before.Window.Time)
	})
	if after.Evidence != before.Evidence || after.Message != before.Message {
		t.Errorf("after the restart %s\nbefore %s", after.Message, before.Message)
	}
}

func TestAJudgeWithoutDataSaysSo(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*fakeCounters)
		want string
	}{
		"a server that is down":     {func(f *fakeCounters) { err := errors.New("connection refused"); f.err.Store(&err) }, "connection refused"},
		"no counters of the canary": {func(f *fakeCounters) { f.without = counter.Canary }, "nothing counts the canary"},
	} {
		t.Run(name, func(t *testing.T) {
			e, counters := judgedRelease(t, 10)
			tc.edit(counters)
			e.look(counters, 7)
			c, _, _ := e.reconcile()
			if !strings.Contains(c.Status.Judge.Problem, tc.want) {
				t.Errorf("status.judge is %+v", c.Status.Judge)
			}
			if _, err := e.until("a check", func(c *flaggerv1.Canary) bool {
				return c.Status.LastTransitionTime.After(e.clock.Now().Add(-time.Minute))
			}); err != nil {
				t.Fatal(err)
			}
			if _, result, _ := e.reconcile(); !strings.Contains(result.Message, tc.want) {
				t.Errorf("says %q", result.Message)
			}
		})
	}
}

// A Secret that was rotated in the middle of a release was read again only after the old one had been refused.
func TestTemplatesAndSecretsAreReadAgainDuringARelease(t *testing.T) {
	e, counters := judgedRelease(t, 10)
	e.look(counters, 1)
	before := counters.prepared.Load()
	e.look(counters, 4)
	if now := counters.prepared.Load(); now != before {
		t.Errorf("within a step they were read %d times more", now-before)
	}
	e.look(counters, 4)
	if now := counters.prepared.Load(); now == before {
		t.Error("after more than a minute they were not read again")
	}
}

func TestAnotherRevisionIsOtherEvidence(t *testing.T) {
	e, counters := judgedRelease(t, 10)
	e.look(counters, 4)
	e.push("podinfo:3")
	c, err := e.until("the next revision", func(c *flaggerv1.Canary) bool { return len(c.Status.History) > 1 && c.Status.CanaryWeight > 0 })
	if err != nil || c.Status.Judge.Revision != c.Status.Applied() || c.Status.Judge.Window != nil {
		t.Errorf("%+v, %v", c.Status.Judge, err)
	}
}

func TestACanaryThatAsksForNoJudgeAnyMoreHasNone(t *testing.T) {
	e, _ := judgedRelease(t, 10)
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	c.Spec.Analysis.Judge, c.Generation = nil, c.Generation+1
	if err := e.api.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if c, _, _ = e.reconcile(); c.Status.Judge != nil || len(e.r.observer.comparisons.all) != 0 {
		t.Errorf("%+v, %d comparisons", c.Status.Judge, len(e.r.observer.comparisons.all))
	}
	if got := e.r.observer.comparisons.all[types.UID("")]; got != nil {
		t.Errorf("got %v", got)
	}
}
