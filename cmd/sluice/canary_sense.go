package main

import (
	"cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// objection says why a command makes no sense now; empty if it does. The sentence
// lacks its subject, which is the Canary.
func objection(c *flaggerv1.Canary, verb flaggerv1.CommandVerb) string {
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
	kind := map[flaggerv1.CommandVerb]string{flaggerv1.CommandHalt: flaggerv1.HoldHalt, flaggerv1.CommandPause: flaggerv1.HoldPause}[verb]
	if h := c.Status.Hold; h != nil && kind != "" && h.Kind == kind {
		return "is " + held[kind] + " already" + heldBy(h)
	}
	return ""
}

// held is what a Canary is that a person holds.
var held = map[string]string{flaggerv1.HoldHalt: "halted", flaggerv1.HoldPause: "paused"}

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

// notUnderWay says why no release can be stopped or hastened.
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
