// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// verify comes to a verdict on the bundle that the stage has, wave by wave.
func verify(s stageTransition) stageDecision {
	d, l := s.unchanged(), s.prev.current()
	if l == nil {
		return d
	}
	b := s.bundle(l.Bundle)
	switch {
	case l.Verdict != "":
		d.state = s.prev.withCurrent(l.soak(s.seen, b, s.now))
		return d
	case !s.seen.isThere(b):
		return d // or a commit that cannot be read would be verified by nothing
	}
	return verifyWaves(s, *l, b)
}

// verifyWaves comes to a verdict on a landing that has none, and whose bundle is there.
func verifyWaves(s stageTransition, l Landing, b sluicev1.Bundle) stageDecision {
	d, toAll := s.unchanged(), goesToAll(s, l)
	for _, number := range s.seen.waves() {
		having, lacking := s.seen.members(number, b)
		switch {
		case lacking && toAll:
			return d // it is written to the rest of the wave first
		case len(having) == 0:
			continue
		}
		l = l.withWave(number, s.now)
		d.state = s.prev.withCurrent(l)
		verdict := judgeWave(s.spec, l.Kind, wave{having, l.Waves[number]}, s.now)
		for _, target := range verdict.unproven {
			d.actions = append(d.actions, Verify{Stage: s.spec.Name, Target: target, Bundle: b, Since: l.Waves[number]})
		}
		d.waits = d.waits.recheckAt(verdict.again)
		switch verdict.outcome {
		case waveWaits:
			return d
		case waveFailed:
			return s.then(d, func(s stageTransition) stageDecision { return fail(s, l, verdict.why) })
		case waveVerified:
		}
	}
	l.Verdict, l.VerdictAt, l.Since, l.Reason = VerdictVerified, &s.now, &s.now, proof(s.seen.Targets, b)
	d.state = s.prev.withCurrent(l)
	d.addLandingEvent(l, "Verified", "%s is verified in %s", s.name(l.Bundle), s.spec.Name)
	return d
}

// maxProof bounds what is kept of why a bundle is verified, in bytes.
const maxProof = 512

// proof is what the verifications of the targets that have a bundle say.
func proof(targets []TargetObservation, b sluicev1.Bundle) string {
	var evidence []string
	for _, t := range targets {
		if t.Content.Is(b) && t.Evidence != "" {
			evidence = append(evidence, t.says(t.Evidence))
		}
	}
	return shorten.Bytes(strings.Join(evidence, "; "), maxProof, "")
}

// goesToAll reports whether all targets are given what landed in some. If nobody does that, because
// of a commit or a closed pull request, those that have it are judged.
func goesToAll(s stageTransition, l Landing) bool {
	if closedByPerson(s, l.Bundle) != "" {
		return false
	}
	for _, w := range []*Writing{s.prev.Writing, s.prev.Pin} {
		if w != nil && w.Bundle == l.Bundle {
			return true
		}
	}
	return l.Kind == sluicev1.LandingPromotion && !l.mayBePartial()
}

// wave are the targets of a wave that have a bundle, and since when the wave has it.
type wave struct {
	targets []TargetObservation
	since   time.Time
}

// waveOutcome is whether a wave is verified.
type waveOutcome int

const (
	waveWaits waveOutcome = iota
	waveVerified
	waveFailed
)

// waveVerdict is what the targets of a wave say of a bundle.
type waveVerdict struct {
	outcome  waveOutcome
	why      string   // it failed
	unproven []string // names of targets that are Ready, and have to be verified
	again    time.Time
}

// judgeWave says whether all targets of a wave are verified. A rollback has time until
// verifyTimeout: what failed just now, such as a Canary that a Kustomization waits for, still
// says so when the version of before is applied.
func judgeWave(spec *sluicev1.Stage, kind sluicev1.LandingKind, w wave, now time.Time) waveVerdict {
	var v waveVerdict
	waits, unknown := "", false
	for _, t := range w.targets {
		unknown = unknown || t.isUnknown()
		switch {
		case t.Ready == ReadinessFailed && kind != sluicev1.LandingRollback:
			v.outcome, v.why = waveFailed, t.says(t.Why)
			return v
		case t.Verification == VerificationFailed:
			v.outcome, v.why = waveFailed, t.says(t.Evidence)
			return v
		case t.Ready != ReadinessReady:
			waits = cmp.Or(waits, t.says(cmp.Or(t.Why, "not Ready yet")))
		case t.Verification != VerificationPassed:
			waits = cmp.Or(waits, t.says(cmp.Or(t.Evidence, "not verified yet")))
			v.unproven = append(v.unproven, t.Name)
		}
	}
	timeout := spec.VerifyTimeout.Duration
	deadline := w.since.Add(timeout)
	switch {
	case waits == "":
		v.outcome = waveVerified
	case unknown, timeout <= 0:
		// It is held until somebody can tell.
	case !now.Before(deadline):
		v.outcome, v.why = waveFailed, fmt.Sprintf("not verified within %s: %s", shorten.Duration(timeout), waits)
	default:
		v.again = deadline
	}
	return v
}

