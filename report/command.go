// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// ObjectionTo says why a command of a person would change nothing now; it is empty if
// the command makes sense. The sentence lacks its subject, which is the Canary.
func ObjectionTo(verb flaggerv1.CommandVerb, c *flaggerv1.Canary, now time.Time) string {
	switch {
	case !c.DeletionTimestamp.IsZero():
		return "is being deleted"
	case c.Spec.Suspend:
		return "is suspended: commands are carried out when spec.suspend is false"
	case verb == flaggerv1.CommandApprove:
		return notHeld(c)
	case verb == flaggerv1.CommandRetry:
		return notFailed(c)
	}
	if why := notUnderWay(c); why != "" {
		return why
	}
	if h, kind := c.Status.Hold, holdOf[verb]; h != nil && kind != "" && h.Kind == kind {
		return "is " + heldWord[h.Kind] + " already" + HeldSince(h, now)
	}
	return ""
}

// holdOf is the kind of hold that a command causes.
var holdOf = map[flaggerv1.CommandVerb]string{flaggerv1.CommandHalt: flaggerv1.HoldHalt, flaggerv1.CommandPause: flaggerv1.HoldPause}

// heldWord is what a Canary is that a person holds.
var heldWord = map[string]string{flaggerv1.HoldHalt: "halted", flaggerv1.HoldPause: "paused"}

func notHeld(c *flaggerv1.Canary) string {
	waits := c.Status.Phase == flaggerv1.CanaryPhaseWaiting || c.Status.Phase == flaggerv1.CanaryPhaseWaitingPromotion
	switch h := c.Status.Hold; {
	case h != nil && h.Approved:
		return "was let through the gate " + string(h.Gate) + " already, and is about to go on"
	case h == nil && !waits:
		return "is held by nothing; it is " + phaseOf(c)
	default:
		return ""
	}
}

func notFailed(c *flaggerv1.Canary) string {
	if c.Status.Phase == flaggerv1.CanaryPhaseFailed {
		return ""
	}
	return "has not failed; it is " + phaseOf(c)
}

// notUnderWay says why there is no release that could be stopped or hastened.
func notUnderWay(c *flaggerv1.Canary) string {
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseWaiting, flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseWaitingPromotion:
		return ""
	case flaggerv1.CanaryPhasePromoting, flaggerv1.CanaryPhaseFinalising:
		return "is past its analysis; it is " + phaseOf(c)
	default:
		return "has no release under way; it is " + phaseOf(c)
	}
}

func phaseOf(c *flaggerv1.Canary) string {
	return cmp.Or(string(c.Status.Phase), "not looked at yet")
}

// PendingCommand is a command that was given and that no controller has carried out
// yet, nil if there is none.
func PendingCommand(c *flaggerv1.Canary) *flaggerv1.CanaryCommand {
	command, err := flaggerv1.ParseCommand(c.Annotations[flaggerv1.CommandAnnotation])
	if err != nil {
		return nil
	}
	if last := c.Status.LastCommand; last != nil && last.Same(command) {
		return nil
	}
	return &command
}

// HeldSince says who halted or paused a release, and for how long it has been so.
func HeldSince(h *flaggerv1.CanaryHold, now time.Time) string {
	return By(h.By) + " for " + duration.HumanDuration(now.Sub(h.Since.Time))
}

// By is the end of a sentence that says who did something, if that is known.
func By(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}
