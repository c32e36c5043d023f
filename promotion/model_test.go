// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// model lets things happen to a simulated pipeline at random, and crashes it between any
// two writes.
type model struct {
	*simulation
	rand     *rand.Rand
	releases int
	renames  int
	promoted map[string]time.Time // by stage, target and version: when it was last
	asked    map[string]bool      // by stage and version: a person asked for it
	undone   map[string]bool      // by stage and landing: it was rolled back
	events   []string
}

func (m *model) version() string { return strconv.Itoa(1 + m.rand.IntN(m.releases)) }

func (m *model) stage() *sluicev1.Stage { return &m.spec.Stages[m.rand.IntN(len(m.spec.Stages))] }

// happen is one random event.
func (m *model) happen() {
	m.now = m.now.Add(time.Second)
	stage, version := m.stage(), m.version()
	targets := targetsOf(stage)
	target := targets[m.rand.IntN(len(targets))].Name
	key := stage.Name + "/" + target + "@" + version
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
		m.note("bob commits %s to %s/%s", version, stage.Name, target)
		m.commit(stage.Name, target, version, "bob")
	case 7, 8:
		m.now = m.now.Add(time.Duration(m.rand.IntN(40)) * time.Minute)
	case 9:
		m.tell(stage.Name, version)
	case 10:
		m.happenRarely(stage, key)
	default:
		m.happenToPullRequest(stage.Name)
	}
}

func (m *model) note(format string, args ...any) {
	m.events = append(m.events, m.now.Format("02T15:04:05 ")+fmt.Sprintf(format, args...))
}

func (m *model) tell(stage, version string) {
	verb := sluicev1.CommandVerbs[m.rand.IntN(len(sluicev1.CommandVerbs))]
	m.note("alice: %s %s in %s", verb, version, stage)
	m.command(verb, stage, func(c *Command) {
		c.Bundle, c.End = m.bundle(version), m.rand.IntN(2) == 0
		if verb == sluicev1.CommandPromote || verb == sluicev1.CommandRollback || verb == sluicev1.CommandLift {
			m.asked[stage+" "+version] = true
		}
	})
}

// happenRarely is what happens to the objects and the spec of a pipeline only now and then.
func (m *model) happenRarely(stage *sluicev1.Stage, key string) {
	switch m.rand.IntN(8) {
	case 0:
		m.renameStage(stage)
	case 1:
		is := fmt.Sprintf("app-%d", len(m.events))
		m.note("artifact %s is called %s", m.artifact(), is)
		m.renameArtifact(m.artifact(), is)
	case 2, 3:
		m.note("%s cannot be seen for a while: %v", stage.Name, !m.unseen[stage.Name])
		m.unseen[stage.Name] = !m.unseen[stage.Name]
	case 4:
		m.note("%s: nobody can tell", key)
		m.ready[key] = ReadinessUnknown
	case 5:
		m.note("%s: an object is missing", key)
		m.verification[key] = VerificationMissing
	default:
		m.note("%s takes its time", key)
		m.verification[key] = VerificationPending
	}
}

// renameStage calls a stage otherwise. What it has stays, and what is known of it is
// forgotten: its objects say the same.
func (m *model) renameStage(stage *sluicev1.Stage) {
	m.renames++
	was, is := stage.Name, strings.Split(stage.Name, "~")[0]+"~"+strconv.Itoa(m.renames)
	m.note("stage %s is called %s", was, is)
	stage.Name = is
	for i := range m.spec.Stages {
		if after := m.spec.Stages[i].After; after != nil {
			after.Stages = slices.Clone(after.Stages)
			for j, name := range after.Stages {
				if name == was {
					after.Stages[j] = is
				}
			}
		}
	}
	move(m.places, was+"/", is+"/")
	move(m.ready, was+"/", is+"/")
	move(m.verification, was+"/", is+"/")
	move(m.wrote, was+"/", is+"/")
	delete(m.proposed, was)
	delete(m.prs, was)
	delete(m.pushed, was)
	delete(m.unseen, was)
}

