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

// verifier comes to a verdict on the bundle that a stage has.
type verifier struct{ stage *stage }

// verify comes to a verdict on the bundle that the stage has, wave by wave.
func (v verifier) verify() {
	l := v.stage.state.current()
	if l == nil {
		return
	}
	if l.Verdict != "" {
		v.soak(l)
		return
	}
	if !v.stage.seen.isThere(v.stage.bundle(l.Bundle)) {
		return // or a commit that cannot be read would be verified by nothing
	}
	b := v.stage.bundle(l.Bundle)
	for _, wave := range v.stage.seen.waves() {
		targets, all := v.members(l, wave, b)
		if len(targets) == 0 && !v.goesToAll(l) {
			continue
		}
		if !all {
			return // it is written to the rest of the wave first
		}
		if !v.verifyWave(l, targets, l.reached(wave, v.stage.now), b) {
			return
		}
	}
	l.Verdict, l.VerdictAt, l.Since, l.Reason = VerdictVerified, &v.stage.now, &v.stage.now, v.proof(b)
	v.stage.addLandingEvent(*l, "Verified", "%s is verified in %s", v.stage.name(l.Bundle), v.stage.spec.Name)
}

// maxProof bounds what is kept of why a bundle is verified, in bytes.
const maxProof = 512

// proof is what the verifications of the targets that have a bundle say.
func (v verifier) proof(b sluicev1.Bundle) string {
	var evidence []string
	for _, t := range v.stage.seen.Targets {
		if t.Content.Is(b) && t.Evidence != "" {
			evidence = append(evidence, t.says(t.Evidence))
		}
	}
	return shorten.Bytes(strings.Join(evidence, "; "), maxProof, "")
}

// goesToAll reports whether all targets are given what landed in some. If nobody does that, because
// of a commit or a closed pull request, those that have it are judged.
func (v verifier) goesToAll(l *Landing) bool {
	if closed := closedByPerson(v.stage.from(), l.Bundle); closed != "" {
		return false
	}
	for _, w := range []*Writing{v.stage.state.Writing, v.stage.state.Pin} {
		if w != nil && w.Bundle == l.Bundle {
			return true
		}
	}
	return l.Kind == sluicev1.LandingPromotion && !l.mayBePartial()
}

// members are the targets of a wave that have the bundle, and whether all do that have
// to.
func (v verifier) members(l *Landing, wave int, b sluicev1.Bundle) (targets []TargetObservation, all bool) {
	all = true
	for _, t := range v.stage.seen.Targets {
		switch {
		case t.Wave != wave:
		case t.Content.Is(b):
			targets = append(targets, t)
		default:
			all = all && !v.goesToAll(l)
		}
	}
	return targets, all
}

// verifyWave reports whether all targets of a wave are verified. A rollback has time until
// verifyTimeout: what failed just now, such as a Canary that a Kustomization waits for, still
// says so when the version of before is applied.
func (v verifier) verifyWave(l *Landing, targets []TargetObservation, since time.Time, b sluicev1.Bundle) bool {
	deadline := since.Add(v.stage.spec.VerifyTimeout.Duration)
	waits, unknown := "", false
	for _, t := range targets {
		unknown = unknown || t.isUnknown()
		switch {
		case t.Ready == ReadinessFailed && l.Kind != sluicev1.LandingRollback:
			v.fail(l, t.says(t.Why))
			return false
		case t.Verification == VerificationFailed:
			v.fail(l, t.says(t.Evidence))
			return false
		case t.Ready != ReadinessReady:
			waits = cmp.Or(waits, t.says(cmp.Or(t.Why, "not Ready yet")))
		case t.Verification != VerificationPassed:
			waits = cmp.Or(waits, t.says(cmp.Or(t.Evidence, "not verified yet")))
			v.stage.transition.addActions(Verify{Stage: v.stage.spec.Name, Target: t.Name, Bundle: b, Since: since})
		}
	}
	switch {
	case waits == "":
		return true
	case unknown:
		// It is held until somebody can tell.
	case v.stage.spec.VerifyTimeout.Duration > 0 && !v.stage.now.Before(deadline):
		v.fail(l, fmt.Sprintf("not verified within %s: %s", v.stage.spec.VerifyTimeout.Duration, waits))
	case v.stage.spec.VerifyTimeout.Duration > 0:
		v.stage.requeueAt(deadline)
	}
	return false
}

