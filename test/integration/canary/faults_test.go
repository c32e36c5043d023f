// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// TestCanarySurvivesAKillAtEveryWrite cuts the controller off after each write of
// a release in turn, and lets another one take over. Whatever was done and not
// recorded, the release ends as it would have.
func TestCanarySurvivesAKillAtEveryWrite(t *testing.T) {
	const envs = 3
	for env := range envs {
		t.Run(fmt.Sprint(env), func(t *testing.T) {
			t.Parallel()
			w := newTestEnv(t, &eventLog{})
			w.podinfo(func(c *flaggerv1.Canary) { c.Spec.Analysis.Interval = "200ms" })
			for writes := env; ; writes += envs {
				image := fmt.Sprintf("podinfo:%d", 100+writes)
				if !w.releaseAndKill(image, writes) {
					t.Logf("a release is fewer than %d writes", writes)
					return
				}
			}
		})
	}
}

// releaseAndKill reports whether the release lasted long enough to be killed.
func (w *testEnv) releaseAndKill(image string, writes int) bool {
	w.t.Helper()
	cut := w.wire.cutAfter(writes)
	w.apply(image)
	done, killed := false, false
	w.until("the kill or the end", func() bool {
		select {
		case <-cut:
			killed = true
		default:
			done = w.canary().Status.Phase == flaggerv1.CanaryPhaseSucceeded && w.image("podinfo-primary") == image
		}
		return killed || done
	})
	if killed {
		w.stop()
		w.wire.mend()
		w.start()
	}
	w.until("the promotion of "+image, func() bool {
		return w.canary().Status.Phase == flaggerv1.CanaryPhaseSucceeded && w.image("podinfo-primary") == image
	})
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
	w.wire.mend()
	return killed
}

// TestCanaryIsNotPromotedByAPrometheusThatFails also shows that the reason is
// told.
func TestCanaryIsNotPromotedByAPrometheusThatFails(t *testing.T) {
	for name, tc := range map[string]struct {
		fault func(*metricsServer)
		said  string
	}{
		"down":           {func(m *metricsServer) { m.refuse() }, "the server answered 503"},
		"silent":         {func(m *metricsServer) { m.hang() }, "Prometheus query failed"},
		"not a number":   {func(m *metricsServer) { m.say("NaN") }, "no values found"},
		"empty":          {func(m *metricsServer) { m.say() }, "no values found"},
		"several series": {func(m *metricsServer) { m.say("100", "100") }, "more than one series found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &eventLog{}
			w := newTestEnv(t, log)
			w.podinfo(nil)
			tc.fault(w.metrics)
			w.apply("podinfo:2")
			w.phase(flaggerv1.CanaryPhaseFailed)
			w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
			if got := w.image("podinfo-primary"); got != "podinfo:1" {
				t.Errorf("primary runs %s", got)
			}
			if !log.has(tc.said) {
				t.Errorf("nobody said %q: %q", tc.said, log.said)
			}
		})
	}
}

// TestCanaryOutlivesAnAPIServerThatIsAway keeps every request from the server for
// a while in the middle of a release.
func TestCanaryOutlivesAnAPIServerThatIsAway(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	w.podinfo(nil)
	w.apply("podinfo:2")
	w.until("first weight", func() bool { return w.weight() == 30 })
	w.wire.cutAfter(0)
	since := time.Now()
	w.until("an outage of two intervals", func() bool { return time.Since(since) > 2*time.Second })
	if got := w.weight(); got != 30 {
		t.Errorf("weight moved to %d", got)
	}
	w.wire.mend()
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
}

// TestCanaryRollsBackOnADecisiveFailureBetweenTwoChecks has an interval that no
// test would wait for.
func TestCanaryRollsBackOnADecisiveFailureBetweenTwoChecks(t *testing.T) {
	t.Parallel()
	log := &eventLog{}
	w := newTestEnv(t, log)
	w.podinfo(func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Interval = "60m"
		c.Spec.Analysis.Sampling = &flaggerv1.CanarySampling{Interval: "100ms", Failures: 3}
	})
	w.metrics.say("12.5")
	w.apply("podinfo:2")
	w.phase(flaggerv1.CanaryPhaseFailed)
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
	history := w.canary().Status.History
	if len(history) != 1 || history[0].Verdict != flaggerv1.VerdictFailed || len(history[0].Steps) != 1 {
		t.Fatalf("history %+v", history)
	}
	// Samples go on until the decision is performed, so that a slow machine has more of them.
	reason, samples := history[0].Reason, 0
	if _, err := fmt.Sscanf(reason, "request-success-rate 12.50%% in %d samples in a row", &samples); err != nil || samples < 3 {
		t.Errorf("the reason is %q: %v", reason, err)
	}
	if !log.has("Rolling back podinfo." + w.namespace + " at once, " + reason) {
		t.Errorf("said %q", log.said)
	}
}

// TestCanaryObeys gives each command where it means something.
func TestCanaryObeys(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	w.podinfo(func(c *flaggerv1.Canary) {
		c.Annotations = map[string]string{flaggerv1.GatesAnnotation: "confirm-rollout, confirm-promotion"}
	})
	w.apply("podinfo:2")
	w.phase(flaggerv1.CanaryPhaseWaiting)
	w.command(flaggerv1.CommandApprove)
	w.until("first weight", func() bool { return w.weight() == 30 })
	w.command(flaggerv1.CommandHalt)
	if hold := w.canary().Status.Hold; hold == nil || hold.Kind != flaggerv1.HoldHalt || hold.By != "alice" {
		t.Errorf("hold %+v", hold)
	}
	w.command(flaggerv1.CommandApprove)
	w.phase(flaggerv1.CanaryPhaseWaitingPromotion)
	w.command(flaggerv1.CommandAbort)
	w.phase(flaggerv1.CanaryPhaseFailed)
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
	w.command(flaggerv1.CommandRetry)
	w.phase(flaggerv1.CanaryPhaseWaiting)
	w.command(flaggerv1.CommandPromote)
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	if got := w.image("podinfo-primary"); got != "podinfo:2" {
		t.Errorf("primary runs %s", got)
	}
	history := w.canary().Status.History
	if len(history) != 2 || history[0].Verdict != flaggerv1.VerdictPromoted || history[0].By != "alice" ||
		history[1].Verdict != flaggerv1.VerdictFailed || history[1].Reason != "aborted by alice" {
		t.Errorf("history %+v", history)
	}
}

// command gives a command and waits until it was carried out.
func (w *testEnv) command(verb flaggerv1.CommandVerb) {
	w.t.Helper()
	c := w.canary()
	before := c.DeepCopy()
	command := flaggerv1.CanaryCommand{Verb: verb, At: metav1.NowMicro(), By: "alice"}
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[flaggerv1.CommandAnnotation] = command.String()
	if err := w.c.Patch(context.Background(), c, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
	w.until(string(verb), func() bool {
		last := w.canary().Status.LastCommand
		return last != nil && last.At.UTC().Format(metav1.RFC3339Micro) == command.At.UTC().Format(metav1.RFC3339Micro)
	})
	if outcome := w.canary().Status.LastCommand.Outcome; strings.HasPrefix(outcome, "refused") {
		w.t.Errorf("%s: %s", verb, outcome)
	}
}
