// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge"
)

// JudgeConfig is how a canary is compared with its primary.
type JudgeConfig struct {
	Settings judge.Settings
	// Kinds are what is compared, and Named whether the spec says so: then a release does not pass without any of them.
	Kinds []judge.Kind
	Named bool
	// OnInconclusive is what becomes of a release that is not decided about in time.
	OnInconclusive flaggerv1.InconclusiveAction
	// Warmup is how long the canary's first users are not counted.
	Warmup time.Duration
	// Every is the time between two looks.
	Every time.Duration
}

// JudgeResult is what the judge says about the revision under analysis. The zero value has
// not looked yet.
type JudgeResult struct {
	Outcome judge.Outcome
	// Text says why.
	Text string
	// Since is when the outcome became what it is.
	Since time.Time
	// ThresholdsOnly means that the judge is not to be trusted.
	ThresholdsOnly bool
}

// judgeField is where the spec asks for the judge.
const judgeField = "spec.analysis.judge"

// setJudge reads what to compare. The judge compares users who differ by nothing but the
// revision that they got: where there are none, it is refused.
func (p *Plan) setJudge(a *flaggerv1.CanaryAnalysis) error {
	j := a.Judge
	if j == nil {
		return nil
	}
	if err := p.refuseJudge(a); err != nil {
		return err
	}
	settings, err := judgeSettings(j)
	if err != nil {
		return err
	}
	judging := &JudgeConfig{Settings: settings, OnInconclusive: j.GetOnInconclusive(), Named: len(j.Metrics) > 0}
	for _, m := range j.GetMetrics() {
		judging.Kinds = append(judging.Kinds, judge.Kind(m))
	}
	if judging.Warmup, err = j.GetWarmup(); err != nil {
		return &Refused{judgeField + ".warmup", err.Error()}
	}
	if waits := p.timeForVerdict(); judging.Warmup >= waits {
		return &Refused{judgeField + ".warmup", fmt.Sprintf("nothing of the canary would count before the time for a verdict is up, %s "+
			"after it gets users: shorten it, or lengthen the steps or spec.progressDeadlineSeconds", waits)}
	}
	sampled := *a
	if a.Sampling != nil { // disabled are those for thresholds
		sampled.Sampling = &flaggerv1.CanarySampling{Interval: a.Sampling.Interval}
	}
	if judging.Every, _, err = sampled.GetSampling(p.Interval, p.Interval); err != nil {
		return &Refused{"spec.analysis.sampling.interval", err.Error()}
	}
	p.Judge = judging
	return nil
}

// refuseJudge refuses to compare what cannot be compared.
func (p *Plan) refuseJudge(a *flaggerv1.CanaryAnalysis) error {
	counted := a.Judge.TemplateRef != nil
	throughput := slices.Contains(a.Judge.Metrics, flaggerv1.JudgeThroughput)
	switch {
	case p.ABTest:
		return &Refused{judgeField, "the users of an A/B release are chosen by spec.analysis.match, and may differ from the others by more " +
			"than the revision that they get: leave out one of the two"}
	case p.Worker && !counted:
		return &Refused{judgeField + ".templateRef", "is needed: no proxy counts the requests of a worker"}
	case p.lastJudged() < 0:
		return &Refused{judgeField, "no step of the analysis has users of the canary beside some of the primary: take a provider that " +
			"routes users, and set stepWeight or stepWeights to less than 100, or mirror to true"}
	case throughput && (!p.Routed || p.InPlace || a.Mirror || a.SessionAffinity != nil):
		return &Refused{judgeField + ".metrics", "throughput can be compared only where the weight alone says how many requests the " +
			"canary gets: not with mirror, sessionAffinity or without a route"}
	}
	return nil
}

// judgeSettings reads the quantities.
func judgeSettings(j *flaggerv1.CanaryJudge) (judge.Settings, error) {
	s := judge.Settings{MinSamples: flaggerv1.DefaultJudgeMinSamples}
	for _, q := range []struct {
		name, text string
		byDefault  float64
		into       *float64
	}{
		{"alpha", j.Alpha, flaggerv1.DefaultJudgeAlpha, &s.Alpha},
		{"beta", j.Beta, flaggerv1.DefaultJudgeBeta, &s.Beta},
		{"regression", j.Regression, flaggerv1.DefaultJudgeRegression, &s.Regression},
		{"tolerated", j.Tolerated, flaggerv1.DefaultJudgeTolerated, &s.Tolerated},
		{"negligible", j.Negligible, flaggerv1.DefaultJudgeNegligible, &s.Negligible},
	} {
		var err error
		if *q.into, err = j.Number(q.text, q.byDefault); err != nil {
			return s, &Refused{judgeField + "." + q.name, err.Error()}
		}
	}
	if j.MinSamples != nil {
		s.MinSamples = float64(*j.MinSamples)
	}
	if err := s.Check(); err != nil {
		return s, &Refused{judgeField, err.Error()}
	}
	return s, nil
}

