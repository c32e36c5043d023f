package canary

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// model is a small world in which releases happen, pods come and go, and the
// controller is killed between any two of its writes. It checks each action as
// it is performed.
type model struct {
	t               *testing.T
	rng             *rand.Rand
	now             time.Time
	plan            Plan
	state           State
	target, primary pods
	weights         Weights
	saved, trusted  map[string]bool
	fate            map[string]fate
	next            int
	log             []string
}

// fate is what becomes of a revision.
type fate struct{ failsChecks, neverStarts, neverStartsAsPrimary bool }

// pods are one copy of the workload.
type pods struct {
	exists              bool
	revision            string
	replicas, available int32
	rolled              bool // the rollout is complete
	age                 int  // looks since the last change
}

const patience = 6 // looks after which a rollout is stuck

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 7)), now: noon, saved: map[string]bool{}, trusted: map[string]bool{}, fate: map[string]fate{}}
	m.plan = Plan{Routed: true, Interval: time.Minute, Threshold: 2, Stages: []Stage{{Weight: 20}, {Weight: 50}}}
	switch m.rng.IntN(4) {
	case 0:
		m.plan = Plan{Interval: time.Minute, Threshold: 1, Stages: []Stage{{Iteration: 1}, {Iteration: 2}}}
	case 1:
		m.plan.PromotionStep = 20
	case 2:
		m.plan.Stages = []Stage{{Iteration: 1}, {Iteration: 2, Weight: 100}}
	}
	m.plan.Metrics = []Metric{{Name: successRate, Min: &floor}}
	m.weights = Stable
	m.push(fate{})
	m.target = pods{exists: true, revision: m.target.revision, replicas: 2, available: 2, rolled: true}
	return m
}

// push is a commit that changes the target.
func (m *model) push(f fate) {
	m.next++
	revision := fmt.Sprintf("%s%d", DigestPrefix, m.next)
	m.fate[revision] = f
	m.deploy(revision)
}

func (m *model) deploy(revision string) {
	m.logf("git: %s", revision)
	m.target.revision, m.target.age, m.target.exists = revision, 0, true
	m.target.rolled = false
}

func (m *model) logf(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	for _, line := range m.log {
		m.t.Log(line)
	}
	m.t.Fatalf(format, args...)
}

func (p pods) workload() Workload {
	w := Workload{Exists: p.exists, Revision: p.revision, Replicas: p.replicas, Available: p.available}
	w.Ready = p.exists && p.rolled && p.replicas > 0 && p.available >= p.replicas
	w.Stuck = p.exists && !w.Ready && p.replicas > 0 && p.age > patience
	if !w.Ready {
		w.Why = "not yet"
	}
	return w
}

// live lets pods make progress.
func (m *model) live() {
	for _, p := range []*pods{&m.target, &m.primary} {
		p.age++
		f := m.fate[p.revision]
		stays := f.neverStarts || p == &m.primary && f.neverStartsAsPrimary
		if p.exists && !stays && p.replicas > 0 && (m.rng.IntN(2) == 0 || p.age == patience) {
			p.available, p.rolled = p.replicas, true
		}
	}
}

func (m *model) look() Seen {
	return Seen{Names: names, Plan: m.plan, State: m.state, Target: m.target.workload(), Primary: m.primary.workload(),
		Weights: m.weights, Saved: m.saved}
}

// reconcile runs one step; a kill leaves its later actions, or its status, undone.
func (m *model) reconcile(mayKill bool) Step {
	seen := m.look()
	for _, metric := range Due(seen, m.now).Metrics {
		value := 100.0
		if m.fate[m.target.revision].failsChecks {
			value = 10
		}
		seen.Measured = append(seen.Measured, Measurement{Name: metric.Name, Value: value})
	}
	step, err := Decide(seen, m.now)
	if err != nil {
		m.fatalf("%v", err)
	}
	m.logf("%s %+v %v %q", m.state.Phase, m.look().Primary, brief(step.Actions), said(step.Events))
	for _, action := range step.Actions {
		if mayKill && m.rng.IntN(15) == 0 {
			m.logf("killed")
			return step
		}
		m.perform(seen, step, action)
	}
	if mayKill && m.rng.IntN(15) == 0 {
		m.logf("killed before the status")
		return step
	}
	m.state = step.State
	if m.state.Phase == flaggerv1.CanaryPhaseInitialized {
		m.trusted[m.state.Promoted] = true // what the first primary is nobody measures
	}
	return step
}