// soak counts the time in which a verified bundle is in the stage, and its objects do not
// fail.
func (v verifier) soak(l *Landing) {
	if l.Verdict != VerdictVerified {
		return
	}
	b := v.stage.bundle(l.Bundle)
	failing := slices.ContainsFunc(v.stage.seen.Targets, func(t TargetObservation) bool {
		return t.Ready == ReadinessFailed && t.Content.Is(b)
	})
	switch {
	case failing, !v.stage.seen.isThere(v.stage.bundle(l.Bundle)):
		l.stopSoak(v.stage.now)
	case l.Since == nil:
		l.Since = &v.stage.now
	}
}

// fail ends a landing with a bad verdict. Its bundle goes into quarantine, and the one
// before it is to be written. A rollback that fails is left to people: what it brought
// back was verified once, and there is no reason why anything else would work.
func (v verifier) fail(l *Landing, why string) {
	l.Verdict, l.VerdictAt, l.Reason = VerdictFailed, &v.stage.now, why
	v.stage.warnOfLanding(*l, sluicev1.StageFailedReason, "%s failed in %s: %s", v.stage.name(l.Bundle), v.stage.spec.Name, why)
	if l.Kind == sluicev1.LandingRollback {
		return
	}
	v.quarantine(l, why)
	if v.stage.spec.OnFailure.Rollback == nil || *v.stage.spec.OnFailure.Rollback {
		v.planRollback(l.Bundle, why)
	}
}

// planRollback notes what a stage is given back in place of a bundle that failed.
func (v verifier) planRollback(failed, why string) {
	back := v.stage.state.verifiedBefore(func(id string) bool { return id != failed && !v.isExcluded(id) })
	if back == "" {
		v.stage.state.Writing = nil
		v.stage.warn(sluicev1.NoRollbackTargetReason,
			"there is no bundle that was verified in %s before: %s stays", v.stage.spec.Name, v.stage.name(failed))
		return
	}
	v.stage.stopIgnoring(back)
	v.stage.state.Writing = &Writing{Bundle: back, Kind: sluicev1.LandingRollback, At: v.stage.now, Reason: why}
}

// isExcluded reports whether a bundle is in quarantine, or has a version that is.
func (v verifier) isExcluded(id string) bool {
	return v.stage.quarantined(id) != nil || v.stage.transition.State.excluding(v.stage.bundle(id)) != nil
}

// replanRollback chooses another bundle to go back to if the one that was chosen failed
// elsewhere in the meantime.
func (v verifier) replanRollback() {
	w, l := v.stage.state.Writing, v.stage.state.current()
	if w == nil || l == nil || w.Kind != sluicev1.LandingRollback || w.By != "" || !v.isExcluded(w.Bundle) {
		return
	}
	v.planRollback(l.Bundle, w.Reason)
}

// endPin ends what a person asked for if it failed elsewhere since then: they did not know.
// Where a quarantine was there before, they did.
func (v verifier) endPin() {
	pin := v.stage.state.Pin
	if pin == nil {
		return
	}
	q := v.stage.transition.State.excluding(v.stage.bundle(pin.Bundle))
	if q == nil || q.At.Before(pin.At) {
		return
	}
	v.stage.state.Pin = nil
	v.stage.warn(commandRefused, "%s asked to promote %s to %s, which is in quarantine by now: %s",
		orSomebody(pin.By), v.stage.name(pin.Bundle), v.stage.spec.Name, q.Reason)
}

func (v verifier) quarantine(l *Landing, why string) {
	entry := Quarantine{Bundle: l.Bundle, Stage: v.stage.spec.Name, Reason: why, At: v.stage.now, Artifacts: v.changedArtifacts(l.Bundle)}
	if after := v.stage.spec.OnFailure.Quarantine; after != nil {
		until := v.stage.now.Add(after.Duration)
		entry.Until = &until
	}
	if q := v.stage.quarantined(l.Bundle); q != nil {
		*q = entry
		return
	}
	v.stage.transition.State.Quarantine = append(v.stage.transition.State.Quarantine, entry)
}
