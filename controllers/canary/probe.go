package canary

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/background"
)

// probe finds out what a decision needs, in the background: a webhook that hangs
// or a Prometheus that is slow holds up no worker and no other canary. When an
// answer is there the canary is looked at again.
type probe struct {
	meter func(*flaggerv1.Canary) *meter
	call  func(context.Context, *flaggerv1.Canary, flaggerv1.HookType) canary.Answer
	clock clock.PassiveClock
	feed  *feed

	mu      sync.Mutex
	running map[types.UID]*inquiry
}

// inquiry is what is being found out about one moment of a canary.
type inquiry struct {
	about    string
	ctx      context.Context
	cancel   context.CancelFunc
	asked    map[string]bool
	measured []canary.Measurement
	answers  map[flaggerv1.HookType]canary.Answer
}

// metrics is the question about metrics; webhooks are asked by their type.
const metricsQuestion = "metrics"

// ask fills in what has been found out about this moment, starts to find out the
// rest, and reports whether there is nothing left to wait for.
func (p *probe) ask(l *look, q canary.Questions) bool {
	c := l.canary
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.inquiry(l)
	if len(q.Metrics) > 0 {
		meter := p.meter(c.DeepCopy())
		p.once(in, metricsQuestion, c, func() func() {
			start := p.clock.Now()
			measured := meter.measure(in.ctx, q.Metrics)
			meter.metrics.checked(meter.canary, p.clock.Since(start))
			return func() { in.measured = measured }
		})
	}
	complete := len(q.Metrics) == 0 || in.measured != nil
	for _, hook := range q.Hooks {
		asking := c.DeepCopy()
		p.once(in, string(hook), c, func() func() {
			answer := canary.Answer{Webhook: string(hook), Why: "calling it failed by a mistake in the controller, see its log"}
			background.Run(in.ctx, func() { answer = p.call(in.ctx, asking, hook) })
			return func() { in.answers[hook] = answer }
		})
		_, answered := in.answers[hook]
		complete = complete && answered
	}
	l.seen.Measured, l.seen.Answers = in.measured, maps.Clone(in.answers)
	return complete
}

// inquiry is the one about this moment; what was asked about another is of no
// use any more.
func (p *probe) inquiry(l *look) *inquiry {
	c, s := l.canary, l.prev
	about := fmt.Sprint(c.Generation, s.Phase, s.Applied, l.seen.Target.Revision, s.Weight, s.Iterations, s.FailedChecks, s.At.UnixNano())
	if in := p.running[c.UID]; in != nil && in.about == about {
		return in
	}
	p.drop(c.UID)
	in := &inquiry{about: about, asked: map[string]bool{}, answers: map[flaggerv1.HookType]canary.Answer{}}
	in.ctx, in.cancel = context.WithCancel(p.feed.ctx)
	if p.running == nil {
		p.running = map[types.UID]*inquiry{}
	}
	p.running[c.UID] = in
	return in
}

// once asks a question of an inquiry that was not asked yet. find runs without
// the lock, and what it returns with it. It works on a copy of the canary: the
// reconcile goes on writing into its own.
func (p *probe) once(in *inquiry, question string, c *flaggerv1.Canary, find func() func()) {
	if in.asked[question] {
		return
	}
	in.asked[question] = true
	key := client.ObjectKeyFromObject(c)
	go func() {
		var store func()
		if !background.Run(in.ctx, func() { store = find() }) {
			p.mu.Lock()
			delete(in.asked, question) // the next look asks again
			p.mu.Unlock()
			return
		}
		if in.ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		store()
		p.mu.Unlock()
		p.feed.wake(key)
	}()
}

// forget drops what was found out, because it was used or is not needed.
func (p *probe) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(uid)
}

func (p *probe) drop(uid types.UID) {
	if in := p.running[uid]; in != nil {
		in.cancel()
		delete(p.running, uid)
	}
}