// move gives the entries of a map that begin with a prefix another one.
func move[T any](entries map[string]T, was, is string) {
	for key, value := range entries {
		if rest, ok := strings.CutPrefix(key, was); ok {
			delete(entries, key)
			entries[is+rest] = value
		}
	}
}

func (m *model) happenToPullRequest(stage string) {
	pr := m.prs[stage]
	if pr == nil {
		return
	}
	switch m.rand.IntN(6) {
	case 0:
		pr.Checks = pullrequest.ChecksPassed
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
		m.crash()
		return
	}
	m.state = d.State
	m.last = d
	for _, action := range d.Actions {
		if m.rand.IntN(10) == 0 {
			m.crash()
			return
		}
		m.check(action)
		m.perform(action)
	}
}

// crash forgets what the process knows and nobody else. What it committed, Git tells.
func (m *model) crash() {
	m.note("crash")
	clear(m.pushed)
}

// older comes before all that is released.
const older = "0.9"

// observeLagging is what is seen where image policies may know of a quarantine already, and
// stand in with an older version, or not yet.
func (m *model) observeLagging() Observation {
	seen := m.observe()
	newest := seen.Newest[m.artifact()]
	b := m.state.bundleOf([]sluicev1.Version{{Artifact: m.artifact(), Image: newest.Image, Tag: newest.Tag, Digest: newest.Digest}})
	if q := m.state.quarantined(b.ID); q != nil && q.Overridden == nil && m.rand.IntN(2) == 0 {
		newest.Tag, newest.StandsIn = older, true
		seen.Newest = map[string]Newest{m.artifact(): newest}
	}
	return seen
}

// recover ends all that keeps the pipeline from going on. Then a new version has to get
// everywhere, whatever happened before.
func (m *model) recover() {
	clear(m.unseen)
	clear(m.ready)
	clear(m.verification)
	for i := range m.spec.Stages {
		m.now = m.now.Add(time.Second)
		m.command(sluicev1.CommandHold, m.spec.Stages[i].Name, func(c *Command) { c.End = true })
	}
	m.note("all is well")
	m.mergeAll() // what was asked for before
	m.releases++
	m.note("release %d", m.releases)
	m.release(strconv.Itoa(m.releases))
	m.mergeAll()
	for i := range m.spec.Stages {
		stage := &m.spec.Stages[i]
		for _, target := range targetsOf(stage) {
			if got := m.places[stage.Name+"/"+target.Name].versions[m.artifact()]; got != strconv.Itoa(m.releases) {
				m.t.Errorf("%s/%s is stuck at %s: %+v", stage.Name, target.Name, got, m.status(stage.Name))
			}
		}
	}
}

// mergeAll merges what is proposed, until there is no more.
func (m *model) mergeAll() {
	for range 10 {
		m.pass(time.Hour)
		for name, pr := range m.prs {
			if pr.Open {
				m.note("bob merges #%d of %s", pr.Number, name)
				m.merge(name, "bob")
			}
		}
	}
}

// PROMOTION_SEEDS plays more lives of each pipeline.
func TestWhateverHappens(t *testing.T) {
	seeds := 8
	if n, err := strconv.Atoi(os.Getenv("PROMOTION_SEEDS")); err == nil {
		seeds = n
	}
	for name, shape := range shapes() {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds {
				play(t, uint64(seed), shape())
			}
		})
	}
}

// play lets a pipeline of these stages live, and fails the test with what happened.
func play(t *testing.T, seed uint64, stages []sluicev1.Stage) {
	t.Helper()
	m := &model{
		simulation: newSimulation(t, stages...), rand: rand.New(rand.NewPCG(seed, 1)), // repeatable on purpose
		releases: 1, promoted: map[string]time.Time{}, asked: map[string]bool{}, undone: map[string]bool{},
	}
	for range 120 {
		m.happen()
		for range m.rand.IntN(4) {
			m.step()
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, strings.Join(m.events, "\n"))
		}
	}
	m.settle() // it always comes to rest
	m.recover()
	if text, err := m.state.Marshal(); err != nil || len(text) > maxState {
		t.Errorf("the state has %d bytes: %v", len(text), err)
	}
	if t.Failed() {
		t.Fatalf("seed %d:\n%s", seed, strings.Join(m.events, "\n"))
	}
}