// judged reports whether the arms can be compared in a step: both have users, or copies of
// the same requests.
func (p Plan) judged(step Step) bool {
	return p.Worker || step.Mirror || p.Routed && step.Weight > 0 && step.Weight < 100
}

// lastJudged is the index of the last step in which the arms can be compared, -1 if
// there is none.
func (p Plan) lastJudged() int {
	for i, step := range slices.Backward(p.Steps) {
		if p.judged(step) {
			return i
		}
	}
	return -1
}

// timeForVerdict is how long after the canary got users a release is inconclusive.
func (p Plan) timeForVerdict() time.Duration {
	return time.Duration(p.lastJudged()+1)*p.Interval + cmp.Or(p.Deadline, flaggerv1.DefaultProgressDeadline)
}

// Judges reports whether the judge is to compare the arms now: the release is in a step in
// which it can, users are where the step wants them, and nobody paused it.
func (p Plan) Judges(s State) bool {
	at := p.position(s)
	return p.Judge != nil && !p.Skip && analysing(s.Phase) && at >= 0 && p.judged(p.Steps[at]) && s.Fallback == nil && !paused(s.Hold)
}

// ShareDuring returns the canary's share of the users between two moments; it is zero if the
// weight does not say it, or was not the same all the time. ok is false if the arms could not be
// compared all the time, or if the canary was still warming up.
func (p Plan) ShareDuring(h History, from, to time.Time) (share float64, ok bool) {
	steps := h.current().Steps
	first := slices.IndexFunc(steps, p.recordJudged)
	if p.Judge == nil || first < 0 || from.Before(steps[first].At.Add(p.Judge.Warmup)) || from.Before(h.precedingEnd()) {
		return 0, false
	}
	begin, end := stepAt(steps, from), stepAt(steps, to)
	for _, step := range steps[begin : end+1] {
		if !p.recordJudged(step) {
			return 0, false
		}
	}
	known := p.Routed && !p.InPlace && p.Affinity == nil && !steps[begin].Mirror
	if begin != end || !known || from.Before(steps[begin].At.Add(judge.SettlesWithin)) {
		return 0, true
	}
	return float64(steps[begin].Weight) / 100, true
}

// recordJudged is [Plan.judged] of a step of the history.
func (p Plan) recordJudged(s flaggerv1.CanaryStep) bool {
	return p.judged(Step{Weight: s.Weight, Mirror: s.Mirror, Iteration: s.Iteration})
}

// stepAt is the index of the step that a release was in; the first one before it began.
func stepAt(steps []flaggerv1.CanaryStep, when time.Time) int {
	at := 0
	for i, step := range steps {
		if !step.At.After(when) {
			at = i
		}
	}
	return at
}

// isFailedByJudge reports whether the judge ends the release.
func isFailedByJudge(t transition) bool {
	said := t.seen.JudgeResult
	return t.seen.Plan.Judge != nil && said.Outcome == judge.Fail && !said.ThresholdsOnly &&
		t.prev.Started() && !paused(t.prev.Hold) && !promotionWasCommanded(t.prev)
}

// inLastJudgedStep reports whether users must not go on before the judge has decided.
func inLastJudgedStep(t transition) bool {
	plan := t.seen.Plan
	return plan.Judge != nil && !plan.Skip && plan.position(t.prev) == plan.lastJudged()
}

// awaitsVerdict reports whether the judge still has to decide. Where it is not to be trusted,
// thresholds do, if there are any.
func awaitsVerdict(t transition) bool {
	said := t.seen.JudgeResult
	thresholdsDecide := said.ThresholdsOnly && len(t.seen.Plan.Metrics) > 0
	passed := said.Outcome == judge.Pass && !said.ThresholdsOnly
	return inLastJudgedStep(t) && !passed && !thresholdsDecide && !t.prev.History.current().Unjudged
}

// hasVerdict reports whether the judge has passed the release since the last check, in a step that
// has lasted for an interval: it need not wait for the next one.
func hasVerdict(t transition) bool {
	said, release := t.seen.JudgeResult, t.prev.History.current()
	return inLastJudgedStep(t) && !awaitsVerdict(t) && said.Outcome == judge.Pass && said.Since.After(t.prev.At) &&
		!t.now.Before(plannedEnd(t, release))
}

