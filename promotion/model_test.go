// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// model lets things happen to a simulated pipeline at random, and crashes it between any
// two writes.
type model struct {
	*simulation
	rand     *rand.Rand
	releases int
	promoted map[string]time.Time // by stage and version: when it was last
	asked    map[string]bool
	events   []string
}

func (m *model) version() string { return strconv.Itoa(1 + m.rand.IntN(m.releases)) }

func (m *model) stage() string { return m.spec.Stages[m.rand.IntN(len(m.spec.Stages))].Name }

// happen is one random event.
func (m *model) happen() {
	stage, version := m.stage(), m.version()
	key := stage + "/@" + version
	switch m.rand.IntN(12) {
	case 0, 1:
		m.releases++
		m.note("release %d", m.releases)
		m.release(strconv.Itoa(m.releases))
	case 2:
		m.note("%s fails its verification", key)
		m.verification[key] = VerificationFailed
	case 3:
		m.note("%s passes", key)
		delete(m.verification, key)
	case 4:
		m.note("%s is broken", key)
		m.ready[key] = ReadinessFailed
	case 5:
		delete(m.ready, key)
	case 6:
		m.note("bob commits %s to %s", version, stage)
		m.commit(stage, "", version, "bob")
	case 7, 8:
		m.now = m.now.Add(time.Duration(m.rand.IntN(40)) * time.Minute)
	case 9:
		m.tell(stage, version)
	default:
		m.happenToPullRequest(stage)
	}
}

func (m *model) note(format string, args ...any) {
	m.events = append(m.events, m.now.Format("02T15:04:05 ")+fmt.Sprintf(format, args...))
}

func (m *model) tell(stage, version string) {
	verb := sluicev1.CommandVerbs[m.rand.IntN(len(sluicev1.CommandVerbs))]
	m.now = m.now.Add(time.Second)
	m.note("alice: %s %s in %s", verb, version, stage)
	m.command(verb, stage, func(c *Command) {
		c.Bundle, c.End = m.bundle(version), m.rand.IntN(2) == 0
		if verb == sluicev1.CommandPromote || verb == sluicev1.CommandRollback || verb == sluicev1.CommandLift {
			m.asked[stage+" "+version] = true
		}
	})
}

func (m *model) happenToPullRequest(stage string) {
	pr := m.prs[stage]
	if pr == nil {
		return
	}
	switch m.rand.IntN(6) {
	case 0:
		pr.Checks = ReadinessReady
	case 1:
		if pr.Open {
			m.note("bob closes #%d", pr.Number)
			pr.Open, pr.ClosedBy = false, "bob"
		}
	case 2:
		if !pr.Open && !pr.Merged && !pr.ClosedByUs {
			m.note("bob opens #%d again", pr.Number)
			pr.Open = true
		}
	case 3:
		if pr.Open {
			m.note("bob merges #%d", pr.Number)
			m.merge(stage, "bob")
		}
	case 4:
		pr.Approved = !pr.Approved
	case 5:
		if pr.Open {
			m.note("bob commits to #%d", pr.Number)
			m.commits++
			pr.Head, pr.HeadOurs = fmt.Sprint("bobs", m.commits), false
		}
	}
}

// step decides once, and may crash: before the state is kept, after it, or between two
// actions.
func (m *model) step() {
	d := Decide(m.state, m.observeLagging(), m.now)
	if m.rand.IntN(10) == 0 {
		return
	}
	m.state = d.State
	m.last = d
	for _, action := range d.Actions {
		if m.rand.IntN(10) == 0 {
			return
		}
		m.check(action)
		m.perform(action)
	}
}

// older comes before all that is released.
const older = "0.9"

// observeLagging is what is seen where image policies may know of a quarantine already, and
// stand in with an older version, or not yet.
func (m *model) observeLagging() Observation {
	seen := m.observe()
	newest := seen.Newest["app"]
	b := NewBundle([]sluicev1.Version{{Artifact: "app", Tag: newest.Tag, Digest: newest.Digest}})
	if q := m.state.quarantined(b.ID); q != nil && q.Overridden == nil && m.rand.IntN(2) == 0 {
		newest.Tag, newest.StandsIn = older, true
		seen.Newest = map[string]Newest{"app": newest}
	}
	return seen
}

// check holds an action to what may never happen.
func (m *model) check(action Action) {
	var stage, from string
	var bundle sluicev1.Bundle
	var kind sluicev1.LandingKind
	switch a := action.(type) {
	case Write:
		stage, bundle, kind, from = a.Stage, a.Bundle, a.Kind, "written"
	case Propose:
		stage, bundle, kind, from = a.Stage, a.Bundle, a.Kind, "proposed"
	default:
		return
	}
	version := bundle.Versions[0].Tag
	m.note("%s %s to %s as %s", version, from, stage, kind)
	if m.asked[stage+" "+version] || m.has(stage) == version {
		return
	}
	if version == older {
		m.t.Errorf("%s stands in for what is in quarantine, and is %s to %s", version, from, stage)
	}
	if q := m.state.quarantined(bundle.ID); q != nil && q.Overridden == nil {
		m.t.Errorf("%s is in quarantine, and %s to %s", version, from, stage)
	}
	if kind == sluicev1.LandingRollback {
		return
	}
	if after := m.spec.Stage(stage).After; after != nil &&
		!slices.ContainsFunc(m.state.Stages[after.Stages[0]].Landings, func(l Landing) bool {
			return l.Bundle == bundle.ID && l.Verdict == VerdictVerified
		}) {
		m.t.Errorf("%s is %s to %s, and was never verified in %s", version, from, stage, after.Stages[0])
	}
	if from == "written" {
		if last, again := m.promoted[stage+" "+version]; again && !m.cameAgain(stage, bundle.ID, last) {
			m.t.Errorf("%s is promoted to %s twice", version, stage)
		}
		m.promoted[stage+" "+version] = m.now
	}
}

// cameAgain reports whether somebody put a bundle into the stage before this one again.
func (m *model) cameAgain(stage, bundle string, since time.Time) bool {
	after := m.spec.Stage(stage).After
	return after != nil && slices.ContainsFunc(m.state.Stages[after.Stages[0]].Landings, func(l Landing) bool {
		return l.Bundle == bundle && l.Kind != sluicev1.LandingRollback && l.At.After(since)
	})
}

func TestWhateverHappens(t *testing.T) {
	seeds := 100
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		stages := []sluicev1.Stage{staging(), production()}
		if seed%2 == 0 {
			stages[1] = with(stages[1], pullRequests)
		}
		m := &model{
			simulation: newSimulation(t, stages...), rand: rand.New(rand.NewPCG(uint64(seed), 1)), //nolint:gosec // repeatable on purpose
			releases: 1, promoted: map[string]time.Time{}, asked: map[string]bool{},
		}
		for range 120 {
			m.happen()
			for range m.rand.IntN(4) {
				m.step()
			}
		}
		m.settle() // it always comes to rest
		if text, err := m.state.Marshal(); err != nil || len(text) > maxState {
			t.Errorf("the state has %d bytes: %v", len(text), err)
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, strings.Join(m.events, "\n"))
		}
	}
}
