package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func ptr[T any](v T) *T { return &v }

// ago is so long before now that nobody can tell the difference a test takes.
func ago(d time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(-d)) }

// progressing is a canary in the second of three steps.
func progressing() *flaggerv1.Canary {
	return &flaggerv1.Canary{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "podinfo"},
		Spec: flaggerv1.CanarySpec{
			Provider:  "gatewayapi:v1",
			TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"},
			Service:   flaggerv1.CanaryService{Port: 80},
			Analysis: &flaggerv1.CanaryAnalysis{
				Interval: "30s", Threshold: 3, StepWeight: 20, MaxWeight: 60,
				Metrics: []flaggerv1.CanaryMetric{
					{Name: "request-success-rate", Interval: "1m", ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: ptr(99.0)}},
					{Name: "queue", TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "depth"}, ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: ptr(1.0), Max: ptr(5.0)}},
				},
			},
		},
		Status: flaggerv1.CanaryStatus{
			Phase: flaggerv1.CanaryPhaseProgressing, CanaryWeight: 40, FailedChecks: 1,
			LastAppliedSpec: "sha256:bbbbbbbbbb", LastPromotedSpec: "sha256:aaaaaaaaaa", LastTransitionTime: ago(5*time.Minute + 500*time.Millisecond),
			Conditions: []flaggerv1.CanaryCondition{{Type: "Ready", Status: metav1.ConditionUnknown, Reason: "Progressing", Message: "stage 2 of 3"}},
			History: []flaggerv1.CanaryRelease{{
				Revision: "sha256:bbbbbbbbbb", Images: []string{"ghcr.io/acme/podinfo:6.1.0", "envoy:1"}, StartedAt: ago(6 * time.Minute),
				Steps: []flaggerv1.CanaryStep{
					{Weight: 20, At: ago(6 * time.Minute), Measured: []flaggerv1.CanaryMeasurement{
						{Name: "request-success-rate", Value: ptr(99.9)}, {Name: "queue", Value: ptr(2.0)}}},
					{Weight: 40, At: ago(5*time.Minute + 500*time.Millisecond), FailedChecks: 1, Measured: []flaggerv1.CanaryMeasurement{
						{Name: "request-success-rate", Value: ptr(62.5), Failure: "success rate 62.50% < 99%"}, {Name: "queue", Failure: "no values"}}},
				},
			}},
		},
	}
}

func TestStandingOfACanary(t *testing.T) {
	gate := func(approved bool) *flaggerv1.CanaryHold {
		return &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: flaggerv1.ConfirmPromotionHook, Since: ago(time.Minute), Approved: approved}
	}
	tests := map[string]struct {
		change func(*flaggerv1.Canary)
		want   string
	}{
		"in a step": {func(*flaggerv1.Canary) {}, "apps podinfo Progressing 40 podinfo:6.1.0 +1 2/3 1/3  5m bbbbbbb"},
		"suspended": {func(c *flaggerv1.Canary) { c.Spec.Suspend = true }, "apps podinfo Progressing 40 podinfo:6.1.0 +1 2/3 1/3 suspended 5m bbbbbbb"},
		"halted by somebody": {func(c *flaggerv1.Canary) { c.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldHalt, By: "eve"} },
			"apps podinfo Progressing 40 podinfo:6.1.0 +1 2/3 1/3 halt by eve 5m bbbbbbb"},
		"at a gate": {func(c *flaggerv1.Canary) { c.Status.Hold = gate(false) },
			"apps podinfo Progressing 40 podinfo:6.1.0 +1 2/3 1/3 confirm-promotion 5m bbbbbbb"},
		"let through a gate": {func(c *flaggerv1.Canary) { c.Status.Hold = gate(true) },
			"apps podinfo Progressing 40 podinfo:6.1.0 +1 2/3 1/3 confirm-promotion (approved) 5m bbbbbbb"},
		"promoting": {func(c *flaggerv1.Canary) { c.Status.Phase = flaggerv1.CanaryPhasePromoting },
			"apps podinfo Promoting 40 podinfo:6.1.0 +1 3/3 1/3  5m bbbbbbb"},
		"at rest": {func(c *flaggerv1.Canary) { c.Status.Phase, c.Status.CanaryWeight = flaggerv1.CanaryPhaseSucceeded, 0 },
			"apps podinfo Succeeded 0 podinfo:6.1.0 +1  1/3  5m bbbbbbb"},
		"blue/green": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.StepWeight, c.Spec.Analysis.Iterations = 0, 5
			c.Status.CanaryWeight, c.Status.Iterations = 0, 3
		}, "apps podinfo Progressing 0 podinfo:6.1.0 +1 3/6 1/3  5m bbbbbbb"},
		"a spec that is refused": {func(c *flaggerv1.Canary) { c.Spec.Analysis.Interval = "1mx" },
			"apps podinfo Progressing 40 podinfo:6.1.0 +1  1/3  5m bbbbbbb"},
		"never looked at": {func(c *flaggerv1.Canary) { c.Status = flaggerv1.CanaryStatus{} }, "apps podinfo  0   0/3   "},
		"pinned by digest": {func(c *flaggerv1.Canary) { c.Status.History[0].Images = []string{"x/y@sha256:0123456789"} },
			"apps podinfo Progressing 40 y@0123456 2/3 1/3  5m bbbbbbb"},
		"an image of another revision": {func(c *flaggerv1.Canary) { c.Status.History[0].Revision = "sha256:cc" },
			"apps podinfo Progressing 40  2/3 1/3  5m bbbbbbb"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := progressing()
			tc.change(c)
			same(t, "row", strings.Join(standingOf(c).row()[:10], " "), tc.want)
		})
	}
}

