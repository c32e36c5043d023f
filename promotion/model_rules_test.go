// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// shapes are the pipelines that the model test lets things happen to.
func shapes() map[string]func() []sluicev1.Stage {
	after := func(name string, change func(*sluicev1.Stage), before ...string) sluicev1.Stage {
		return with(production(), func(s *sluicev1.Stage) {
			s.Name, s.After = name, &sluicev1.After{Stages: before}
			change(s)
		})
	}
	plain := func(*sluicev1.Stage) {}
	anyOf := func(s *sluicev1.Stage) { s.After.Policy = sluicev1.AfterAny }
	waves := func(s *sluicev1.Stage) {
		s.Targets = []sluicev1.Target{{Name: "us", Wave: 1}, {Name: "eu"}, {Name: "asia", Wave: 1}, {Name: "moon", Wave: 2}}
	}
	soak := func(s *sluicev1.Stage) { s.After.Soak = minutes(30) }
	first := func(name string) sluicev1.Stage { return with(staging(), func(s *sluicev1.Stage) { s.Name = name }) }
	return map[string]func() []sluicev1.Stage{
		"commits":       func() []sluicev1.Stage { return []sluicev1.Stage{staging(), production()} },
		"pull requests": func() []sluicev1.Stage { return []sluicev1.Stage{staging(), with(production(), pullRequests)} },
		"three stages that soak": func() []sluicev1.Stage {
			return []sluicev1.Stage{staging(), after("qa", soak, "staging"), after("production", soak, "qa")}
		},
		"a diamond": func() []sluicev1.Stage {
			return []sluicev1.Stage{
				staging(), after("eu", plain, "staging"), after("us", soak, "staging"), after("production", plain, "eu", "us"),
			}
		},
		"a diamond of any": func() []sluicev1.Stage {
			return []sluicev1.Stage{
				staging(), after("eu", plain, "staging"), after("us", plain, "staging"), after("production", anyOf, "eu", "us"),
			}
		},
		"two first stages": func() []sluicev1.Stage {
			return []sluicev1.Stage{first("eu"), first("us"), after("production", plain, "eu", "us")}
		},
		"any of two first stages": func() []sluicev1.Stage {
			return []sluicev1.Stage{first("eu"), first("us"), after("production", anyOf, "eu", "us")}
		},
		"waves": func() []sluicev1.Stage { return []sluicev1.Stage{staging(), with(production(), waves)} },
		"waves of pull requests": func() []sluicev1.Stage {
			return []sluicev1.Stage{staging(), with(with(production(), waves), pullRequests)}
		},
		"waves after a diamond": func() []sluicev1.Stage {
			return []sluicev1.Stage{
				with(staging(), waves), after("eu", plain, "staging"), after("us", plain, "staging"), after("production", waves, "eu", "us"),
			}
		},
	}
}

// given is what an action would give to which targets of a stage.
type given struct {
	stage   string
	targets []string
	bundle  sluicev1.Bundle
	kind    sluicev1.LandingKind
	by      string
	how     string
}

func givenBy(action Action) (given, bool) {
	switch a := action.(type) {
	case Write:
		return given{a.Stage, a.Targets, a.Bundle, a.Kind, a.By, "written"}, true
	case Propose:
		return given{a.Stage, a.Targets, a.Bundle, a.Kind, a.By, "proposed"}, true
	}
	return given{}, false
}

