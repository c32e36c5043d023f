// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge"
)

// judgedAt is [at] with a judge, in a step that was entered so long ago.
func judgedAt(weight int, entered time.Duration, said JudgeResult) situation {
	return edited(at(flaggerv1.CanaryPhaseProgressing, weight), func(s *situation) {
		s.Plan.Judge = &JudgeConfig{Settings: judge.Default(), Kinds: []judge.Kind{judge.Errors}, OnInconclusive: flaggerv1.InconclusiveHold}
		s.Plan.Deadline, s.JudgeResult = 10*time.Minute, said
		s.State.History = History{{Revision: v2, StartedAt: metav1.NewTime(noon.Add(-time.Hour)),
			Steps: []flaggerv1.CanaryStep{{Weight: weight, At: metav1.NewTime(noon.Add(-entered))}}}}
	})
}

func TestAReleaseIsJudged(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	worse := JudgeResult{Outcome: judge.Fail, Text: "errors 4.1 times the primary's", Since: noon}
	better := JudgeResult{Outcome: judge.Pass, Text: "errors not 2 times as bad as the primary's", Since: noon.Add(-time.Second)}
	open := JudgeResult{Outcome: judge.Undecided, Text: "errors 1.2 times the primary's, undecided"}
	otherShares := JudgeResult{Outcome: judge.Mismatch, Text: "the canary got 2 times the requests that its weight says"}
	distrusted := func(j JudgeResult) JudgeResult {
		j.ThresholdsOnly = true
		return j
	}
	inconclusive := func(approved bool) func(*situation) {
		return func(s *situation) {
			s.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldInconclusive, By: "the judge", Approved: approved}
			s.State.History = s.State.inconclusive(noon.Add(-time.Minute)).History
		}
	}
	stays := decisionCase{wantPhase: progressing, wantWeight: 50, wantApplied: v2, wantPromoted: v1}
	promotes := decisionCase{wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 50, wantApplied: v2, wantPromoted: v1}
	copied := "Copying podinfo.test template spec to podinfo-primary.test (request-success-rate 99.80%)"
	rolledBack := decisionCase{wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1, wantResult: ResultFailed,
		wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"}}
	with := func(base decisionCase, given situation, events string) decisionCase {
		base.given, base.wantEvents = given, events
		return base
	}
	held := func(base decisionCase, hold string) decisionCase {
		base.wantHold = hold
		return base
	}
	for name, tc := range map[string]decisionCase{
		"a canary that is worse is rolled back before its next check": with(rolledBack,
			edited(judgedAt(20, time.Second, worse), func(s *situation) { s.State.At = noon.Add(-time.Second) }),
			"Rolling back podinfo.test at once, errors 4.1 times the primary's\nCanary failed! Scaling down podinfo.test"),
		"a judge that failed its test of itself rolls nothing back": {given: judgedAt(20, time.Minute, distrusted(worse)),
			wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{60 40 false}}"},
			wantEvents: "Advance podinfo.test canary weight 40 (request-success-rate 99.80%)"},
		"a step that is not the last is left undecided": {given: judgedAt(20, time.Minute, open), wantPhase: progressing,
			wantWeight: 40, wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{60 40 false}}"},
			wantEvents: "Advance podinfo.test canary weight 40 (request-success-rate 99.80%)"},
		"the last step lasts until the judge has decided":  with(stays, judgedAt(50, 5*time.Minute, open), ""),
		"a judge that has not looked yet is waited for":    with(stays, judgedAt(50, 5*time.Minute, JudgeResult{}), ""),
		"other shares than the weight says are no verdict": with(stays, judgedAt(50, 5*time.Minute, otherShares), ""),
		"a canary that passes is promoted": with(promotes, judgedAt(50, 5*time.Minute, better),
			"The judge passed podinfo.test: errors not 2 times as bad as the primary's\n"+copied),
		"a verdict in the last step ends the waiting at once": with(promotes,
			edited(judgedAt(50, 5*time.Minute, better), func(s *situation) { s.State.At = noon.Add(-10 * time.Second) }),
			"The judge passed podinfo.test: errors not 2 times as bad as the primary's\n"+copied),
		"a verdict does not shorten a step": with(stays,
			edited(judgedAt(50, 10*time.Second, better), func(s *situation) { s.State.At = noon.Add(-10 * time.Second) }), ""),
		"a check that a verdict made early is made once": with(stays,
			edited(judgedAt(50, 5*time.Minute, better), func(s *situation) { s.State.At = noon }), ""),
		"thresholds decide while the judge is not to be trusted": with(promotes, judgedAt(50, time.Minute, distrusted(open)),
			"Going on with podinfo.test by its thresholds alone: errors 1.2 times the primary's, undecided\n"+copied),
		"without thresholds nothing decides in the judge's place": with(stays,
			edited(judgedAt(50, time.Minute, distrusted(better)), func(s *situation) { s.Plan.Metrics, s.Measured = nil, nil }), ""),
		"a failed check still counts": {given: edited(judgedAt(50, time.Minute, better), func(s *situation) { s.Measured[0].Value = 50 }),
			wantPhase: progressing, wantWeight: 50, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement success rate 50.00% < 99%"},
		"when the time is up a person decides": with(held(stays, "inconclusive by the judge"), judgedAt(50, 12*time.Minute, open),
			"Halt podinfo.test advancement the judge is inconclusive: errors 1.2 times the primary's, undecided"),
		"who waits for a person is told of once": with(held(stays, "inconclusive by the judge"),
			edited(judgedAt(50, 20*time.Minute, open), inconclusive(false)), ""),
		"a person may go on without a verdict": with(promotes, edited(judgedAt(50, 20*time.Minute, open), inconclusive(true)), copied),
		"a verdict ends the wait for a person": with(promotes, edited(judgedAt(50, 20*time.Minute, better), inconclusive(false)),
			"The judge passed podinfo.test: errors not 2 times as bad as the primary's\n"+copied),
		"when the time is up the release goes on, if the owner wants that": with(promotes,
			edited(judgedAt(50, 12*time.Minute, open), func(s *situation) { s.Plan.Judge.OnInconclusive = flaggerv1.InconclusivePromote }),
			"Going on with podinfo.test without a verdict of the judge: errors 1.2 times the primary's, undecided\n"+copied),
		"when the time is up it is rolled back, if the owner wants that": with(rolledBack,
			edited(judgedAt(50, 12*time.Minute, open), func(s *situation) { s.Plan.Judge.OnInconclusive = flaggerv1.InconclusiveRollback }),
			"Rolling back podinfo.test the judge is inconclusive: errors 1.2 times the primary's, undecided\n"+
				"Canary failed! Scaling down podinfo.test"),
		"what a person halted is not given up": with(held(stays, "halt by bob"),
			edited(judgedAt(50, 12*time.Minute, open), func(s *situation) {
				s.Plan.Judge.OnInconclusive = flaggerv1.InconclusiveRollback
				s.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldHalt, By: "bob"}
			}), ""),
		"a gate behind the verdict does not ask for it again": with(held(decisionCase{wantPhase: flaggerv1.CanaryPhaseWaitingPromotion,
			wantWeight: 50, wantApplied: v2, wantPromoted: v1}, "gate confirm-promotion by annotation sluice.dev/gates"),
			edited(judgedAt(50, 20*time.Minute, open), func(s *situation) {
				inconclusive(true)(s)
				s.Plan.Gates = []flaggerv1.HookType{flaggerv1.ConfirmPromotionHook}
			}), "Halt podinfo.test advancement waiting for promotion approval annotation sluice.dev/gates"),
		"steps without users of the primary are not waited in": {given: edited(judgedAt(100, time.Minute, open), func(s *situation) {
			s.Plan.Steps = []Step{{Weight: 50}, {Weight: 100}}
		}), wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantEvents: copied},
	} {
		t.Run(name, tc.run)
	}
}

