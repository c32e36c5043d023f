// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/promotion/forge"
)

func TestTheErrorOfARunIsTheOneThatIsRetried(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	final, passing := reconcile.TerminalError(errors.New("final")), errors.New("passing")
	for name, tc := range map[string]struct {
		found stageErrors
		want  error
	}{
		"none":                            {stageErrors{}, nil},
		"one for good":                    {stageErrors{"production": final}, final},
		"one for good, and one to retry":  {stageErrors{"staging": final, "production": passing}, passing},
		"two for good":                    {stageErrors{"staging": final, "production": reconcile.TerminalError(passing)}, final},
		"a stage that the spec has not":   {stageErrors{"other": passing}, nil},
		"two to retry: that of the first": {stageErrors{"staging": passing, "production": errors.New("other")}, passing},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.found.ofRun(shop().Spec.Stages, now); !errors.Is(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	limited := &forge.RateLimited{Until: now.Add(time.Hour)}
	if got := (stageErrors{"staging": limited}).ofRun(shop().Spec.Stages,
		now); fmt.Sprintf("%T", got) == fmt.Sprintf("%T", limited) || !errors.As(got, &limited) {
		t.Errorf("a limit is not waited for: %v", got)
	}
}

func TestAStageWithAFaultIsLeftAlone(t *testing.T) {
	found, broken := stageErrors{}, errors.New("broken")
	did, err := found.runFor(t.Context(), "staging", func() (bool, error) { return false, broken })
	if !did || err != nil || found.problem("staging") != "broken" || found.problem("production") != "" {
		t.Fatalf("%t, %v: %v", did, err, found)
	}
	did, err = found.runFor(t.Context(), "staging", func() (bool, error) { t.Error("it was tried"); return true, nil })
	if did || err != nil {
		t.Errorf("%t, %v", did, err)
	}
	did, err = found.runFor(t.Context(), "production", func() (bool, error) { return true, nil })
	if !did || err != nil || len(found) != 1 {
		t.Errorf("%t, %v: %v", did, err, found)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if _, err = found.runFor(ctx, "production", func() (bool, error) { return false, broken }); !errors.Is(err, context.Canceled) ||
		len(found) != 1 {
		t.Errorf("the end of a process is a fault of the stage: %v, %v", err, found)
	}
}

func TestWhenAPipelineIsLookedAtAgain(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for name, tc := range map[string]struct {
		ask  func(*requeue)
		want time.Duration
	}{
		"with the interval": {func(*requeue) {}, 10 * time.Minute},
		"sooner":            {func(q *requeue) { q.requeueAfter(time.Minute) }, time.Minute},
		"the first of several": {
			func(q *requeue) {
				q.requeueAfter(time.Minute)
				q.requeueAfter(30 * time.Second)
				q.requeueAfter(2 * time.Minute)
			}, 30 * time.Second,
		},
		"at the latest by the interval": {func(q *requeue) { q.requeueAfter(time.Hour) }, 10 * time.Minute},
		"at a time":                     {func(q *requeue) { q.requeueAt(now.Add(5*time.Second), now) }, 5 * time.Second},
		"at a time that has passed":     {func(q *requeue) { q.requeueAt(now.Add(-time.Hour), now) }, time.Second},
		"at no time":                    {func(q *requeue) { q.requeueAt(time.Time{}, now) }, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			var q requeue
			tc.ask(&q)
			if got := q.atMost(10 * time.Minute); got != tc.want {
				t.Errorf("after %s, want %s", got, tc.want)
			}
		})
	}
}