// check holds an action to what may never happen.
func (m *model) check(action Action) {
	g, ok := givenBy(action)
	if !ok {
		return
	}
	version := g.bundle.Versions[0].Tag
	m.note("%s %s to %s%v as %s", version, g.how, g.stage, g.targets, g.kind)
	g.targets = slices.DeleteFunc(slices.Clone(g.targets), func(target string) bool {
		return m.places[g.stage+"/"+target].versions[m.artifact()] == version
	})
	if m.asked[g.stage+" "+version] || len(g.targets) == 0 {
		return
	}
	if version == older {
		m.t.Errorf("%s stands in for what is in quarantine, and is %s to %s", version, g.how, g.stage)
	}
	if q := m.state.quarantined(g.bundle.ID); q != nil && q.Overridden == nil {
		m.t.Errorf("%s is in quarantine, and %s to %s", version, g.how, g.stage)
	}
	if g.kind == sluicev1.LandingRollback {
		m.checkRollback(g)
		return
	}
	m.checkBefore(g)
	m.checkWaves(g)
	for _, target := range g.targets {
		key := g.stage + "/" + target + " " + version
		last, again := m.promoted[key]
		if g.how == "written" && again && m.remembers(g.stage, g.bundle.ID) && !m.cameAgain(g.stage, g.bundle.ID, last) {
			m.t.Errorf("%s is promoted to %s/%s twice", version, g.stage, target)
		}
		if g.how == "written" {
			m.promoted[key] = m.now
		}
	}
}

// checkRollback: a landing is rolled back by itself once, and a rollback never.
func (m *model) checkRollback(g given) {
	landing := m.state.Stages[g.stage].current()
	if g.by != "" || g.how != "written" || landing == nil {
		return
	}
	key := g.stage + " " + landing.Bundle + landing.At.String()
	if m.undone[key] {
		m.t.Errorf("%s in %s is rolled back twice", m.describe(landing.Bundle), g.stage)
	}
	if landing.Kind == sluicev1.LandingRollback && landing.Verdict == VerdictFailed {
		m.t.Errorf("the rollback of %s to %s is rolled back", g.stage, m.describe(landing.Bundle))
	}
	m.undone[key] = true
}

// checkBefore: enough of the stages before have verified what a stage is given.
func (m *model) checkBefore(g given) {
	after := m.spec.Stage(g.stage).After
	if l := m.state.Stages[g.stage].current(); after == nil || l != nil && l.Bundle == g.bundle.ID {
		return // it is on its way through the waves, whatever became of the stages before
	}
	verified := 0
	for _, name := range after.Stages {
		if slices.ContainsFunc(m.state.Stages[name].Landings, func(l Landing) bool {
			return l.Bundle == g.bundle.ID && l.Verdict == VerdictVerified
		}) {
			verified++
		}
	}
	if need := len(after.Stages); verified < need && (after.Policy != sluicev1.AfterAny || verified == 0) {
		m.t.Errorf("%s is %s to %s, and verified in %d of %v", Describe(g.bundle), g.how, g.stage, verified, after.Stages)
	}
}

// checkWaves: a wave is given what all waves before it have, and are verified with.
func (m *model) checkWaves(g given) {
	targets := targetsOf(m.spec.Stage(g.stage))
	for _, target := range targets {
		if !slices.Contains(g.targets, target.Name) {
			continue
		}
		for _, before := range targets {
			key := g.stage + "/" + before.Name
			if before.Wave >= target.Wave {
				continue
			}
			ready, verified := m.judged(key)
			if m.places[key].versions[m.artifact()] != g.bundle.Versions[0].Tag || ready != ReadinessReady || verified != VerificationPassed {
				m.t.Errorf("%s is %s to %s/%s, and %s of the wave before is not verified with it",
					Describe(g.bundle), g.how, g.stage, target.Name, before.Name)
			}
		}
	}
}

// remembers reports whether the state still has all landings of a bundle in a stage.
func (m *model) remembers(stage, bundle string) bool {
	landings := m.state.Stages[stage].Landings
	return len(landings) < maxLandings || slices.ContainsFunc(landings, func(l Landing) bool { return l.Bundle == bundle })
}

// cameAgain reports whether somebody put a bundle into a stage before this one again.
func (m *model) cameAgain(stage, bundle string, since time.Time) bool {
	after := m.spec.Stage(stage).After
	return after != nil && slices.ContainsFunc(after.Stages, func(name string) bool {
		return slices.ContainsFunc(m.state.Stages[name].Landings, func(l Landing) bool {
			return l.Bundle == bundle && l.Kind != sluicev1.LandingRollback && l.At.After(since)
		})
	})
}