// plannedEnd is when the step that a release is in should end.
func plannedEnd(t transition, release flaggerv1.CanaryRelease) time.Time {
	entered := t.prev.At
	if n := len(release.Steps); n > 0 {
		entered = release.Steps[n-1].At.Time
	}
	return entered.Add(t.seen.Plan.Interval)
}

// awaitVerdict remains in the step until the judge has decided or its time is up.
func awaitVerdict(t transition) Decision {
	t = t.from(withRelease(t))
	release, judging := t.prev.History.current(), t.seen.Plan.Judge
	why := whyUndecided(t)
	deadline := plannedEnd(t, release).Add(cmp.Or(t.seen.Plan.Deadline, flaggerv1.DefaultProgressDeadline))
	switch {
	case heldByPerson(t.prev.Hold):
		return holdStep(t)
	case inconclusive(t.prev.Hold) && t.prev.Hold.Approved:
		return t.then(unjudged(t), advance)
	case !t.now.After(deadline), inconclusive(t.prev.Hold):
		return holdStep(t)
	case judging.OnInconclusive == flaggerv1.InconclusivePromote:
		d := unjudged(t)
		d.alert(flaggerv1.SeverityWarn, "Going on with %s without a verdict of the judge: %s", t.seen.canary(), why)
		return t.then(d, advance)
	case judging.OnInconclusive == flaggerv1.InconclusiveRollback:
		d := Decision{State: t.prev.inconclusive(t.now)}
		d.alert(flaggerv1.SeverityError, "Rolling back %s the judge is inconclusive: %s", t.seen.canary(), why)
		return t.then(d, rollBack("the judge is inconclusive: "+why))
	default:
		return t.then(holdInconclusive(t, why), holdStep)
	}
}

// whyUndecided is what the judge says.
func whyUndecided(t transition) string {
	return cmp.Or(t.seen.JudgeResult.Text, "the judge has not compared anything yet")
}

// overtime says why a step lasts longer than its interval; empty if it does not.
func overtime(t transition) string {
	if release := t.prev.History.current(); !awaitsVerdict(t) || t.now.Before(plannedEnd(t, release)) {
		return ""
	}
	return "; " + whyUndecided(t)
}

// inconclusive is the state in which the judge's time is up.
func (s State) inconclusive(now time.Time) State {
	s.History = s.History.edit(func(r *flaggerv1.CanaryRelease) {
		if r.InconclusiveAt.IsZero() {
			r.InconclusiveAt = metav1.NewTime(now)
		}
	})
	return s
}

// unjudged is the decision to go on without a verdict.
func unjudged(t transition) Decision {
	d := Decision{State: t.prev.inconclusive(t.now)}
	d.State.Hold = nil
	d.State.History = d.State.History.edit(func(r *flaggerv1.CanaryRelease) { r.Unjudged = true })
	return d
}

// holdInconclusive leaves users where they are until a person decides.
func holdInconclusive(t transition, why string) Decision {
	d := Decision{State: t.prev.inconclusive(t.now)}
	d.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldInconclusive, By: "the judge", Since: metav1.NewTime(t.now)}
	d.alert(flaggerv1.SeverityWarn, "Halt %s advancement the judge is inconclusive: %s", t.seen.canary(), why)
	return d
}

// endInconclusive ends a hold that a verdict has made needless.
func endInconclusive(t transition) Decision {
	d := t.unchanged()
	if inconclusive(t.prev.Hold) {
		d.State.Hold = nil
	}
	return d
}

// explainVerdict says why a release leaves the last step in which it was compared.
func explainVerdict(t transition) Decision {
	d := t.unchanged()
	switch said := t.seen.JudgeResult; {
	case !inLastJudgedStep(t) || t.prev.History.current().Unjudged:
	case said.ThresholdsOnly:
		d.warn("Going on with %s by its thresholds alone: %s", t.seen.canary(), said.Text)
	default:
		d.alert(flaggerv1.SeverityInfo, "The judge passed %s: %s", t.seen.canary(), said.Text)
	}
	return d
}

// Words says what a verdict is based on: all that speaks for it.
func Words(v judge.Verdict) string {
	text := ""
	for _, f := range v.Findings {
		if f.Outcome == v.Outcome {
			text += "; " + f.Text
		}
	}
	if text == "" {
		return fmt.Sprintf("the judge says %s", v.Outcome)
	}
	return text[2:]
}
