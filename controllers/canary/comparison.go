// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/trial"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// comparison is what is known about the two arms of a canary: evidence about the release under
// way or the last one, and what the primary is like. It is fed by readings, and read by reconciles.
type comparison struct {
	mu     sync.Mutex
	canary *flaggerv1.Canary
	state  canary.State
	plan   canary.Plan

	subject  subject
	release  trial.Comparison
	baseline trial.Baseline
	selfTest trial.SelfTest
	cursor   counter.Cursor
	window   time.Time // when the last window ended that counts for the release
	// source is what counts, countedBy says so to people, and remarks are about what of it does not, by the last window.
	source, countedBy string
	remarks           []string
	excess            errorExcess
	// promotion is the last one that is known.
	promotion promotion

	latest  canary.JudgeResult
	verdict judge.Verdict
	problem string
	history []flaggerv1.CanaryJudgeVerdict
	outlook string
	// unseen is how many readings in a row have no counter of the primary, and failures how many failed.
	unseen, failures int
	// warnings are what people have yet to hear of.
	warnings []string
	// restatedAt is when the status was last to be written although nothing was decided.
	restatedAt time.Time
	// statusStale means that the status has yet to say what is here, and wakeNow that a reconcile is to
	// begin for it.
	statusStale, wakeNow bool
}

// subject is the release that evidence is about. A revision that is tried again is another one.
type subject struct {
	revision string
	since    time.Time
}

// promotion is a time in which the primary was given a revision, so that its pods were of two versions. It has not
// ended while until is zero.
type promotion struct{ from, until time.Time }

// overlaps reports whether some of what a window counts may have happened in it.
func (p promotion) overlaps(w counter.Increments) bool {
	return !p.from.IsZero() && w.To.After(p.from) && (p.until.IsZero() || w.Earliest().Before(p.until))
}

// equal reports whether two are the same release; the status has whole seconds.
func (s subject) equal(other subject) bool {
	return s.revision == other.revision && s.since.Truncate(time.Second).Equal(other.since.Truncate(time.Second))
}

const (
	// matureWindows are as many as it takes to say what a primary is like, and rememberedWindows as
	// many as count; then all so far count for half.
	matureWindows, rememberedWindows = 20, 4000
	// restatedEvery is how often the status says anew what the primary is like.
	restatedEvery = time.Hour
	// maxEvidence is what the CRD takes. More is not kept, and lost in a restart.
	maxEvidence = 65536
	maxMessage  = 1024
)

// newComparison goes on with what the status of a canary has.
func newComparison(c *flaggerv1.Canary, state canary.State, plan canary.Plan) *comparison {
	of := &comparison{canary: c, state: state, plan: plan, subject: subjectOf(state)}
	if state.Promoting() {
		of.promotion = promotion{from: state.At}
	}
	status := c.Status.Judge
	if status == nil {
		status = &flaggerv1.CanaryJudgeStatus{}
	}
	of.history, of.outlook, of.countedBy = status.History, status.Outlook, status.CountedBy
	if test := status.SelfTest; test != nil {
		of.restoreSelfTest(test.State)
	}
	of.reset()
	if !of.subject.equal(subject{status.Revision, status.Since.Time}) || status.Window == nil {
		return of
	}
	if release, err := of.baseline.Restore([]byte(status.Evidence), plan.Judge.Settings, plan.Judge.Kinds...); err == nil {
		of.release, of.window = requiring(plan.Judge, release), status.Window.Time
		of.judge(of.window)
		of.statusStale, of.wakeNow = false, false
	}
	return of
}

// storedSelfTest is what of a self-test is kept in the status.
type storedSelfTest struct {
	Source   string         `json:"source,omitempty"`
	Baseline string         `json:"baseline"`
	Test     trial.SelfTest `json:"test"`
}