func TestAnApprovalWithoutAVerdictIsRecorded(t *testing.T) {
	s := judgedAt(50, 12*time.Minute, JudgeResult{})
	s.State.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldInconclusive}
	s.Command = &flaggerv1.CanaryCommand{Verb: flaggerv1.CommandApprove, By: "bob"}
	d, err := s.decide()
	if err != nil || d.State.LastCommand.Outcome != "the release goes on without a verdict of the judge" {
		t.Fatalf("%v, %v", d.State.LastCommand, err)
	}
	if r := d.State.History.current(); !r.Unjudged || r.InconclusiveAt.IsZero() || d.State.Phase != flaggerv1.CanaryPhasePromoting {
		t.Errorf("%s %+v", d.State.Phase, r)
	}
}

func TestWhatTheJudgeNeeds(t *testing.T) {
	for name, tc := range map[string]struct {
		provider  string
		edit      func(*flaggerv1.CanarySpec)
		wantField string
		wantJudge *JudgeConfig
	}{
		"the defaults": {"istio", func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight = 10 }, "", &JudgeConfig{
			Settings: judge.Default(), Kinds: []judge.Kind{judge.Errors, judge.Latency}, OnInconclusive: flaggerv1.InconclusiveHold,
			Every: 10 * time.Second}},
		"everything set": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight = 10
			*s.Analysis.Judge = flaggerv1.CanaryJudge{Alpha: "0.001", Beta: "0.1", Regression: "5", Tolerated: "1.25", Warmup: "30s",
				Negligible:     "0.01",
				Metrics:        []flaggerv1.JudgeMetric{flaggerv1.JudgeThroughput, flaggerv1.JudgeErrors},
				OnInconclusive: flaggerv1.InconclusivePromote, MinSamples: ptr.To(int64(7))}
			s.Analysis.Sampling = &flaggerv1.CanarySampling{Interval: "2s", Disabled: true}
		}, "", &JudgeConfig{
			Settings: judge.Settings{Alpha: 0.001, Beta: 0.1, Tolerated: 1.25, Regression: 5, Negligible: 0.01, MinSamples: 7},
			Kinds:    []judge.Kind{judge.Errors, judge.Throughput}, Named: true,
			OnInconclusive: flaggerv1.InconclusivePromote,
			Warmup:         30 * time.Second, Every: 2 * time.Second}},
		"users who were chosen": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.Iterations, s.Analysis.Match = 2, make([]flaggerv1.HTTPMatchRequest, 1)
		}, judgeField, nil},
		"blue/green with copies of the requests": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.Iterations, s.Analysis.Mirror = 2, true
		}, "", &JudgeConfig{Settings: judge.Default(), Kinds: []judge.Kind{judge.Errors, judge.Latency},
			OnInconclusive: flaggerv1.InconclusiveHold, Every: 10 * time.Second}},
		"throughput of copies": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.Iterations, s.Analysis.Mirror = 2, true
			s.Analysis.Judge.Metrics = []flaggerv1.JudgeMetric{flaggerv1.JudgeThroughput}
		}, judgeField + ".metrics", nil},
		"blue/green without users": {"istio", func(s *flaggerv1.CanarySpec) { s.Analysis.Iterations = 2 }, judgeField, nil},
		"no users of the primary":  {"istio", func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight = 100 }, judgeField, nil},
		"a worker without a template": {"", func(s *flaggerv1.CanarySpec) {
			s.Service.Port, s.Analysis.Iterations = 0, 2
		}, judgeField + ".templateRef", nil},
		"a worker": {"", func(s *flaggerv1.CanarySpec) {
			s.Service.Port, s.Analysis.Iterations = 0, 2
			s.Analysis.Judge.TemplateRef = &flaggerv1.CrossNamespaceObjectReference{Name: "jobs"}
		}, "", &JudgeConfig{Settings: judge.Default(), Kinds: []judge.Kind{judge.Errors}, OnInconclusive: flaggerv1.InconclusiveHold,
			Every: 10 * time.Second}},
		"throughput with cookies": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.Analysis.SessionAffinity = 10, &flaggerv1.SessionAffinity{CookieName: "c"}
			s.Analysis.Judge.Metrics = []flaggerv1.JudgeMetric{flaggerv1.JudgeThroughput}
		}, judgeField + ".metrics", nil},
		"a regression that is tolerated": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.Analysis.Judge.Tolerated = 10, "3"
		}, judgeField, nil},
		"no number": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.Analysis.Judge.Alpha = 10, "little"
		}, judgeField + ".alpha", nil},
		"a warm-up that is longer than a release waits": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.Interval, s.Analysis.StepWeight, s.Analysis.MaxWeight, s.Analysis.Judge.Warmup = "1m", 10, 20, "12m"
			s.ProgressDeadlineSeconds = ptr.To(int32(600))
		}, judgeField + ".warmup", nil},
		"a warm-up of a day": {"istio", func(s *flaggerv1.CanarySpec) {
			s.Analysis.StepWeight, s.Analysis.Judge.Warmup = 10, "1440m"
		}, judgeField + ".warmup", nil},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := NewPlan(object(tc.provider, func(s *flaggerv1.CanarySpec) {
				s.Analysis.Judge = &flaggerv1.CanaryJudge{}
				tc.edit(s)
			}), PlanSettings{Provider: "kubernetes"})
			if refused := (*Refused)(nil); errors.As(err, &refused) != (tc.wantField != "") || refused != nil && refused.Field != tc.wantField {
				t.Fatalf("refused: %v", err)
			}
			if diff := cmp.Diff(tc.wantJudge, plan.Judge); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheExampleOfThePageIsServed(t *testing.T) {
	page, err := os.ReadFile("../docs/judge.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	c := &flaggerv1.Canary{}
	if err := yaml.UnmarshalStrict([]byte(text), c); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	plan, err := NewPlan(c, PlanSettings{Provider: "kubernetes"})
	if err != nil || plan.Judge == nil || plan.Judge.Settings != judge.Default() || plan.Judge.Every != 5*time.Second || len(plan.Steps) != 3 {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestWhichWindowsCount(t *testing.T) {
	plan := Plan{Routed: true, Steps: []Step{{Weight: 10}, {Weight: 50}, {Weight: 100}}, Judge: &JudgeConfig{Warmup: 30 * time.Second}}
	steps := []flaggerv1.CanaryStep{{Weight: 10, At: metav1.NewTime(noon)}, {Weight: 50, At: metav1.NewTime(noon.Add(5 * time.Minute))},
		{Weight: 100, At: metav1.NewTime(noon.Add(10 * time.Minute))}}
	for name, tc := range map[string]struct {
		edit      func(*Plan)
		from, to  time.Duration
		wantShare float64
		want      bool
	}{
		"before the release":             {from: -time.Minute, to: -30 * time.Second},
		"while the canary warms up":      {from: 20 * time.Second, to: 40 * time.Second},
		"in the first step":              {from: 40 * time.Second, to: 50 * time.Second, wantShare: 0.1, want: true},
		"over a change of the weight":    {from: 295 * time.Second, to: 305 * time.Second, want: true},
		"before proxies know the weight": {from: 305 * time.Second, to: 315 * time.Second, want: true},
		"in the second step":             {from: 320 * time.Second, to: 330 * time.Second, wantShare: 0.5, want: true},
		"into a step without a primary":  {from: 595 * time.Second, to: 605 * time.Second},
		"with cookies no weight says who goes where": {edit: func(p *Plan) { p.Affinity = &flaggerv1.SessionAffinity{} },
			from: 320 * time.Second, to: 330 * time.Second, want: true},
		"without a judge": {edit: func(p *Plan) { p.Judge = nil }, from: 320 * time.Second, to: 330 * time.Second},
	} {
		p := plan
		if tc.edit != nil {
			tc.edit(&p)
		}
		share, ok := p.ShareDuring(History{{Steps: steps}}, noon.Add(tc.from), noon.Add(tc.to))
		if share != tc.wantShare || ok != tc.want {
			t.Errorf("%s: %v %v", name, share, ok)
		}
	}
	steps[1].Mirror = true
	if share, ok := plan.ShareDuring(History{{Steps: steps}}, noon.Add(320*time.Second), noon.Add(330*time.Second)); share != 0 || !ok {
		t.Errorf("copies of requests, which are as many as the requests: %v %v", share, ok)
	}
	// A release that began in the second in which the one before was rolled back was judged by what that one had failed.
	plan.Judge.Warmup = 0
	follows := History{{Steps: []flaggerv1.CanaryStep{{Weight: 10, At: metav1.NewTime(noon)}}}, {EndedAt: metav1.NewTime(noon)}}
	for from, want := range map[time.Duration]bool{0: false, 900 * time.Millisecond: false, time.Second: true} {
		if _, ok := plan.ShareDuring(follows, noon.Add(from), noon.Add(5*time.Second)); ok != want {
			t.Errorf("%s after the release before: %v, want %v", from, ok, want)
		}
	}
	if _, ok := plan.ShareDuring(nil, noon, noon); ok {
		t.Error("no release is compared")
	}
}

func TestWhatTakesHowLongIsSaidBeforeTheRelease(t *testing.T) {
	plan := Plan{Routed: true, Interval: time.Minute, Steps: []Step{{Weight: 10}, {Weight: 50}},
		Judge: &JudgeConfig{Settings: judge.Default(), Kinds: []judge.Kind{judge.Errors}, OnInconclusive: flaggerv1.InconclusiveHold}}
	const late = "a good release passes too late: its time is up after 12 minutes, and onInconclusive (hold) decides"
	for want, traffic := range map[string]judge.TrafficProfile{
		"": {},
		"at 10 requests a second without errors a release that is as good passes after about 16 minutes; " + late: {Requests: 10},
		"at 10 requests a second and 0.1 % errors a release that is as good passes after about 3 hours, " +
			"2 times the errors are found after about 3 hours, 5 times after about 16 minutes; " + late: {Requests: 10, Rate: 0.001, Dispersion: 1},
		"at 500 requests a second and 1 % errors a release that is as good passes after about 44 seconds, " +
			"2 times the errors are found after about 40 seconds, 5 times after about 4 seconds": {Requests: 500, Rate: 0.01, Dispersion: 1},
	} {
		if got := plan.Outlook(Usual{Errors: traffic}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	slow := Usual{Errors: judge.TrafficProfile{Requests: 500, Rate: 0.01},
		Slow: judge.TrafficProfile{Requests: 500, Rate: 0.02}, Over: 250 * time.Millisecond}
	if got := plan.Outlook(slow); strings.Contains(got, "over") {
		t.Errorf("the latency, which is not compared: %q", got)
	}
	plan.Judge.Kinds = append(plan.Judge.Kinds, judge.Latency)
	if got, want := plan.Outlook(slow), "; with 2 % of the requests over 250ms a release that is as fast passes after about 22 seconds, "+
		"2 times as many are found after about 22 seconds, 5 times after about 3 seconds"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q at the end", got, want)
	}
	for named, want := range map[bool]string{
		false: "; latency is not compared: no histogram of both arms counts how long requests take",
		true:  "; no release can pass: no histogram of both arms counts how long requests take, and spec.analysis.judge.metrics names latency",
	} {
		plan.Judge.Named = named
		if got := plan.Outlook(Usual{Errors: slow.Errors}); !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %q at the end", got, want)
		}
	}
	plan.Judge.Kinds, plan.Judge.Warmup = plan.Judge.Kinds[:1], 90*time.Second
	if got, want := plan.Outlook(Usual{Errors: slow.Errors}), "5 times after about 92 seconds"; !strings.HasSuffix(got, want) {
		t.Errorf("while it warms up: got %q, want %q at the end", got, want)
	}
	plan.Judge.Warmup, plan.Judge.Settings.MinSamples = 0, 1e6
	if got, want := plan.Outlook(Usual{Errors: slow.Errors}), "5 times after about 68 minutes; "+late; !strings.HasSuffix(got, want) {
		t.Errorf("with minSamples: got %q, want %q at the end", got, want)
	}
	plan.Judge.Settings.MinSamples, plan.Judge.Settings.Negligible = 50, 0
	if got, want := plan.Outlook(Usual{Errors: judge.TrafficProfile{Requests: 10}}),
		"at 10 requests a second without errors there is nothing to pass a release by: onInconclusive (hold) decides"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWords(t *testing.T) {
	v := judge.Verdict{Outcome: judge.Fail, Findings: []judge.Finding{{Outcome: judge.Pass, Text: "a"}, {Outcome: judge.Fail, Text: "b"},
		{Outcome: judge.Fail, Text: "c"}}}
	if got := Words(v); got != "b; c" {
		t.Errorf("got %q", got)
	}
	if got := Words(judge.Verdict{Outcome: judge.Undecided}); !strings.Contains(got, "Undecided") {
		t.Errorf("got %q", got)
	}
}
