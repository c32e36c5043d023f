package main

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/provider"
)

// standing is where a Canary stands.
type standing struct {
	Namespace    string                   `json:"namespace"`
	Name         string                   `json:"name"`
	Phase        flaggerv1.CanaryPhase    `json:"phase"`
	Weight       int                      `json:"weight"`
	Image        string                   `json:"image,omitempty"`
	Revision     string                   `json:"revision,omitempty"`
	Stage        int                      `json:"stage"`
	Stages       int                      `json:"stages"`
	FailedChecks int                      `json:"failedChecks"`
	Threshold    int                      `json:"threshold"`
	Hold         *flaggerv1.CanaryHold    `json:"hold,omitempty"`
	Suspended    bool                     `json:"suspended,omitempty"`
	Since        *time.Time               `json:"since,omitempty"`
	Target       string                   `json:"target"`
	Provider     string                   `json:"provider,omitempty"`
	Strategy     flaggerv1.Strategy       `json:"strategy"`
	Ready        string                   `json:"ready"`
	Message      string                   `json:"message,omitempty"`
	LastCommand  *flaggerv1.CanaryCommand `json:"lastCommand,omitempty"`
	Release      *flaggerv1.CanaryRelease `json:"release,omitempty"`
}

func standingOf(c *flaggerv1.Canary) standing {
	found := standing{
		Namespace: c.Namespace, Name: c.Name, Phase: c.Status.Phase, Weight: c.Status.CanaryWeight, Revision: revisionOf(c),
		FailedChecks: c.Status.FailedChecks, Threshold: c.Spec.Analysis.GetThreshold(),
		Hold: c.Status.Hold, Suspended: c.Spec.Suspend, LastCommand: c.Status.LastCommand,
		Target: c.Spec.TargetRef.Kind + "/" + c.Spec.TargetRef.Name, Provider: c.Spec.Provider, Strategy: c.DeploymentStrategy(),
		Ready: "Unknown",
	}
	found.Stage, found.Stages = stageOf(c)
	if at := c.Status.LastTransitionTime; !at.IsZero() {
		found.Since = &at.Time
	}
	if ready := apimeta.FindStatusCondition(c.GetConditions(), meta.ReadyCondition); ready != nil {
		found.Ready, found.Message = string(ready.Status), ready.Message
	}
	if len(c.Status.History) > 0 {
		found.Release = &c.Status.History[0]
		if found.Release.Revision == found.Revision {
			found.Image = imageNames(found.Release.Images)
		}
	}
	return found
}

// revisionOf is the revision that a Canary is about: the one that is tried or
// failed, or else the one that users have.
func revisionOf(c *flaggerv1.Canary) string {
	return cmp.Or(c.Status.Applied(), c.Status.Promoted())
}

// planOf reads the spec as the controller does. What is the controller's setting
// is taken to have its default. A spec that is refused has an empty plan: the
// condition says why.
func planOf(c *flaggerv1.Canary) canary.Plan {
	plan, err := canary.NewPlan(c, canary.Limits{MinInterval: flaggerv1.MinAnalysisInterval, Provider: provider.Kubernetes})
	if err != nil {
		return canary.Plan{}
	}
	return plan
}

// stageOf is the stage of the analysis that a release is in, from 1; 0 before the
// first and when there is no release.
func stageOf(c *flaggerv1.Canary) (at, of int) {
	stages := planOf(c).Steps
	switch c.Status.Phase {
	case flaggerv1.CanaryPhasePromoting, flaggerv1.CanaryPhaseFinalising:
		return len(stages), len(stages)
	case flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseWaitingPromotion:
	default:
		return 0, len(stages)
	}
	for i, stage := range stages {
		counted := stage.Iteration > 0 && stage.Iteration <= c.Status.Iterations
		weighed := stage.Iteration == 0 && stage.Weight <= c.Status.CanaryWeight
		if counted || weighed {
			at = i + 1
		}
	}
	return at, len(stages)
}

// imageNames are images as people call them: without the registry, and with a
// short digest.
func imageNames(images []string) string {
	if len(images) == 0 {
		return ""
	}
	name, digest, pinned := strings.Cut(path.Base(images[0]), "@")
	if pinned && !strings.Contains(name, ":") {
		name += "@" + shortRevision(digest)
	}
	if others := len(images) - 1; others > 0 {
		name += fmt.Sprintf(" +%d", others)
	}
	return name
}

// shortRevision is a digest as people write it.
func shortRevision(revision string) string {
	return short(strings.TrimPrefix(revision, canary.DigestPrefix))
}

func canaryTable() table {
	return table{columns: []string{
		"NAMESPACE", "NAME", "PHASE", "WEIGHT", "IMAGE", "STEP", "FAILED", "HOLD", "SINCE",
		"REVISION", "TARGET", "PROVIDER", "STRATEGY", "READY", "MESSAGE"}, wide: 9}
}

func (s standing) row() []string {
	since := ""
	if s.Since != nil {
		since = duration.HumanDuration(time.Since(*s.Since))
	}
	return []string{
		s.Namespace, s.Name, string(s.Phase), strconv.Itoa(s.Weight), s.Image, s.step(), s.failed(), s.holds(), since,
		shortRevision(s.Revision), s.Target, s.Provider, string(s.Strategy), s.Ready, s.Message,
	}
}

func (s standing) step() string {
	if s.Stage == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Stage, s.Stages)
}

func (s standing) failed() string {
	return fmt.Sprintf("%d/%d", s.FailedChecks, s.Threshold)
}

// holds says in a few words what keeps a release where it is.
func (s standing) holds() string {
	switch h := s.Hold; {
	case s.Suspended:
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
