// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// Canary is where the release of a Canary stands, and what holds it.
type Canary struct {
	// Namespace of the Canary.
	Namespace string `json:"namespace"`
	// Name of the Canary.
	Name string `json:"name"`
	// Phase is empty before a controller has looked at the Canary.
	Phase flaggerv1.CanaryPhase `json:"phase"`
	// Weight is the percentage of the users that the canary has.
	Weight int `json:"weight"`
	// Image is the first image of the revision, as people call it: without the
	// registry, with a short digest, and with the number of other images.
	Image string `json:"image,omitempty"`
	// Revision is what is tried or was tried last, or else what users have.
	Revision string `json:"revision,omitempty"`
	// Stage is the step of the analysis, from 1; it is 0 if no release is under way.
	Stage int `json:"stage"`
	// Stages is how many steps the analysis has.
	Stages int `json:"stages"`
	// FailedChecks is how many checks have failed.
	FailedChecks int `json:"failedChecks"`
	// Threshold is how many failed checks roll the release back.
	Threshold int `json:"threshold"`
	// Retriable means that the revision that failed is still the target's, so that sluice canary retry tries it once more.
	Retriable bool `json:"retriable,omitempty"`
	// Hold is what keeps the release in its step: a gate, a halt or a pause.
	Hold *flaggerv1.CanaryHold `json:"hold,omitempty"`
	// Suspended means that nothing happens before spec.suspend is false.
	Suspended bool `json:"suspended,omitempty"`
	// Since is when the phase or the step began.
	Since *time.Time `json:"since,omitempty"`
	// Target is the workload, such as Deployment/podinfo.
	Target string `json:"target"`
	// Provider is the provider of the spec; left out, it is the one of the controller.
	Provider string `json:"provider,omitempty"`
	// Strategy is canary, blue-green or ab-testing, as the analysis says.
	Strategy flaggerv1.Strategy `json:"strategy"`
	// Ready is the status of the condition Ready: True, False or Unknown.
	Ready string `json:"ready"`
	// Message is the message of the condition Ready.
	Message string `json:"message,omitempty"`
	// LastCommand is the last one of a person that the controller has seen.
	LastCommand *flaggerv1.CanaryCommand `json:"lastCommand,omitempty"`
	// Judge is what comparing the canary with its primary has come to; left out without a judge.
	Judge *Judgement `json:"judge,omitempty"`
	// Release is the newest release with its steps and what each of them measured.
	Release *flaggerv1.CanaryRelease `json:"release,omitempty"`
}

// CanaryTransition is a Canary at the time at which it was seen to have changed.
type CanaryTransition struct {
	// Time is when the change was seen.
	Time time.Time `json:"time"`
	Canary
}

// OfCanary reads a Canary's spec and status.
func OfCanary(c *flaggerv1.Canary) Canary {
	found := Canary{
		Namespace: c.Namespace, Name: c.Name, Phase: c.Status.Phase, Weight: c.Status.CanaryWeight, Revision: RevisionOf(c),
		FailedChecks: c.Status.FailedChecks, Threshold: c.Spec.Analysis.GetThreshold(),
		Hold: c.Status.Hold, Suspended: c.Spec.Suspend, LastCommand: c.Status.LastCommand,
		Target: c.Spec.TargetRef.Kind + "/" + c.Spec.TargetRef.Name, Provider: c.Spec.Provider, Strategy: c.DeploymentStrategy(),
		Ready: string(metav1.ConditionUnknown), Retriable: isRetriable(c),
	}
	found.Stage, found.Stages = stepOf(c)
	found.Judge = judgementOf(c)
	if at := c.Status.LastTransitionTime; !at.IsZero() {
		found.Since = &at.Time
	}
	if ready := apimeta.FindStatusCondition(c.GetConditions(), meta.ReadyCondition); ready != nil {
		found.Ready, found.Message = string(ready.Status), ready.Message
	}
	if len(c.Status.History) > 0 {
		found.Release = &c.Status.History[0]
	}
	isShown := func(r flaggerv1.CanaryRelease) bool { return r.Revision == found.Revision }
	if at := slices.IndexFunc(c.Status.History, isShown); at >= 0 { // after a revert it is not the last one
		found.Image = ImageNames(c.Status.History[at].Images)
	}
	return found
}