// soak is a landing with the time in which its verified bundle is in the stage, and its objects do not
// fail.
func (l Landing) soak(seen StageObservation, b sluicev1.Bundle, now time.Time) Landing {
	if l.Verdict != VerdictVerified {
		return l
	}
	failing := slices.ContainsFunc(seen.Targets, func(t TargetObservation) bool {
		return t.Ready == ReadinessFailed && t.Content.Is(b)
	})
	switch {
	case failing, !seen.isThere(b):
		return l.stopSoak(now)
	case l.Since == nil:
		l.Since = &now
	}
	return l
}

// fail ends a landing with a bad verdict. Its bundle goes into quarantine, and the one
// before it is to be written. A rollback that fails is left to people: what it brought
// back was verified once, and there is no reason why anything else would work.
func fail(s stageTransition, l Landing, why string) stageDecision {
	d := s.unchanged()
	l.Verdict, l.VerdictAt, l.Reason = VerdictFailed, &s.now, why
	d.state = s.prev.withCurrent(l)
	d.warnOfLanding(l, sluicev1.StageFailedReason, "%s failed in %s: %s", s.name(l.Bundle), s.spec.Name, why)
	if l.Kind == sluicev1.LandingRollback {
		return d
	}
	d.quarantine = []Quarantine{quarantineAfter(s, l.Bundle, why)}
	if s.spec.OnFailure.Rollback == nil || *s.spec.OnFailure.Rollback {
		return s.then(d, func(s stageTransition) stageDecision { return planRollback(s, l.Bundle, why) })
	}
	return d
}

// planRollback notes what a stage is given back in place of a bundle that failed.
func planRollback(s stageTransition, failed, why string) stageDecision {
	d := s.unchanged()
	back := s.prev.verifiedBefore(func(id string) bool { return id != failed && !isExcluded(s, id) })
	if back == "" {
		d.state.Writing = nil
		d.warn(sluicev1.NoRollbackTargetReason,
			"there is no bundle that was verified in %s before: %s stays", s.spec.Name, s.name(failed))
		return d
	}
	d.state = s.prev.withoutIgnored(back)
	d.state.Writing = &Writing{Bundle: back, Kind: sluicev1.LandingRollback, At: s.now, Reason: why}
	return d
}

// isExcluded reports whether a bundle is in quarantine, or has a version that is.
func isExcluded(s stageTransition, id string) bool {
	return s.pipeline.quarantined(id) != nil || s.pipeline.excluding(s.bundle(id)) != nil
}

// replanRollback chooses another bundle to go back to if the one that was chosen failed
// elsewhere in the meantime.
func replanRollback(s stageTransition) stageDecision {
	w, l := s.prev.Writing, s.prev.current()
	if w == nil || l == nil || w.Kind != sluicev1.LandingRollback || w.By != "" || !isExcluded(s, w.Bundle) {
		return s.unchanged()
	}
	return planRollback(s, l.Bundle, w.Reason)
}

// endPin ends what a person asked for if it failed elsewhere since then: they did not know.
// Where a quarantine was there before, they did.
func endPin(s stageTransition) stageDecision {
	d, pin := s.unchanged(), s.prev.Pin
	if pin == nil {
		return d
	}
	q := s.pipeline.excluding(s.bundle(pin.Bundle))
	if q == nil || q.At.Before(pin.At) {
		return d
	}
	d.state.Pin = nil
	d.warn(commandRefused, "%s asked to promote %s to %s, which is in quarantine by now: %s",
		orSomebody(pin.By), s.name(pin.Bundle), s.spec.Name, q.Reason)
	return d
}
