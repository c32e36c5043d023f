// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/internal/background"
)

// comparisons compare canaries with their primaries, beside the sampler: at each look, one query about the
// counters of both arms, which are the canary and the primary. A reconcile starts when there is a verdict.
// While nothing is released they look at the primary, now and then, to learn how much its halves differ.
// What is known is kept until the canary is gone or asks for no judge; a restart goes on from the status,
// and reads again from the server what happened since.
type comparisons struct {
	clock clock.WithTicker
	// prepare reads what it takes to read the counters of a canary.
	prepare func(context.Context, *flaggerv1.Canary) (readCounters, error)
	// started is when a pod began; zero if it is not there.
	started func(context.Context, types.NamespacedName) (time.Time, error)
	metrics *metrics
	wake    func(types.NamespacedName)
	tasks   background.Runner[canaryKey, struct{}]

	mu  sync.Mutex
	all map[types.UID]*trackedComparison
}

// readCounters reads the counters of both arms as they were at a time.
type readCounters func(ctx context.Context, at time.Time) (counter.Reading, error)

// trackedComparison is a canary that is compared.
type trackedComparison struct {
	key canaryKey
	*comparison
	// faster ends a pause: a release has begun.
	faster chan struct{}
}

func newComparisons(
	checker *metric.Checker, pods client.Reader, m *metrics, clk clock.WithTicker, wake func(types.NamespacedName),
) *comparisons {
	return &comparisons{
		clock: clk, prepare: countersOf(checker), started: startedBy(pods), metrics: m,
		wake: wake, all: map[types.UID]*trackedComparison{},
	}
}

// result is what a decision on a canary is to know.
func (j *comparisons) result(c *flaggerv1.Canary, state canary.State, plan canary.Plan) canary.JudgeResult {
	if plan.Judge == nil {
		return canary.JudgeResult{}
	}
	return j.comparisonOf(c, state, plan).result(state)
}

// comparisonOf is the comparison of a canary, which begins with its status.
func (j *comparisons) comparisonOf(c *flaggerv1.Canary, state canary.State, plan canary.Plan) *trackedComparison {
	j.mu.Lock()
	defer j.mu.Unlock()
	if known := j.all[c.UID]; known != nil {
		return known
	}
	key := canaryKey{client.ObjectKeyFromObject(c), c.UID}
	j.all[c.UID] = &trackedComparison{key: key, comparison: newComparison(c.DeepCopy(), state, plan), faster: make(chan struct{}, 1)}
	return j.all[c.UID]
}

// record writes into the status what is known, in memory: when something was decided, and when the
// comparison asks for it. Then it goes on to compare. It returns what people should hear of.
func (j *comparisons) record(ctx context.Context, c *flaggerv1.Canary, seen *observed, state canary.State) []canary.Event {
	if seen.Plan.Judge == nil {
		j.forget(c.UID)
		if c.Status.Judge != nil {
			c.Status.Judge = nil
			j.metrics.judged(c)
		}
		return nil
	}
	of := j.comparisonOf(c, state, seen.Plan)
	was := of.pause()
	of.follow(c.DeepCopy(), state, seen.Plan)
	if of.pause() < was {
		select {
		case of.faster <- struct{}{}:
		default:
		}
	}
	if transition := !state.At.Equal(seen.prev.At); transition || of.isStatusStale() {
		of.recordInconclusive(seen.prev, state)
		c.Status.Judge = of.status()
		j.metrics.judged(c)
	}
	if !seen.Primary.Exists {
		return nil
	}
	request := background.Request[canaryKey]{Key: of.key, Input: fmt.Sprint(c.Generation), Namespace: c.Namespace, Now: j.clock.Now()}
	_, _ = j.tasks.Run(ctx, request, func(ctx context.Context) (struct{}, error) { return struct{}{}, j.compare(ctx, of) })
	return of.takeWarnings(seen.Names)
}

// preparedFor is how long what was read of templates and Secrets holds; it is read again for each step, too.
const preparedFor = time.Minute

// compare reads the counters until it is forgotten.
func (j *comparisons) compare(ctx context.Context, of *trackedComparison) error {
	var read readCounters
	var since time.Time
	var stage string
	for {
		wake := false
		if now, at := j.clock.Now(), of.stage(); read == nil || at != stage || now.Sub(since) >= max(preparedFor, of.pause()) {
			var err error
			since, stage = now, at
			if read, err = j.prepare(ctx, of.spec()); err != nil {
				read = nil
				wake = of.broken(err)
			}
		}
		if read != nil {
			var err error
			if wake, err = j.takeReadings(ctx, of, read); err != nil { // a template or a credential may be another by now
				wake = of.broken(err) || wake
				read = nil
			}
		}
		if wake {
			j.wake(of.key.canary)
		}
		if err := j.sleep(ctx, of.pause(), of.faster); err != nil {
			return err
		}
	}
}

// sleep waits for a while. If a release begins meanwhile, it waits until what is read is of after the
// beginning: a window that begins before it does not count.
func (j *comparisons) sleep(ctx context.Context, lasts time.Duration, faster <-chan struct{}) error {
	timer := j.clock.NewTimer(lasts)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	case <-faster:
		return j.sleep(ctx, metric.Settling, nil)
	}
}

// takeReadings takes the readings that are due, and reports whether a reconcile should know of something.
func (j *comparisons) takeReadings(ctx context.Context, of *trackedComparison, read readCounters) (wake bool, err error) {
	for _, at := range of.due(j.clock.Now().Add(-metric.Settling)) {
		var reading counter.Reading
		var pods map[string]time.Time
		err := background.Try(ctx, func() (err error) {
			if reading, err = read(ctx, at); err == nil {
				pods, err = j.startedSince(ctx, of, reading)
			}
			return err
		})
		if ctx.Err() != nil {
			return false, nil
		}
		if err != nil {
			return wake, err
		}
		wake = of.add(reading, pods) || wake
	}
	return wake, nil
}

// startedSince is when the pods of a reading began that had not counted before: what a pod counts that is younger
// than the window happened in it. Those of other namespaces, such as gateways, are any age.
func (j *comparisons) startedSince(ctx context.Context, of *trackedComparison, r counter.Reading) (map[string]time.Time, error) {
	started := map[string]time.Time{}
	for _, pod := range of.newcomers(r) {
		at, err := j.started(ctx, types.NamespacedName{Namespace: of.key.canary.Namespace, Name: pod})
		if err != nil {
			return nil, err
		}
		if !at.IsZero() {
			started[pod] = at
		}
	}
	return started, nil
}

// startedBy asks for when pods were made, by a list of one, which is what may be asked of pods.
func startedBy(pods client.Reader) func(context.Context, types.NamespacedName) (time.Time, error) {
	return func(ctx context.Context, pod types.NamespacedName) (time.Time, error) {
		found := &metav1.PartialObjectMetadataList{}
		found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		err := pods.List(ctx, found, client.InNamespace(pod.Namespace), client.MatchingFields{"metadata.name": pod.Name})
		if err != nil || len(found.Items) == 0 {
			return time.Time{}, err
		}
		return found.Items[0].CreationTimestamp.Time, nil
	}
}

// forget ends the comparison of a canary.
func (j *comparisons) forget(uid types.UID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if known := j.all[uid]; known != nil {
		j.tasks.Forget(known.key)
		delete(j.all, uid)
	}
}
