// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/background"
)

// queries finds out what a decision needs, in the background: a webhook that hangs or
// a Prometheus that is slow holds up no worker and no other canary. When an answer is
// there the canary is reconciled again. It keeps the answers about one moment of each
// canary, until they are used or the canary is gone; a restart asks again.
type queries struct {
	metrics func(*flaggerv1.Canary) *metricRunner
	call    func(context.Context, *flaggerv1.Canary, flaggerv1.HookType) canary.Answer
	clock   clock.PassiveClock
	tasks   background.Runner[question, answer]

	mu      sync.Mutex
	answers map[types.UID]*answers
}

// question is one that is asked about a canary: metricsQuestion, or the type of webhooks.
type question struct {
	canary types.NamespacedName
	uid    types.UID
	about  string
}

const metricsQuestion = "metrics"

// answer is to one question: the measurements, or what webhooks said.
type answer struct {
	measured []canary.Measurement
	hook     canary.Answer
}

// answers are what has been found out about one moment of a canary.
type answers struct {
	moment  string
	asked   map[question]bool
	answers map[question]answer
}

func newQueries(
	metrics func(*flaggerv1.Canary) *metricRunner, call func(context.Context, *flaggerv1.Canary, flaggerv1.HookType) canary.Answer,
	clk clock.PassiveClock, wake func(types.NamespacedName),
) *queries {
	q := &queries{metrics: metrics, call: call, clock: clk, answers: map[types.UID]*answers{}}
	q.tasks.Wake = func(asked question) { wake(asked.canary) }
	return q
}

// ask fills in what has been found out about this moment, starts to find out the
// rest, and reports whether there is nothing left to wait for. Tasks work on a copy of
// the canary: the reconcile goes on writing into its own.
func (q *queries) ask(ctx context.Context, c *flaggerv1.Canary, seen *observed, due canary.Questions) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := q.about(c, momentOf(c, seen))
	complete := len(due.Metrics) == 0 || q.answered(ctx, c, known, metricsQuestion, q.measure(c, due.Metrics))
	for _, hook := range due.Hooks {
		complete = q.answered(ctx, c, known, string(hook), q.callHook(c, hook)) && complete
	}
	seen.Measured, seen.Answers = nil, map[flaggerv1.HookType]canary.Answer{}
	for asked, got := range known.answers {
		if asked.about == metricsQuestion {
			seen.Measured = got.measured
		} else {
			seen.Answers[flaggerv1.HookType(asked.about)] = got.hook
		}
	}
	return complete
}

// measure is the task that measures metrics.
func (q *queries) measure(c *flaggerv1.Canary, due []canary.Metric) func(context.Context) answer {
	runner := q.metrics(c.DeepCopy())
	return func(ctx context.Context) answer {
		start := q.clock.Now()
		measured := runner.measure(ctx, due)
		runner.metrics.checked(runner.canary, q.clock.Since(start))
		return answer{measured: measured}
	}
}

// callHook is the task that calls the webhooks of a type.
func (q *queries) callHook(c *flaggerv1.Canary, hook flaggerv1.HookType) func(context.Context) answer {
	asking := c.DeepCopy()
	return func(ctx context.Context) answer {
		response := canary.Answer{Webhook: string(hook), Why: "calling it failed by a mistake in the controller, see its log"}
		background.Run(ctx, func() { response = q.call(ctx, asking, hook) })
		return answer{hook: response}
	}
}

// momentOf is what answers are about. With any other of these they are of no use.
func momentOf(c *flaggerv1.Canary, seen *observed) string {
	s := seen.prev
	return fmt.Sprint(c.Generation, s.Phase, s.Applied, seen.Target.Revision, s.Weight, s.Iterations, s.FailedChecks, s.At.UnixNano())
}

// about returns what is known about a moment; what was asked about another one is
// dropped. The lock is held.
func (q *queries) about(c *flaggerv1.Canary, moment string) *answers {
	if known := q.answers[c.UID]; known != nil && known.moment == moment {
		return known
	}
	q.drop(c.UID)
	q.answers[c.UID] = &answers{moment: moment, asked: map[question]bool{}, answers: map[question]answer{}}
	return q.answers[c.UID]
}

// answered reports whether there is an answer to a question, which it asks if that was
// not done yet. The lock is held.
func (q *queries) answered(ctx context.Context, c *flaggerv1.Canary, known *answers, about string, task func(context.Context) answer) bool {
	key := question{client.ObjectKeyFromObject(c), c.UID, about}
	if _, ok := known.answers[key]; ok {
		return true
	}
	known.asked[key] = true
	request := background.Request[question]{Key: key, Input: known.moment, Namespace: c.Namespace, Now: q.clock.Now()}
	got, err := q.tasks.Run(ctx, request, func(ctx context.Context) (answer, error) { return task(ctx), ctx.Err() })
	if err != nil { // it is pending, or was cancelled with the process
		return false
	}
	known.answers[key] = got
	return true
}

// forget drops what was found out, because it was used or is not needed.
func (q *queries) forget(uid types.UID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(uid)
}

func (q *queries) drop(uid types.UID) {
	if known := q.answers[uid]; known != nil {
		for asked := range known.asked {
			q.tasks.Forget(asked)
		}
		delete(q.answers, uid)
	}
}
