// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// queriesEnv asks queries about one canary.
type queriesEnv struct {
	*testing.T
	q *queries
	c *flaggerv1.Canary
	// calls is how often webhooks were called.
	calls atomic.Int32
	woken chan types.NamespacedName
	// say is what webhooks answer; they hang until it is closed or sends.
	say chan canary.Answer
}

func newQueriesEnv(t *testing.T) *queriesEnv {
	e := &queriesEnv{T: t, c: podinfo(), woken: make(chan types.NamespacedName, 10), say: make(chan canary.Answer, 10)}
	call := func(ctx context.Context, _ *flaggerv1.Canary, hook flaggerv1.HookType) canary.Answer {
		e.calls.Add(1)
		select {
		case said := <-e.say:
			return said
		case <-ctx.Done():
			return canary.Answer{Why: "cancelled"}
		}
	}
	e.q = newQueries(nil, call, clock.RealClock{}, func(key types.NamespacedName) { e.woken <- key })
	return e
}

// ask asks for a webhook, and returns what is known and whether that is all.
func (e *queriesEnv) ask(at canary.State) (canary.Answer, bool) {
	seen := &observed{prev: at}
	complete := e.q.ask(e.Context(), e.c, seen, canary.Questions{Hooks: []flaggerv1.HookType{flaggerv1.RolloutHook}})
	return seen.Answers[flaggerv1.RolloutHook], complete
}

func (e *queriesEnv) answer(a canary.Answer) {
	e.Helper()
	e.say <- a
	select {
	case key := <-e.woken:
		if key != client.ObjectKeyFromObject(e.c) {
			e.Fatalf("%s was woken", key)
		}
	case <-time.After(5 * time.Minute):
		e.Fatal("an answer wakes nobody")
	}
}

func TestAnAnswerIsWaitedForWithoutAWorker(t *testing.T) {
	e := newQueriesEnv(t)
	for range 3 {
		if _, complete := e.ask(canary.State{}); complete {
			t.Fatal("complete before there is an answer")
		}
	}
	e.answer(canary.Answer{OK: true})
	for range 2 { // it stays until it is used
		if got, complete := e.ask(canary.State{}); !complete || !got.OK {
			t.Fatalf("got %+v, %v", got, complete)
		}
	}
	if got := e.calls.Load(); got != 1 {
		t.Errorf("asked %d times", got)
	}
}

// An answer about one stage must not decide about the next.
func TestAnAnswerAboutAnotherMomentIsNotUsed(t *testing.T) {
	before := canary.State{Phase: flaggerv1.CanaryPhaseProgressing, Applied: "sha256:1", Weight: 10, At: time.Unix(100, 0)}
	for name, edit := range map[string]func(*queriesEnv, *canary.State){
		"another weight":         func(_ *queriesEnv, s *canary.State) { s.Weight = 20 },
		"another phase":          func(_ *queriesEnv, s *canary.State) { s.Phase = flaggerv1.CanaryPhasePromoting },
		"another revision":       func(_ *queriesEnv, s *canary.State) { s.Applied = "sha256:2" },
		"another iteration":      func(_ *queriesEnv, s *canary.State) { s.Iterations = 1 },
		"another failed check":   func(_ *queriesEnv, s *canary.State) { s.FailedChecks = 1 },
		"another time":           func(_ *queriesEnv, s *canary.State) { s.At = s.At.Add(time.Nanosecond) },
		"another spec":           func(e *queriesEnv, _ *canary.State) { e.c.Generation++ },
		"a release that is over": func(e *queriesEnv, _ *canary.State) { e.q.forget(e.c.UID) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newQueriesEnv(t)
			e.ask(before)
			e.answer(canary.Answer{OK: true})
			after := before
			edit(e, &after)
			if got, complete := e.ask(after); complete || got.OK {
				t.Errorf("got %+v, %v", got, complete)
			}
			e.answer(canary.Answer{Why: "no"})
			if got, complete := e.ask(after); !complete || got.Why != "no" {
				t.Errorf("got %+v, %v", got, complete)
			}
			e.q.forget(e.c.UID)
			if len(e.q.answers) > 0 {
				t.Errorf("left behind: %v", e.q.answers)
			}
		})
	}
}

func TestAQuestionThatIsNotAskedAnyMoreIsCancelled(t *testing.T) {
	e := newQueriesEnv(t)
	started, cancelled := make(chan struct{}), make(chan struct{})
	e.q.call = func(ctx context.Context, _ *flaggerv1.Canary, _ flaggerv1.HookType) canary.Answer {
		close(started)
		<-ctx.Done()
		close(cancelled)
		return canary.Answer{}
	}
	e.ask(canary.State{})
	<-started
	e.q.forget(e.c.UID)
	select {
	case <-cancelled:
	case <-time.After(5 * time.Minute):
		t.Error("it goes on")
	}
}

// A panic in the background ended the process for everybody.
func TestAPanicInTheBackgroundIsAFailedCheck(t *testing.T) {
	r := &metricRunner{canary: podinfo()} // has nowhere to keep what it prepared
	if got := r.measure(t.Context(), []canary.Metric{{
		Name: "lag",
	}}); len(got) != 1 || got[0].Name != "lag" || !strings.Contains(got[0].Err, "panic") {
		t.Errorf("got %+v", got)
	}
	e := newQueriesEnv(t)
	e.q.call = func(context.Context, *flaggerv1.Canary, flaggerv1.HookType) canary.Answer { panic("no such hook") }
	e.ask(canary.State{})
	<-e.woken
	if got, complete := e.ask(canary.State{}); !complete || got.OK || got.Webhook != "rollout" || got.Why == "" {
		t.Errorf("got %+v, %v", got, complete)
	}
}
