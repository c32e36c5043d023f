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

// sampler measures the metrics of canaries that have users between their checks. It
// costs no call to the API server, and starts a reconcile only when what it finds is
// decisive. It keeps the alarm about one revision of each canary, until the canary has
// no users or is gone. A restart loses it, and no harm done: the next check decides.
type sampler struct {
	clock   clock.WithTicker
	metrics func(*flaggerv1.Canary) *metricRunner
	// tasks end with an alarm, or when they are forgotten.
	tasks background.Runner[canaryKey, string]

	mu     sync.Mutex
	alarms map[types.UID]alarm
	keys   map[types.UID]canaryKey
}

// canaryKey is a canary that is sampled.
type canaryKey struct {
	canary types.NamespacedName
	uid    types.UID
}

// alarm is what was decisive about a revision.
type alarm struct{ revision, message string }

func newSampler(metrics func(*flaggerv1.Canary) *metricRunner, clk clock.WithTicker, wake func(types.NamespacedName)) *sampler {
	s := &sampler{clock: clk, metrics: metrics, alarms: map[types.UID]alarm{}, keys: map[types.UID]canaryKey{}}
	s.tasks.Wake = func(of canaryKey) { wake(of.canary) }
	return s
}

// sampledRevision is what an alarm is about: the revision under analysis, with the
// metrics that the spec has now.
func sampledRevision(c *flaggerv1.Canary, applied string) string {
	return fmt.Sprint(c.Generation, applied)
}

// follow begins or goes on to sample the revision under analysis.
func (s *sampler) follow(ctx context.Context, c *flaggerv1.Canary, state canary.State, plan canary.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	revision := sampledRevision(c, state.Applied)
	if s.alarms[c.UID].revision == revision {
		return
	}
	key, copied := canaryKey{client.ObjectKeyFromObject(c), c.UID}, c.DeepCopy()
	s.keys[c.UID] = key
	request := background.Request[canaryKey]{Key: key, Input: revision, Namespace: c.Namespace, Now: s.clock.Now()}
	message, err := s.tasks.Run(ctx,
		request, func(ctx context.Context) (string, error) { return s.sample(ctx, s.metrics(copied), state, plan) })
	if err == nil { // it ended between two reconciles
		s.alarms[c.UID] = alarm{revision, message}
	}
}

// sample measures until what it has found is decisive.
func (s *sampler) sample(ctx context.Context, runner *metricRunner, state canary.State, plan canary.Plan) (string, error) {
	ticker := s.clock.NewTicker(plan.SampleEvery)
	defer ticker.Stop()
	var samples canary.Samples
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-ticker.C():
		}
		metrics := canary.SampleMetrics(state, plan, s.clock.Now())
		if len(metrics) == 0 {
			continue
		}
		measured := runner.measure(ctx, metrics)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if message := samples.Add(plan, measured); message != "" {
			return message, nil
		}
	}
}

// alarm says what was decisive about the revision under analysis; empty is nothing.
func (s *sampler) alarm(c *flaggerv1.Canary, applied string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ended, ok := s.tasks.Collect(s.keys[c.UID]); ok && ended.Err == nil {
		s.alarms[c.UID] = alarm{ended.Input, ended.Value}
	}
	if known := s.alarms[c.UID]; known.revision == sampledRevision(c, applied) {
		return known.message
	}
	return ""
}

// forget ends the sampling of a canary.
func (s *sampler) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.keys[uid]; ok {
		s.tasks.Forget(key)
	}
	delete(s.keys, uid)
	delete(s.alarms, uid)
}
