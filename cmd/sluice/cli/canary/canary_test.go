// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/make"
)

// now is the time of all tests.
var now = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// before is so long before now.
func before(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func TestRowsOfCanaries(t *testing.T) {
	gate := func(approved bool) *flaggerv1.CanaryHold {
		return &flaggerv1.CanaryHold{
			Kind: flaggerv1.HoldGate, Gate: flaggerv1.ConfirmPromotionHook, Since: before(time.Minute), Approved: approved,
		}
	}
	tests := map[string]struct {
		change func(*flaggerv1.Canary)
		want   string
	}{
		"in a step": {func(*flaggerv1.Canary) {}, "apps podinfo Progressing 40 podinfo:6.1.0 +1 2/3 1/3  5m bbbbbbb"},
		"suspended": {
			func(c *flaggerv1.Canary) { c.Spec.Suspend = true },
			"apps podinfo Progressing 40 podinfo:6.1.0 +1 2/3 1/3 suspended 5m bbbbbbb",
		},
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
		"a spec that is refused": {func(c *flaggerv1.Canary) { c.Spec.Analysis.Metrics = unreadable },
			"apps podinfo Progressing 40 podinfo:6.1.0 +1  1/3  5m bbbbbbb"},
		"never looked at": {func(c *flaggerv1.Canary) { c.Status = flaggerv1.CanaryStatus{} }, "apps podinfo  0   0/3   "},
		"pinned by digest": {func(c *flaggerv1.Canary) { c.Status.History[0].Images = []string{"x/y@sha256:0123456789"} },
			"apps podinfo Progressing 40 y@0123456 2/3 1/3  5m bbbbbbb"},
		"an image of another revision": {func(c *flaggerv1.Canary) { c.Status.History[0].Revision = "sha256:cc" },
			"apps podinfo Progressing 40  2/3 1/3  5m bbbbbbb"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := make.Release(now)
			tc.change(c)
			if got := strings.Join(row(report.OfCanary(c), now)[:10], " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestARefusedCanaryIsNoRowOfDashes(t *testing.T) {
	c := make.Release(now)
	c.Status = flaggerv1.CanaryStatus{}
	c.SetConditions([]metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Message: "spec.provider: appmesh is not served"}})
	shown := rows([]report.Canary{report.OfCanary(c)}, now).Table
	var out bytes.Buffer
	if err := shown.PrintShort(&out, 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"READY", "MESSAGE", "False", "spec.provider: appmesh is not served"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s lacks %q", out.String(), want)
		}
	}
}

func TestOutcomeOfACommand(t *testing.T) {
	command := flaggerv1.CanaryCommand{Verb: flaggerv1.CommandHalt, At: metav1.NewMicroTime(now), By: "eve"}
	given := func(outcome string) *flaggerv1.Canary {
		c := make.Release(now)
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
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if (err != nil) != (tc.wantErr != "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("got %v, want %q", err, tc.wantErr)
			}
		})
	}
}

func TestEndOfTheReleaseThatIsFollowed(t *testing.T) {
	type look struct{ phase, revision string }
	tests := map[string]struct {
		looks   []look
		want    bool
		wantErr string
	}{
		"a release that is under way is promoted": {
			[]look{{"Progressing", "b"}, {"Promoting", "b"}, {"Finalising", "b"}, {"Succeeded", "b"}}, true, "",
		},
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
			var e releaseEnd
			var done bool
			var err error
			for i, l := range tc.looks {
				c := make.Release(now)
				c.Status.Phase, c.Status.LastAppliedSpec, c.Status.LastPromotedSpec = flaggerv1.CanaryPhase(l.phase), l.revision, ""
				c.Status.History[0].Reason = "too many errors"
				if done, err = e.observe(c); done && i+1 < len(tc.looks) {
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
	c := make.Release(now)
	c.Status.History = append(c.Status.History, flaggerv1.CanaryRelease{
		Revision: "sha256:aaaaaaaaaa", StartedAt: before(3 * time.Hour), EndedAt: before(2*time.Hour + time.Minute),
		Verdict: "promoted", Reason: "promotion was commanded\x1b[2J", By: "eve"})
	var p output.Page
	addReleases(&p, report.DescribeCanary(c, nil), now)
	var out bytes.Buffer
	if _, err := p.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`Release of podinfo:6.1.0 +1 (revision bbbbbbb), under way for 6m
  STEP  LASTED     FAILED  METRIC                VALUE   GOOD             WHY NOT
  20%   59s                request-success-rate  99.90%  at least 99.00%
                           queue                 2.00    1.00 to 5.00
  40%   5m so far  1       request-success-rate  62.50%  at least 99.00%  success rate 62.50% < 99%
                           queue                 none    1.00 to 5.00     no values

Release (revision aaaaaaa), promoted by eve after 59m, 121m ago
  reason  promotion was commanded [2J
`, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestScreenRedrawsInPlaceAndNeverWraps(t *testing.T) {
	var out bytes.Buffer
	height := 24
	s := &screen{
		out: &out, clock: clocktesting.NewFakeClock(now), root: "sluice", all: map[client.ObjectKey]report.Canary{},
		size: func() (int, int) { return 40, height },
	}
	resting := make.Release(now)
	resting.Name, resting.Status.Phase, resting.Status.CanaryWeight = "another", flaggerv1.CanaryPhaseSucceeded, 0
	c := make.Release(now)
	for _, shown := range []*flaggerv1.Canary{resting, c} {
		if err := s.show(client.ObjectKeyFromObject(shown), report.OfCanary(shown)); err != nil {
			t.Fatal(err)
		}
	}
	out.Reset()
	c.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldHalt, By: "eve", Since: before(time.Minute)}
	if err := s.show(client.ObjectKeyFromObject(c), report.OfCanary(c)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "\x1b[3A\r\x1b[2KNAMESPACE   NAME      PHASE...\r\n") || !strings.HasSuffix(out.String(), "\x1b[J") {
		t.Errorf("got %q", out.String())
	}
	for line := range strings.SplitSeq(out.String(), "\r\n") {
		if _, text, ok := strings.Cut(line, "\x1b[2K"); ok && len(text) > 40 {
			t.Errorf("a line of %d wraps: %q", len(text), text)
		}
	}
	text := s.text(height)
	if !strings.HasPrefix(text[1], "apps        podinfo   Progressing") || text[4] != "apps/podinfo is halted by eve for 60s; "+
		"checks go on and may roll it back: let it go on with sluice canary approve podinfo -n apps" {
		t.Errorf("what wants attention is not first:\n%s", strings.Join(text, "\n"))
	}
	if short := s.text(3); len(short) > 3 {
		t.Errorf("%d lines do not fit into 3", len(short))
	}
}

// unreadable are metrics with an interval that is none.
var unreadable = []flaggerv1.CanaryMetric{{Name: "lag", Interval: "1mm"}}