func TestCommandsThatMakeNoSenseAreRefused(t *testing.T) {
	phase := func(p flaggerv1.CanaryPhase) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) { c.Status.Phase = p }
	}
	hold := func(h flaggerv1.CanaryHold) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) { h.Since = ago(time.Minute); c.Status.Hold = &h }
	}
	tests := map[string]struct {
		verb   flaggerv1.CommandVerb
		change func(*flaggerv1.Canary)
		want   string // part of it; empty is sensible
	}{
		"approving nothing":                {flaggerv1.CommandApprove, phase("Progressing"), "is held by nothing; it is Progressing"},
		"approving a gate":                 {flaggerv1.CommandApprove, hold(flaggerv1.CanaryHold{Kind: "gate", Gate: "confirm-rollout"}), ""},
		"approving twice":                  {flaggerv1.CommandApprove, hold(flaggerv1.CanaryHold{Kind: "gate", Gate: "confirm-rollout", Approved: true}), "gate confirm-rollout already"},
		"approving what Flagger left":      {flaggerv1.CommandApprove, phase("WaitingPromotion"), ""},
		"ending a halt":                    {flaggerv1.CommandApprove, hold(flaggerv1.CanaryHold{Kind: "halt"}), ""},
		"halting":                          {flaggerv1.CommandHalt, phase("Progressing"), ""},
		"halting twice":                    {flaggerv1.CommandHalt, hold(flaggerv1.CanaryHold{Kind: "halt", By: "eve"}), "is halted already by eve for "},
		"halting what is paused":           {flaggerv1.CommandHalt, hold(flaggerv1.CanaryHold{Kind: "pause", By: "eve"}), ""},
		"halting at rest":                  {flaggerv1.CommandHalt, phase("Succeeded"), "has no release under way; it is Succeeded"},
		"pausing a promotion":              {flaggerv1.CommandPause, phase("Promoting"), "is past its analysis; it is Promoting"},
		"aborting at a gate":               {flaggerv1.CommandAbort, phase("Waiting"), ""},
		"aborting what was never seen":     {flaggerv1.CommandAbort, phase(""), "it is not looked at yet"},
		"promoting what failed":            {flaggerv1.CommandPromote, phase("Failed"), "has no release under way; it is Failed"},
		"retrying what failed":             {flaggerv1.CommandRetry, phase("Failed"), ""},
		"retrying what is still under way": {flaggerv1.CommandRetry, phase("Progressing"), "has not failed; it is Progressing"},
		"anything while suspended":         {flaggerv1.CommandAbort, func(c *flaggerv1.Canary) { c.Spec.Suspend = true }, "spec.suspend is false"},
		"anything while deleted":           {flaggerv1.CommandAbort, func(c *flaggerv1.Canary) { c.DeletionTimestamp = ptr(metav1.Now()) }, "is being deleted"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := progressing()
			tc.change(c)
			got := objection(c, tc.verb)
			if got != "" != (tc.want != "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestOutcomeOfACommand(t *testing.T) {
	command := flaggerv1.CanaryCommand{Verb: flaggerv1.CommandHalt, At: metav1.NewMicroTime(time.Now().Truncate(time.Microsecond)), By: "eve"}
	given := func(outcome string) *flaggerv1.Canary {
		c := progressing()
		c.Annotations = map[string]string{flaggerv1.CommandAnnotation: command.String()}
		if outcome != "" {
			last := command
			last.Outcome = outcome
			c.Status.LastCommand = &last
		}
		return c
	}
	replaced := given("")
	replaced.Annotations[flaggerv1.CommandAnnotation] = "abort 2026-01-01T00:00:00Z bob"
	tests := map[string]struct {
		canary        *flaggerv1.Canary
		want, wantErr string
	}{
		"not yet":     {given(""), "", ""},
		"carried out": {given("the release is halted"), "the release is halted", ""},
		"refused":     {given("refused: no release is under way"), "", "refuses to halt apps/podinfo: no release is under way"},
		"replaced":    {replaced, "", "replaced before it was carried out, by: abort 2026-01-01T00:00:00Z bob"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := outcome(tc.canary, command)
			same(t, "outcome", got, tc.want)
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("got %v, want %q", err, tc.wantErr)
			}
		})
	}
	if pending(given("")) == nil || pending(given("x")) != nil || pending(progressing()) != nil {
		t.Error("a command is pending from when it is given to when it is carried out")
	}
}