// restoreSelfTest reads what is kept, or starts over.
func (c *comparison) restoreSelfTest(text string) {
	var was storedSelfTest
	if json.Unmarshal([]byte(text), &was) != nil || was.Test.Check() != nil || c.baseline.UnmarshalText([]byte(was.Baseline)) != nil {
		return
	}
	c.selfTest, c.source = was.Test, was.Source
}

func subjectOf(s canary.State) subject {
	if len(s.History) == 0 {
		return subject{revision: s.Applied}
	}
	return subject{s.History[0].Revision, s.History[0].StartedAt.Time}
}

// reset drops the evidence, which was about another release.
func (c *comparison) reset() {
	c.release = requiring(c.plan.Judge, c.baseline.Begin(c.plan.Judge.Settings, c.plan.Judge.Kinds...))
	c.latest = canary.JudgeResult{Outcome: judge.Undecided, ThresholdsOnly: c.latest.ThresholdsOnly}
	c.verdict, c.window = judge.Verdict{Outcome: judge.Undecided}, time.Time{}
}

// requiring is the evidence about a release that only passes by all metrics, if the spec names them.
func requiring(j *canary.JudgeConfig, r trial.Comparison) trial.Comparison {
	if j.Named {
		return r.RequireAll()
	}
	return r
}

// follow updates the state of the release and what its spec asks for.
func (c *comparison) follow(of *flaggerv1.Canary, state canary.State, plan canary.Plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, is := c.plan.Judge, plan.Judge
	alike := is.Settings == was.Settings && is.Named == was.Named && slices.Equal(is.Kinds, was.Kinds)
	switch {
	case state.Promoting() && !c.state.Promoting():
		c.promotion = promotion{from: state.At}
	case !state.Promoting() && c.state.Promoting():
		c.promotion.until = state.At
	}
	c.canary, c.state, c.plan = of, state, plan
	if other := subjectOf(state); !alike || !other.equal(c.subject) {
		c.subject = other
		c.reset()
	}
}

// pause is how long after a reading the next one is due.
func (c *comparison) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plan.Judges(c.state) {
		return c.plan.Judge.Every
	}
	return max(c.plan.Judge.Every, atRest)
}

// atRest is the time between two looks at a primary while nothing is released.
const atRest = 30 * time.Second

// due are the times to read the counters at. After a restart they begin with the end of the last
// window, so that nothing is lost that happened since.
func (c *comparison) due(now time.Time) []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cursor.From().IsZero() || c.window.IsZero() || !c.plan.Judges(c.state) || !c.window.Before(now) {
		return []time.Time{now}
	}
	step := max(c.plan.Judge.Every, now.Sub(c.window)/maxCaughtUp)
	var times []time.Time
	for at := c.window; at.Before(now); at = at.Add(step) {
		times = append(times, at)
	}
	return append(times, now)
}

// maxCaughtUp bounds how many readings a restart takes.
const maxCaughtUp = 60

// newcomers are the pods of a reading that had not counted before, as many as are asked about at once.
func (c *comparison) newcomers(r counter.Reading) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pods []string
	for _, s := range r.Samples {
		if s.Pod != "" && len(pods) < maxNewcomers && !c.cursor.Knows(s.Pod) && !slices.Contains(pods, s.Pod) {
			pods = append(pods, s.Pod)
		}
	}
	return pods
}

// maxNewcomers bounds what one look asks the API server about.
const maxNewcomers = 20

// startOver drops all that was counted, if other counters are read by now: those of a MetricTemplate that was edited
// have nothing to do with what was counted before.
func (c *comparison) startOver(source string) {
	if c.source == source {
		return
	}
	if c.source != "" {
		c.baseline, c.selfTest, c.remarks, c.excess = trial.Baseline{}, trial.SelfTest{}, nil, errorExcess{}
		c.reset()
		c.statusStale = true
	}
	c.source = source
}

