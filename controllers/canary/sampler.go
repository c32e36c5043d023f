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

// sampler looks at the metrics of canaries that have users between their checks.
// It costs no call to the API server, and starts a reconcile only when what it
// finds is decisive. What it knows is lost with the process, and no harm done:
// the next check decides.
type sampler struct {
	clock clock.WithTicker
	meter func(*flaggerv1.Canary) *meter
	feed  *feed

	mu      sync.Mutex
	running map[types.UID]*sampling
}

// sampling is one canary's revision being looked at.
type sampling struct {
	of      string
	state   canary.State // when it began
	plan    canary.Plan
	cancel  context.CancelFunc
	samples canary.Samples
	alarm   string
}

// follow begins or goes on to sample the revision under analysis.
func (s *sampler) follow(c *flaggerv1.Canary, state canary.State, plan canary.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := fmt.Sprint(c.Generation, state.Applied)
	if old := s.running[c.UID]; old != nil {
		if old.of == of {
			return
		}
		s.drop(c.UID)
	}
	this := &sampling{of: of, state: state, plan: plan}
	var ctx context.Context
	ctx, this.cancel = context.WithCancel(s.feed.ctx)
	if s.running == nil {
		s.running = map[types.UID]*sampling{}
	}
	s.running[c.UID] = this
	sampled := c.DeepCopy()
	go background.Run(ctx, func() { s.run(ctx, this, s.meter(sampled)) })
}

func (s *sampler) run(ctx context.Context, this *sampling, m *meter) {
	ticker := s.clock.NewTicker(this.plan.SampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		metrics := canary.SampleMetrics(this.state, this.plan, s.clock.Now())
		if len(metrics) == 0 {
			continue
		}
		measured := m.measure(ctx, metrics)
		if ctx.Err() != nil {
			return
		}
		if alarm := this.samples.Add(this.plan, measured); alarm != "" {
			s.mu.Lock()
			this.alarm = alarm
			s.mu.Unlock()
			s.feed.wake(client.ObjectKeyFromObject(m.canary))
		}
	}
}

// alarm says what was decisive about the revision under analysis; empty is
// nothing.
func (s *sampler) alarm(c *flaggerv1.Canary, applied string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if this := s.running[c.UID]; this != nil && this.of == fmt.Sprint(c.Generation, applied) {
		return this.alarm
	}
	return ""
}

// forget ends the sampling of a canary.
func (s *sampler) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(uid)
}

func (s *sampler) drop(uid types.UID) {
	if this := s.running[uid]; this != nil {
		this.cancel()
		delete(s.running, uid)
	}
}
