// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// tick lets time go on once the sampler waits for it.
func tick(t *testing.T, clk *clocktesting.FakeClock, by time.Duration) {
	t.Helper()
	poll(t, "somebody who samples", clk.HasWaiters)
	clk.Step(by)
}

// poll waits for a condition that nobody signals.
func poll(t *testing.T, what string, met func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
		return met(), nil
	})
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// sampledRelease is one whose canary has users, with samples between its checks.
func sampledRelease(t *testing.T, server *prometheusServer) *testEnv {
	t.Helper()
	e := newRelease(t, server, func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Interval = "1h"
		c.Spec.Analysis.Sampling = &flaggerv1.CanarySampling{Interval: "10s", Failures: 2}
	})
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	return e
}

// An error rate is not tolerated until the next check, which may be an hour away.
func TestDecisiveSamplesEndAReleaseBetweenTwoChecks(t *testing.T) {
	server := newPrometheus(t, "100")
	e := sampledRelease(t, server)
	server.value.Store("50")
	for range 2 {
		asked := server.queries.Load()
		tick(t, e.clock, 10*time.Second)
		poll(t, "a sample", func() bool { return server.queries.Load() > asked })
	}
	if key := waketest.Next(t, e.woken); key.Name != "podinfo" {
		t.Fatalf("%s was woken", key)
	}
	c, err := e.phase(flaggerv1.CanaryPhaseFailed)
	if e.routed() != [2]int64{100, 0} || c.Status.CanaryWeight != 0 {
		t.Errorf("routed %v, %v", e.routed(), err)
	}
	if said := strings.Join(e.events, "\n"); !strings.Contains(said, "samples in a row") {
		t.Errorf("told %s", said)
	}
	if len(e.r.recorder.sampler.keys)+len(e.r.recorder.sampler.alarms) > 0 {
		t.Error("it is sampled still")
	}
}

func TestAnAlarmIsAboutOneRevision(t *testing.T) {
	s := newSampler(nil, clocktesting.NewFakeClock(time.Unix(0, 0)), nil)
	c := podinfo()
	s.alarms[c.UID] = alarm{sampledRevision(c, "sha256:1"), "too slow"}
	if got := s.alarm(c, "sha256:1"); got != "too slow" {
		t.Errorf("got %q", got)
	}
	if got := s.alarm(c, "sha256:2"); got != "" {
		t.Errorf("of another revision: %q", got)
	}
	c.Generation++
	if got := s.alarm(c, "sha256:1"); got != "" {
		t.Errorf("of another spec: %q", got)
	}
}

// What is kept about canaries goes with them, and with a suspension what is measured.
func TestNothingIsKeptAboutACanaryThatIsGone(t *testing.T) {
	e := sampledRelease(t, newPrometheus(t, "100"))
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	e.r.forget(client.ObjectKeyFromObject(c), c.UID)
	r, o := e.r, e.r.observer
	left := map[string]int{
		"dependencies": len(o.watcher.index.needs), "rehearsals": len(o.rehearsal.checked), "transitions": len(o.transitions.times),
		"answers": len(o.queries.answers), "samplers": len(o.sampler.keys), "contentions": len(r.contentions.objects),
		"warnings": len(r.notifier.warnings), "metrics": len(r.metrics.known) + len(r.metrics.phases),
	}
	if _, ok := o.status.checked.Load(c.UID); ok {
		left["status"] = 1
	}
	for what, n := range left {
		if n > 0 {
			t.Errorf("%d %s are kept", n, what)
		}
	}
}

func TestASampleThatIsCancelledEnds(t *testing.T) {
	e := sampledRelease(t, newPrometheus(t, "100"))
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	e.r.stopMeasuring(c.UID)
	if e.r.observer.sampler.alarm(c, c.Status.AppliedRevision) != "" || len(e.r.observer.sampler.keys) > 0 {
		t.Error("it goes on")
	}
}