// add takes a reading, and reports whether there is something that a reconcile should know. started is when
// pods began of which the reading is the first to tell.
func (c *comparison) add(r counter.Reading, started map[string]time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !r.At.After(c.cursor.Last()) {
		return false // a release began in the moment of a look
	}
	c.startOver(r.Source)
	if len(r.Samples) > 0 && c.countedBy != r.CountedBy {
		c.countedBy, c.statusStale = r.CountedBy, true
	}
	c.notice(r)
	next, w, ok, err := c.cursor.Add(r, counter.Options{Bounds: c.baseline.Bounds(), Started: started})
	if err != nil {
		c.setProblem(err.Error())
		return false
	}
	c.cursor = next
	if ok {
		c.addWindow(w)
	}
	wake := c.wakeNow
	c.wakeNow = false
	return wake
}

// addWindow adds a window to all that it is about.
func (c *comparison) addWindow(w counter.Increments) {
	c.remarks = remarksOf(w)
	if why := c.excess.add(w); why != "" {
		c.warnings, c.wakeNow = append(c.warnings, "The judge of "+itself+" cannot compare: "+why), true
	}
	if c.promotion.overlaps(w) {
		w = w.WithoutHalves()
	}
	before := c.baseline
	c.selfTest = c.selfTest.Add(w, c.plan.Judge.Settings, before, c.plan.Judge.Kinds...)
	if c.baseline = before.Add(w); c.baseline.Windows >= rememberedWindows {
		c.baseline = c.baseline.Fade()
	}
	c.compare(w, before)
	c.restate(w.To)
}

// overlap is how much of a window may have been counted before: servers and the status round times.
const overlap = time.Second

// compare adds a window to the evidence, if it is about this release.
func (c *comparison) compare(w counter.Increments, before trial.Baseline) {
	if why := c.excess.problem(); why != "" {
		c.setProblem(why)
		return
	}
	share, ok := c.plan.ShareDuring(c.state.History, w.Earliest(), w.To)
	if len(w.Missing) == 0 || !ok && c.unseen < unseenIsProblem {
		c.setProblem("")
	}
	if !ok || !c.plan.Judges(c.state) || c.latest.Outcome == judge.Fail || c.window.Sub(w.From) > overlap {
		return
	}
	if len(w.Missing) > 0 {
		c.setProblem(missing(w))
		return
	}
	release, err := c.release.After(before).Add(w, share)
	if err != nil {
		c.setProblem(err.Error())
		return
	}
	c.release, c.window = release, w.To
	c.judge(w.To)
}

// judge draws the conclusion from the evidence.
func (c *comparison) judge(now time.Time) {
	c.verdict = c.release.Verdict()
	result := canary.JudgeResult{Outcome: c.verdict.Outcome, Text: canary.Words(c.verdict), Since: c.latest.Since,
		ThresholdsOnly: c.latest.ThresholdsOnly}
	if result.Outcome != c.latest.Outcome {
		result.Since, c.statusStale, c.wakeNow = now, true, true
		if result.Outcome != judge.Undecided {
			c.enter(result, now)
		}
		if result.Outcome == judge.Mismatch {
			c.warnings = append(c.warnings, "The judge of "+itself+" cannot decide: "+result.Text)
		}
	}
	c.latest = result
}

// enter adds a verdict to the history, unless it is there.
func (c *comparison) enter(result canary.JudgeResult, now time.Time) {
	v := flaggerv1.CanaryJudgeVerdict{At: metav1.NewTime(now), Revision: c.subject.revision,
		Outcome: string(result.Outcome), Message: shorten.Bytes(result.Text, maxMessage, shorten.Dots)}
	if len(c.history) > 0 && c.history[0].Revision == v.Revision && c.history[0].Outcome == v.Outcome &&
		!c.history[0].At.Time.Before(c.subject.since) { // not that of a revision that is tried again
		return
	}
	c.history = append([]flaggerv1.CanaryJudgeVerdict{v}, c.history...)
	c.history = c.history[:min(len(c.history), flaggerv1.MaxJudgeVerdicts)]
}
