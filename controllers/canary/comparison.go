// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/judge"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/trial"
)

// comparison is what is known about the two arms of a canary: evidence about the release under
// way or the last one, and what the primary is like. It is fed by readings, and read by reconciles.
type comparison struct {
	mu     sync.Mutex
	canary *flaggerv1.Canary
	state  canary.State
	plan   canary.Plan

	subject  subject
	release  trial.Release
	baseline trial.Baseline
	selfTest trial.SelfTest
	cursor   counter.Cursor
	window   time.Time // when the last window ended that counts for the release

	said    canary.Judged
	verdict judge.Verdict
	problem string
	history []flaggerv1.CanaryJudgeVerdict
	outlook string
	// told is when the status was last to be written although nothing was decided.
	told time.Time
	// news means that the status has yet to say what is here, and urgent that a reconcile is to
	// begin for it.
	news, urgent bool
}

// subject is the release that evidence is about. A revision that is tried again is another one.
type subject struct {
	revision string
	since    time.Time
}

// is reports whether two are the same release; the status has whole seconds.
func (s subject) is(other subject) bool {
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
	status := c.Status.Judge
	if status == nil {
		status = &flaggerv1.CanaryJudgeStatus{}
	}
	of.history, of.outlook = status.History, status.Outlook
	if test := status.SelfTest; test != nil {
		of.restoreSelfTest(test.State)
	}
	of.begin()
	if !of.subject.is(subject{status.Revision, status.Since.Time}) || status.Window == nil {
		return of
	}
	if release, err := of.baseline.Restore([]byte(status.Evidence), plan.Judge.Settings, plan.Judge.Kinds...); err == nil {
		of.release, of.window = release, status.Window.Time
		of.judge(of.window)
		of.news, of.urgent = false, false
	}
	return of
}

// kept is what of a self-test is kept in the status.
type kept struct {
	Baseline string         `json:"baseline"`
	Test     trial.SelfTest `json:"test"`
}

// restoreSelfTest reads what is kept, or starts over.
func (c *comparison) restoreSelfTest(text string) {
	var was kept
	if json.Unmarshal([]byte(text), &was) != nil || c.baseline.UnmarshalText([]byte(was.Baseline)) != nil {
		return
	}
	c.selfTest = was.Test
}

func subjectOf(s canary.State) subject {
	if len(s.History) == 0 {
		return subject{revision: s.Applied}
	}
	return subject{s.History[0].Revision, s.History[0].StartedAt.Time}
}

// begin drops the evidence, which was about another release.
func (c *comparison) begin() {
	c.release = c.baseline.Begin(c.plan.Judge.Settings, c.plan.Judge.Kinds...)
	c.said = canary.Judged{Outcome: judge.Undecided, ThresholdsOnly: c.said.ThresholdsOnly}
	c.verdict, c.window = judge.Verdict{Outcome: judge.Undecided}, time.Time{}
}