func TestEndOfTheReleaseThatIsFollowed(t *testing.T) {
	type look struct{ phase, revision string }
	tests := map[string]struct {
		looks   []look
		want    bool
		wantErr string
	}{
		"a release that is under way is promoted": {[]look{{"Progressing", "b"}, {"Promoting", "b"}, {"Finalising", "b"}, {"Succeeded", "b"}}, true, ""},
		"it goes on":                       {[]look{{"Progressing", "b"}, {"Promoting", "b"}}, false, ""},
		"it is rolled back":                {[]look{{"Progressing", "b"}, {"Failed", "b"}}, true, "rolled back: too many errors"},
		"Git took it back":                 {[]look{{"Progressing", "b"}, {"Initialized", "a"}}, true, "ended without a promotion"},
		"the last one is not this one":     {[]look{{"Succeeded", "a"}}, false, ""},
		"the one before failed":            {[]look{{"Failed", "a"}, {"Progressing", "b"}, {"Succeeded", "b"}}, true, ""},
		"it came and went unseen":          {[]look{{"Succeeded", "a"}, {"Succeeded", "b"}}, true, ""},
		"the first version of all":         {[]look{{"Initializing", ""}, {"Initialized", "a"}}, true, ""},
		"another revision came in between": {[]look{{"Progressing", "b"}, {"Progressing", "c"}, {"Failed", "c"}}, true, "rolled back"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var e ending
			var done bool
			var err error
			for i, l := range tc.looks {
				c := progressing()
				c.Status.Phase, c.Status.LastAppliedSpec, c.Status.LastPromotedSpec = flaggerv1.CanaryPhase(l.phase), l.revision, ""
				c.Status.History[0].Reason = "too many errors"
				if done, err = e.judge(c); done && i+1 < len(tc.looks) {
					t.Fatalf("done after %v", l)
				}
			}
			if done != tc.want || (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("done %v, %v; want %v, %q", done, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestReleasesAreToldWithWhatTheyMeasured(t *testing.T) {
	c := progressing()
	c.Status.History = append(c.Status.History, flaggerv1.CanaryRelease{
		Revision: "sha256:aaaaaaaaaa", StartedAt: ago(3 * time.Hour), EndedAt: ago(2*time.Hour + time.Minute), Verdict: "promoted", Reason: "promotion was commanded\x1b[2J", By: "eve"})
	var p page
	p.releases(c)
	var out bytes.Buffer
	if err := p.writeTo(&out); err != nil {
		t.Fatal(err)
	}
	same(t, "releases", out.String(), `Release of podinfo:6.1.0 +1 (revision bbbbbbb), under way for 6m
  STEP  LASTED     FAILED  METRIC                VALUE   GOOD             WHY NOT
  20%   59s                request-success-rate  99.90%  at least 99.00%
                           queue                 2.00    1.00 to 5.00
  40%   5m so far  1       request-success-rate  62.50%  at least 99.00%  success rate 62.50% < 99%
                           queue                 none    1.00 to 5.00     no values

Release (revision aaaaaaa), promoted by eve after 59m, 121m ago
  reason  promotion was commanded [2J
`)
}

func TestSpecInPlainWords(t *testing.T) {
	tests := map[string]struct {
		change func(*flaggerv1.Canary)
		want   []string
	}{
		"a canary": {func(*flaggerv1.Canary) {}, []string{
			"users come by Service podinfo, to podinfo-primary or podinfo-canary; provider gatewayapi:v1",
			"strategy canary: 20%, 40%, 60% of the users, 30s each",
			"metric request-success-rate: at least 99.00% over 1m",
			"metric queue: 1.00 to 5.00, by MetricTemplate apps/depth",
			"roll back after 3 failed checks, or at once when a metric is bad in 13 samples in a row, one every 5s",
		}},
		"many steps": {func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeight = 5 }, []string{
			"strategy canary: 5%, 10%, 15%, 20%, 25%, 30%, 35%, 40%, ..., 60% of the users, 30s each"}},
		"blue/green": {func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeight, c.Spec.Analysis.Iterations = 0, 5 }, []string{
			"strategy blue/green: 5 checks without users, 30s each"}},
		"A/B": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.StepWeight, c.Spec.Analysis.Iterations = 0, 5
			c.Spec.Analysis.Match = []flaggerv1.HTTPMatchRequest{{Headers: map[string]flaggerv1.StringMatch{"x-beta": {}}}}
		}, []string{"strategy A/B: users whom analysis.match selects (header x-beta), for 5 checks, 30s each"}},
		"unmeasured": {func(c *flaggerv1.Canary) { c.Spec.SkipAnalysis = true }, []string{
			"strategy promoted as soon as it is ready, unmeasured"}},
		"gates": {func(c *flaggerv1.Canary) {
			c.Annotations = map[string]string{flaggerv1.GatesAnnotation: "confirm-promotion"}
		}, []string{"gates confirm-promotion"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := progressing()
			tc.change(c)
			var got []string
			for _, row := range specRows(c) {
				got = append(got, strings.Join(row, " "))
			}
			for _, want := range tc.want {
				if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+want+"\n") {
					t.Errorf("%q is missing in\n%s", want, strings.Join(got, "\n"))
				}
			}
		})
	}
}