// isRetriable reports whether there is a failed revision to try again: once the target has the promoted one again, that is the one
// which was applied last.
func isRetriable(c *flaggerv1.Canary) bool {
	applied := c.Status.Applied()
	return c.Status.Phase == flaggerv1.CanaryPhaseFailed && applied != "" && applied != c.Status.Promoted()
}

// RevisionOf is the revision that a Canary is about: the one that is tried or has
// failed, or else the one that users have.
func RevisionOf(c *flaggerv1.Canary) string {
	return cmp.Or(c.Status.Applied(), c.Status.Promoted())
}

// planOf reads the spec as the controller does, with the defaults of the controller's
// own settings. A spec that is refused has an empty plan: the condition says why.
func planOf(c *flaggerv1.Canary) canary.Plan {
	plan, err := canary.NewPlan(c, canary.PlanSettings{MinInterval: flaggerv1.MinAnalysisInterval, Provider: provider.Kubernetes})
	if err != nil {
		return canary.Plan{}
	}
	return plan
}

// stepOf is the step of the analysis that a release is in, from 1; 0 before the first
// and when there is no release.
func stepOf(c *flaggerv1.Canary) (at, of int) {
	steps := planOf(c).Steps
	switch c.Status.Phase {
	case flaggerv1.CanaryPhasePromoting, flaggerv1.CanaryPhaseFinalising:
		return len(steps), len(steps)
	case flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseWaitingPromotion:
	default:
		return 0, len(steps)
	}
	for i, step := range steps {
		counted := step.Iteration > 0 && step.Iteration <= c.Status.Iterations
		weighed := step.Iteration == 0 && step.Weight <= c.Status.CanaryWeight
		if counted || weighed {
			at = i + 1
		}
	}
	return at, len(steps)
}

// ImageNames is the first image as people call it: without the registry, with a short
// digest, and with the number of the others.
func ImageNames(images []string) string {
	if len(images) == 0 {
		return ""
	}
	name, digest, pinned := strings.Cut(path.Base(images[0]), "@")
	if pinned && !strings.Contains(name, ":") {
		name += "@" + ShortRevision(digest)
	}
	if others := len(images) - 1; others > 0 {
		name += fmt.Sprintf(" +%d", others)
	}
	return name
}

// ShortRevision abbreviates a revision of a workload, which is a digest.
func ShortRevision(revision string) string {
	return shorten.Commit(strings.TrimPrefix(revision, canary.DigestPrefix))
}

// HeldBy says in a few words what keeps a release in its step, empty if nothing does.
func (c Canary) HeldBy() string {
	switch h := c.Hold; {
	case c.Suspended:
		return "suspended"
	case h == nil:
		return ""
	case h.Kind == flaggerv1.HoldGate && h.Approved:
		return string(h.Gate) + " (approved)"
	case h.Kind == flaggerv1.HoldGate:
		return string(h.Gate)
	case h.By != "":
		return h.Kind + " by " + h.By
	default:
		return h.Kind
	}
}

// SamePosition reports whether nothing has changed between two reports of a Canary
// that a person would call a transition.
func (c Canary) SamePosition(other Canary) bool { return c.position() == other.position() }

// position is what makes a transition when it changes.
func (c Canary) position() string {
	command := ""
	if c.LastCommand != nil {
		command = c.LastCommand.String()
	}
	return strings.Join([]string{
		string(c.Phase), fmt.Sprint(c.Weight, c.Stage, c.FailedChecks), c.Revision, c.Image, c.HeldBy(), c.Ready, command,
	}, "\x00")
}

// ProgressMessage is what to say of a release: why its last check failed, or how things are.
func (c Canary) ProgressMessage() string {
	if c.Release == nil || c.FailedChecks == 0 || len(c.Release.Steps) == 0 {
		return c.Message
	}
	for _, m := range c.Release.Steps[len(c.Release.Steps)-1].Measured {
		if m.Failure != "" {
			return m.Failure
		}
	}
	return c.Message
}
