// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"fmt"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Observation is what was seen of the cluster at one moment. A decision only reads it.
type Observation struct {
	Names
	Plan Plan

	// Target is what Git says; Primary is what users get.
	Target, Primary Workload

	// Weights are the weights in the route objects. RoutePending means that the proxy
	// has not taken them up yet, so that they say nothing about where users go.
	Weights      provider.Weights
	RoutePending bool
	// RouteReason says who has not taken the weights up, and why; empty if nobody
	// has said anything. RouteRefused means that waiting alone does not help.
	RouteReason  string
	RouteRefused bool
	// Everyone means that Weights hold for all users. In an A/B test they usually
	// hold for matching users only.
	Everyone bool
	// Unmeasurable says what is missing that the metrics need, such as a template.
	Unmeasurable string

	// Snapshots holds the revisions that can be given to the primary although the
	// target has moved on.
	Snapshots map[string]bool

	// Measured has one entry for each metric of the plan, in its order, when
	// [Due] asked for them.
	Measured []Measurement
	// Answers are the answers of the webhooks that [Due] asked for, by type.
	Answers map[flaggerv1.HookType]Answer

	// Edited means that the spec may have been edited since it was acted on last.
	Edited bool

	// Unrecorded means that what was done last may not be in the status: by a process that was
	// killed, or whose status could not be written.
	Unrecorded bool

	// Alarm names a metric that was outside its range in so many samples in a row
	// that the release fails before its next check. Empty is no alarm.
	Alarm string

	// JudgeResult is what the judge says about the revision under analysis.
	JudgeResult JudgeResult

	// Command is what a person asked for and what was not carried out yet.
	Command *flaggerv1.CanaryCommand

	// Recognised means that the target and its configuration have the hash that
	// Flagger recorded in the status last.
	Recognised bool
}

// Answer is what the webhooks of one type said, taken together.
type Answer struct {
	// OK means that all of them agreed.
	OK bool
	// Webhook is the name of the first that did not agree, and Why its answer.
	Webhook, Why string
	// Muted means that the webhook asks for no alert about its answer.
	Muted bool
	// Said is what each of them said, in the order in which they were asked.
	Said []WebhookAnswer
}

// WebhookAnswer is what one webhook said.
type WebhookAnswer struct {
	Type flaggerv1.HookType
	Name string
	// Nth counts the webhooks of the spec before it that have its type and name: they share a status.
	Nth int
	// Agreed means that it answered a success. If it did not, Why says what it answered,
	// and Status is the HTTP status, or 0 if there was no answer.
	Agreed bool
	Why    string
	Status int
}

// Names are the names that messages are about.
type Names struct {
	Namespace, Canary, Target, Kind, Provider string
	// Identity tells the target from others of its name.
	Identity string
}

func (n Names) canary() string  { return n.Canary + "." + n.Namespace }
func (n Names) target() string  { return n.Target + "." + n.Namespace }
func (n Names) primary() string { return flaggerv1.PrimaryName(n.Target) + "." + n.Namespace }

// Workload is one of the two copies.
type Workload struct {
	Exists bool
	// Revision is the digest of its pod template and configuration; empty when it
	// is unknown.
	Revision string
	// Alias is what Flagger calls the target's template; empty if it has no name for
	// it. It leaves out configuration.
	Alias string
	// Replicas is the number of pods asked for, Available of those that serve.
	Replicas, Available int32
	// Ready means that a rollout is complete. Otherwise Why says what is missing,
	// and Stuck that waiting longer is pointless.
	Ready, Stuck bool
	Why          string
	// Idle means that it has no pods because its autoscaler found nothing for them to
	// do, or that they are just starting again: nothing is wrong with it.
	Idle bool
	// Shared means that pods of others have the labels of its own, so that its Service
	// leads users to either.
	Shared bool
	// Images are the images of its containers, in their order.
	Images []string
}

// Serves reports whether there is a pod that could answer a request.
func (w Workload) Serves() bool { return w.Exists && w.Available > 0 }

// Failing reports whether requests that should be answered are not.
func (w Workload) Failing() bool { return !w.Serves() && !w.Idle }

// canRestore reports whether a revision can be given to the primary.
func (o Observation) canRestore(revision string) bool {
	return revision != "" && (o.Snapshots[revision] || o.Target.Exists && o.Target.Revision == revision)
}

// routeUnsettled reports whether users may not be where the routes say. Then a check
// says nothing about the canary, and no step moves users. Pods that are released in
// place are their own route, and have a deadline of their own.
func (o Observation) routeUnsettled() bool { return o.RoutePending && !o.Plan.InPlace }

// pendingRoute says what the route waits for.
func (o Observation) pendingRoute() string {
	return cmp.Or(o.RouteReason, "waiting for the route to be accepted")
}

// primaryUnfit reports whether the primary answers some of its users, but is not
// fully available. A primary that serves nobody has nothing to lose by a release.
func (o Observation) primaryUnfit() bool { return !o.Primary.Ready && !o.Primary.Failing() }

// MissingTarget says that there is nothing to release, in namespace/name as kubectl takes it.
func (o Observation) MissingTarget() string {
	return fmt.Sprintf("spec.targetRef: %s %s/%s does not exist; create it, or correct the reference", o.Kind, o.Namespace, o.Names.Target)
}

func (o Observation) primaryNotReady() string {
	return fmt.Sprintf("%s not ready: %s", o.primary(), cmp.Or(o.Primary.Why, "no pod is available"))
}

func (o Observation) targetNotReady() string {
	return fmt.Sprintf("canary %s %s not ready: %s", strings.ToLower(o.Kind), o.target(), o.Target.Why)
}

// primaryServesNobody says why the primary answers no request.
func (o Observation) primaryServesNobody() string {
	if !o.Primary.Exists {
		return o.primary() + " is missing"
	}
	return o.primaryNotReady()
}
