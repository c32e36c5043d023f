// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// statefulSet is released in place: its one set of pods is both
// copies, and a partition says which pods have the new template. Its rules are
// those of package partition and of Kubernetes.
type statefulSet struct {
	pods              []statefulPod
	template, current string
	weight            int
	released          string
	partition         int
	age               int
}

type statefulPod struct {
	revision string
	ready    bool
}

// partitionHeld is the partition between releases.
const partitionHeld = 1000

func newStatefulSet(revision string) *statefulSet {
	s := &statefulSet{template: revision, current: revision}
	for range 4 {
		s.pods = append(s.pods, statefulPod{revision, true})
	}
	return s
}

func (s *statefulSet) behind() bool { return s.template != s.current }

func (s *statefulSet) reach() int { return max(len(s.pods)-s.partition, 0) }

// setPartition writes the partition that follows from what is wanted.
func (s *statefulSet) setPartition() {
	n := len(s.pods)
	was := s.partition
	switch {
	case s.released == s.template && s.behind():
		s.partition = 0
	case s.released == s.template || s.weight == 0:
		s.partition = partitionHeld
	default:
		s.partition = n - max(min(max((n*s.weight+99)/100, 1), n-1), 0)
	}
	if was != s.partition {
		s.age = 0
	}
}

// takeBack deletes a pod that has what it should not.
func (s *statefulSet) takeBack() {
	for i := range s.pods {
		if i < s.partition && s.pods[i].revision != s.current {
			s.pods[i] = statefulPod{s.current, false}
			return
		}
	}
}

// elapse replaces one pod after the other, from the last, each when all are ready.
func (s *statefulSet) elapse(w *simulation) {
	s.age++
	whole := true
	for i := len(s.pods) - 1; i >= 0; i-- {
		p := &s.pods[i]
		if !p.ready && !w.behaviour[p.revision].neverStarts && (w.pick(2) == 0 || s.age == patience) {
			p.ready, s.age = true, 0
		}
		whole = whole && p.ready && p.revision == s.template
		if i >= s.partition && p.revision != s.template {
			*p, s.age = statefulPod{s.template, false}, 0
		}
		if !p.ready {
			whole = false
			break
		}
	}
	if whole && s.behind() {
		if s.current = s.template; w.state.Promoted != "" && !w.earned[s.current] {
			w.fatalf("all pods have %s, which did not earn it", s.current)
		}
	}
}

// count returns how many pods have a revision, and how many of them are ready.
func (s *statefulSet) count(revision string) (have, ready int32) {
	for _, p := range s.pods {
		if p.revision == revision {
			have++
			if p.ready {
				ready++
			}
		}
	}
	return have, ready
}

func (s *statefulSet) judged(w Workload, have int32) Workload {
	switch {
	case have != w.Replicas:
		w.Why = fmt.Sprintf("%d of %d pods have the revision", have, w.Replicas)
	case w.Available < w.Replicas:
		w.Why = fmt.Sprintf("%d of %d pods are available", w.Available, w.Replicas)
	}
	w.Ready = w.Why == ""
	w.Stuck = !w.Ready && s.age > patience
	return w
}

func (s *statefulSet) target() Workload {
	w := Workload{Exists: true, Revision: s.template}
	if !s.behind() {
		return s.judged(w, 0)
	}
	have, ready := s.count(s.template)
	w.Replicas, w.Available = int32(s.reach()), ready
	return s.judged(w, have)
}

func (s *statefulSet) primary() Workload {
	n := int32(len(s.pods))
	have, ready := s.count(s.current)
	w := Workload{Exists: true, Revision: s.current, Replicas: n, Available: ready}
	if s.behind() && s.released == s.template {
		_, fresh := s.count(s.template)
		w.Revision, w.Available = s.template, ready+fresh
		w.Why = "rolling out"
		w.Stuck = s.age > patience
		return w
	}
	if s.behind() {
		w.Replicas -= int32(s.reach())
	}
	return s.judged(w, have)
}

// followed reports whether exactly those pods have the template that should.
func (s *statefulSet) followed() bool {
	have, _ := s.count(s.template)
	return !s.behind() || int(have) == s.reach()
}

func (s *statefulSet) see(seen *Observation) {
	seen.Target, seen.Primary, seen.Snapshots = s.target(), s.primary(), map[string]bool{}
	seen.Weights = provider.Split(s.weight)
	if !s.followed() {
		seen.Weights, seen.RoutePending = provider.Weights{}, true
	}
}

func (s *statefulSet) perform(w *simulation, decision Decision, action Action) {
	switch a := action.(type) {
	case EnsureRoute:
		s.setPartition()
		s.takeBack()
	case SetWeights:
		if a.Canary > s.weight && s.template != decision.State.Applied {
			w.fatalf("pods are given %s, which nobody looks at", s.template)
		}
		s.weight = a.Canary
		s.setPartition()
		s.takeBack()
	case SetPrimary:
		if a.Revision != s.template {
			w.fatalf("promotes %s, which the StatefulSet does not have", a.Revision)
		}
		if w.state.Promoted != "" && !w.earned[a.Revision] {
			w.fatalf("primary gets %s, which did not earn it", a.Revision)
		}
		s.released = a.Revision
		s.setPartition()
	case StopTarget:
		if s.released == s.template && s.behind() {
			s.released = ""
			s.setPartition()
		}
	}
}

// disturb is what happens to pods.
func (s *statefulSet) disturb(w *simulation) {
	switch w.pick(30) {
	case 0:
		w.logf("a pod fails")
		s.pods[w.pick(len(s.pods))].ready = false
	case 1:
		w.logf("weight changed by somebody else")
		s.weight = 0
		s.setPartition()
	}
}

func (s *statefulSet) checkSettled(w *simulation) {
	have, ready := s.count(w.state.Promoted)
	if s.weight != 0 || s.current != w.state.Promoted || int(have) != len(s.pods) || have != ready {
		w.fatalf("pods are %+v, promoted %s", s.pods, w.state.Promoted)
	}
}

func TestPromisesHoldInPlace(t *testing.T) {
	for _, name := range []string{"progressive", "listed", "skip"} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(15) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					plan := planFor(t, func(c *flaggerv1.Canary) {
						strategies[name](c)
						c.Spec.TargetRef.Kind, c.Spec.Provider = "StatefulSet", ""
						c.Spec.Analysis.SessionAffinity = nil
					}, spread(seed))
					w := newSimulation(t, plan, seed)
					w.statefulSet, w.rarity = newStatefulSet(w.target.revision), 40+80*int(seed%2)
					w.runHistory(150)
				})
			}
		})
	}
}

func TestAStatefulSetIsReleasedStepByStep(t *testing.T) {
	plan := planFor(t, func(c *flaggerv1.Canary) {
		strategies["progressive"](c)
		c.Spec.TargetRef.Kind, c.Spec.Provider = "StatefulSet", ""
	}, 2)
	w := newSimulation(t, plan, 1)
	w.statefulSet, w.quiet = newStatefulSet(w.target.revision), true
	w.runUntilCalm()
	w.push(behaviour{})
	var reached []int32
	for range 300 {
		decision := w.reconcile()
		w.elapse(max(decision.After, time.Second))
		if have, _ := w.statefulSet.count(revision(2)); len(reached) == 0 || have != reached[len(reached)-1] {
			reached = append(reached, have)
		}
	}
	if w.state.Phase != flaggerv1.CanaryPhaseSucceeded || fmt.Sprint(reached) != "[0 1 2 3 4]" {
		t.Errorf("%s after %v", w.state.Phase, reached)
	}
}