func (m *model) perform(seen Seen, step Step, action Action) {
	switch a := action.(type) {
	case SetWeights:
		m.checkWeights(a.Weights, step)
		m.weights = a.Weights
	case Snapshot:
		if a.Revision != seen.Target.Revision {
			m.fatalf("snapshot of %s, but the target is %s", a.Revision, seen.Target.Revision)
		}
		m.saved[a.Revision] = true
	case SetPrimary:
		m.setPrimary(seen, a.Revision)
	case StartTarget:
		if m.target.replicas == 0 {
			m.target.replicas, m.target.age, m.target.rolled = 2, 0, false
		}
	case StopTarget:
		if m.weights.Canary > 0 {
			m.fatalf("scaled down a canary that has users")
		}
		m.target.replicas, m.target.available, m.target.rolled, m.target.age = 0, 0, true, 0
	case Prune:
		kept := map[string]bool{}
		for _, revision := range a.Keep {
			kept[revision] = m.saved[revision]
		}
		m.saved = kept
	}
}

func (m *model) setPrimary(seen Seen, revision string) {
	if !m.saved[revision] && seen.Target.Revision != revision {
		m.fatalf("primary gets %s, which nobody has", revision)
	}
	if m.state.Promoted != "" && !m.trusted[revision] && (m.fate[revision].failsChecks || m.fate[revision].neverStarts) {
		m.fatalf("primary gets %s, which failed", revision)
	}
	if !m.primary.exists {
		m.primary = pods{exists: true, replicas: 2}
	}
	if m.primary.revision != revision {
		m.primary.revision, m.primary.rolled, m.primary.age = revision, false, 0
	}
}

// checkWeights holds every change of weights to the promise: nobody is sent to
// pods that cannot answer, nor to a revision that is not under analysis.
func (m *model) checkWeights(w Weights, step Step) {
	if w.Primary+w.Canary != 100 {
		m.fatalf("weights %v", w)
	}
	if w.Canary > m.weights.Canary && (!m.target.workload().Serves() || m.target.revision != step.State.Applied) {
		m.fatalf("users sent to a canary that cannot have them: %+v", m.target)
	}
	if w.Primary > m.weights.Primary && !m.primary.workload().Serves() && m.target.workload().Serves() {
		m.fatalf("users sent to a primary that cannot answer")
	}
}

// disturb is what other people do.
func (m *model) disturb() {
	switch m.rng.IntN(24) {
	case 0:
		m.push(fate{})
	case 1:
		m.push(fate{failsChecks: true})
	case 2:
		m.push(fate{neverStarts: true})
	case 3:
		m.push(fate{neverStartsAsPrimary: true})
	case 4:
		if m.state.Promoted != "" {
			m.deploy(m.state.Promoted)
		}
	case 5:
		m.logf("primary loses its pods")
		m.primary.available, m.primary.age = 0, 0
	case 6:
		m.logf("canary loses its pods")
		m.target.available, m.target.age = 0, 0
	case 7:
		if m.state.Promoted != "" {
			m.logf("primary deleted")
			m.primary = pods{}
		}
	}
}

// settle lets the world run without disturbance until nothing happens any more.
func (m *model) settle() {
	for range 400 {
		step := m.reconcile(false)
		m.now = m.now.Add(max(step.After, time.Second))
		m.live()
	}
	revision, promoted := m.target.revision, m.state.Promoted
	switch {
	case promoted == "" && m.fate[revision].neverStarts || m.fate[revision].neverStartsAsPrimary:
		return // there never was a healthy primary
	case m.weights != Stable || m.state.Weight != 0:
		m.fatalf("users are left on the canary: %v", m.weights)
	case !m.primary.workload().Ready || m.primary.revision != promoted:
		m.fatalf("primary is not the last healthy one: %+v, promoted %s", m.primary, promoted)
	case m.state.Phase == flaggerv1.CanaryPhaseSucceeded, m.state.Phase == flaggerv1.CanaryPhaseInitialized:
		if revision != promoted {
			m.fatalf("%s, but %s is not %s", m.state.Phase, promoted, revision)
		}
	case m.state.Phase == flaggerv1.CanaryPhaseFailed:
		if revision != promoted && m.fate[revision] == (fate{}) && m.state.Applied != revision {
			m.fatalf("a good revision was forgotten")
		}
	default:
		m.fatalf("did not settle: %s", m.state.Phase)
	}
}

func TestInvariantsHoldInEveryHistory(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, seed)
			for range 120 {
				step := m.reconcile(true)
				m.now = m.now.Add(time.Duration(m.rng.Int64N(int64(max(step.After, time.Second)) * 2)))
				m.live()
				m.disturb()
			}
			m.settle()
			first := m.state.Promoted == ""
			m.push(fate{})
			m.settle()
			if first {
				return
			}
			if m.state.Phase != flaggerv1.CanaryPhaseSucceeded || m.primary.revision != m.target.revision {
				m.fatalf("a good release ended as %s", m.state.Phase)
			}
			m.push(fate{failsChecks: true})
			m.settle()
			if m.state.Phase != flaggerv1.CanaryPhaseFailed || m.primary.revision == m.target.revision {
				m.fatalf("a bad release ended as %s", m.state.Phase)
			}
		})
	}
}