// follow tells where a release stands by now, and what its spec asks for.
func (c *comparison) follow(of *flaggerv1.Canary, state canary.State, plan canary.Plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	alike := plan.Judge.Settings == c.plan.Judge.Settings && slices.Equal(plan.Judge.Kinds, c.plan.Judge.Kinds)
	c.canary, c.state, c.plan = of, state, plan
	if other := subjectOf(state); !alike || !other.is(c.subject) {
		c.subject = other
		c.begin()
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

// add takes a reading, and reports whether there is something that a reconcile should know.
func (c *comparison) add(r counter.Reading) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !r.At.After(c.cursor.Last()) {
		return false // a release began in the moment of a look
	}
	next, w, ok, err := c.cursor.Add(r, counter.Options{Bounds: c.baseline.Bounds()})
	if err != nil {
		c.setProblem(err.Error())
		return false
	}
	c.cursor = next
	if !ok {
		return false
	}
	before := c.baseline
	c.selfTest = c.selfTest.Add(w, c.plan.Judge.Settings, before.Dispersion())
	if c.baseline = before.Add(w); c.baseline.Windows >= rememberedWindows {
		c.baseline = c.baseline.Fade()
	}
	c.compare(w, before)
	c.restate(w.To)
	urgent := c.urgent
	c.urgent = false
	return urgent
}

// overlap is how much of a window may have been counted before: servers and the status round times.
const overlap = time.Second

// compare adds a window to the evidence, if it is about this release.
func (c *comparison) compare(w counter.Increments, before trial.Baseline) {
	share, ok := c.plan.ShareDuring(c.state.History, w.From, w.To)
	if len(w.Missing) == 0 || !ok {
		c.setProblem("")
	}
	if !ok || !c.plan.Judges(c.state) || c.said.Outcome == judge.Fail || c.window.Sub(w.From) > overlap {
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
	said := canary.Judged{Outcome: c.verdict.Outcome, Text: canary.Words(c.verdict), Since: c.said.Since,
		ThresholdsOnly: c.said.ThresholdsOnly}
	if said.Outcome != c.said.Outcome {
		said.Since, c.news, c.urgent = now, true, true
		if said.Outcome != judge.Undecided {
			c.note(said, now)
		}
	}
	c.said = said
}

// note adds a verdict to the history, or brings the last one up to date.
func (c *comparison) note(said canary.Judged, now time.Time) {
	v := flaggerv1.CanaryJudgeVerdict{At: metav1.NewTime(now), Revision: c.subject.revision,
		Outcome: string(said.Outcome), Message: cut(said.Text, maxMessage)}
	if len(c.history) > 0 && c.history[0].Revision == v.Revision && c.history[0].Outcome == v.Outcome {
		return
	}
	c.history = append([]flaggerv1.CanaryJudgeVerdict{v}, c.history...)
	c.history = c.history[:min(len(c.history), flaggerv1.MaxJudgeVerdicts)]
}

// restate says now and then what the primary is like, and at once if the judge is not to be trusted
// any more, or again.
func (c *comparison) restate(now time.Time) {
	failed := c.selfTest.Failed(c.plan.Judge.Settings.Alpha)
	due := c.baseline.Windows >= matureWindows && now.Sub(c.told) >= restatedEvery
	if !due && failed == c.said.ThresholdsOnly {
		return
	}
	c.said.ThresholdsOnly, c.told, c.news, c.urgent = failed, now, true, true
	c.outlook = cut(c.plan.Outlook(c.baseline.Traffic()), maxMessage)
}

// judged is what a decision on a release is to know.
func (c *comparison) judged(state canary.State) canary.Judged {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !subjectOf(state).is(c.subject) {
		return canary.Judged{ThresholdsOnly: c.distrusted()}
	}
	said := c.said
	if said.ThresholdsOnly = c.distrusted(); said.ThresholdsOnly {
		said.Text = fmt.Sprintf("the judge's test of itself failed: %d of %d comparisons of the primary with itself were false alarms; %s",
			c.selfTest.FalseAlarms, c.selfTest.Trials, said.Text)
	}
	if c.problem != "" {
		said.Text = strings.TrimSuffix(c.problem+"; "+said.Text, "; ")
	}
	return said
}

func (c *comparison) distrusted() bool { return c.selfTest.Failed(c.plan.Judge.Settings.Alpha) }

// broken notes why there are no readings.
func (c *comparison) broken(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setProblem(cut(err.Error(), maxMessage))
}

// setProblem notes why arms cannot be compared; empty is good. That there is one, or none any more, is
// news for the next reconcile.
func (c *comparison) setProblem(why string) {
	c.news = c.news || (why == "") != (c.problem == "")
	c.problem = why
}

// missing says that an arm is not counted.
func missing(w counter.Increments) string {
	arms := make([]string, len(w.Missing))
	for i, arm := range w.Missing {
		arms[i] = string(arm)
	}
	return fmt.Sprintf("nothing counts the %s: the judge has nothing to compare", strings.Join(arms, " and the "))
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-3], "") + "..."
}

// ratioText is a ratio as people read it; empty if there is none.
func ratioText(f judge.Finding) string {
	text := fmt.Sprintf("%.3g", f.Ratio)
	if text == "NaN" {
		return ""
	}
	return cmp.Or(map[string]string{"+Inf": "infinite"}[text], text)
}

// spec is the canary as its spec was last.
func (c *comparison) spec() *flaggerv1.Canary {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.canary
}

func (c *comparison) hasNews() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.news
}

// giveUp notes in the history that the time for a verdict was up.
func (c *comparison) giveUp(prev, state canary.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(state.History) == 0 || state.History[0].InconclusiveAt.IsZero() ||
		len(prev.History) > 0 && !prev.History[0].InconclusiveAt.IsZero() {
		return
	}
	c.note(canary.Judged{Outcome: judge.Undecided, Text: c.said.Text}, state.History[0].InconclusiveAt.Time)
}