func TestAddressesOfWebhooksAreNotShown(t *testing.T) {
	c := progressing()
	c.Spec.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "gate", Type: flaggerv1.ConfirmPromotionHook, URL: "http://u:secret@x/"}}
	for _, row := range specRows(c) {
		if strings.Contains(strings.Join(row, " "), "secret") {
			t.Errorf("got %q", row)
		}
	}
}

func TestScreenRedrawsInPlaceAndNeverWraps(t *testing.T) {
	var out bytes.Buffer
	height := 24
	s := &screen{out: &out, root: "sluice", all: map[client.ObjectKey]standing{}, size: func() (int, int) { return 40, height }}
	resting := progressing()
	resting.Name, resting.Status.Phase, resting.Status.CanaryWeight = "another", flaggerv1.CanaryPhaseSucceeded, 0
	c := progressing()
	for _, shown := range []*flaggerv1.Canary{resting, c} {
		if err := s.show(client.ObjectKeyFromObject(shown), standingOf(shown)); err != nil {
			t.Fatal(err)
		}
	}
	out.Reset()
	c.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldHalt, By: "eve", Since: ago(time.Minute)}
	if err := s.show(client.ObjectKeyFromObject(c), standingOf(c)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "\x1b[3A\r\x1b[2KNAMESPACE   NAME      PHASE ") || !strings.HasSuffix(out.String(), "\x1b[J") {
		t.Errorf("got %q", out.String())
	}
	for line := range strings.SplitSeq(out.String(), "\r\n") {
		if _, text, ok := strings.Cut(line, "\x1b[2K"); ok && len(text) > 40 {
			t.Errorf("a line of %d wraps: %q", len(text), text)
		}
	}
	text := s.text(height)
	if !strings.HasPrefix(text[1], "apps        podinfo   Progressing") || text[4] != "apps/podinfo is halted by eve for 60s; checks go on and may roll it back: let it go on with sluice canary approve podinfo -n apps" {
		t.Errorf("what wants attention is not first:\n%s", strings.Join(text, "\n"))
	}
	if short := s.text(3); len(short) > 3 {
		t.Errorf("%d lines do not fit into 3", len(short))
	}
}
