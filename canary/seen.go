package canary

import (
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Observation is one look at the world.
type Observation struct {
	Names
	Plan  Plan
	State State

	// Target is what Git says; Primary is what users get.
	Target, Primary Workload

	// Weights are those in the route objects. RoutePending means that the proxy
	// has not taken them up yet, so that they say nothing about where users go.
	Weights      Weights
	RoutePending bool
	// RouteReason names who has not taken them up, and its reason if there is one;
	// empty if nobody has said anything. RouteRefused means that waiting alone does
	// not help.
	RouteReason  string
	RouteRefused bool
	// Everyone means that the weights are those of all users, also of an A/B release
	// whose users are chosen.
	Everyone bool
	// Unmeasurable says what is missing that the metrics need, such as a template.
	Unmeasurable string

	// Snapshots holds the revisions that can be given to the primary although the
	// target has moved on.
	Snapshots map[string]bool

	// Measured has one entry for each metric of the plan, in its order, when
	// [Due] asked for them.
	Measured []Measurement
	// Answers are those of the webhooks that [Due] asked for, by type.
	Answers map[flaggerv1.HookType]Answer

	// Edited means that the spec was edited since it was acted on last.
	Edited bool

	// Alarm says why samples taken since the last check are decisive: the metric
	// and its values. Empty is no alarm.
	Alarm string

	// Command is what a person wants and was not carried out yet.
	Command *flaggerv1.CanaryCommand

	// Recognised means that the target is, with its configuration, what Flagger
	// took up last and recorded in the status.
	Recognised bool
}

// Answer is what the webhooks of one type said, taken together.
type Answer struct {
	// OK means that all of them agreed.
	OK bool
	// Webhook is the name of the first that did not, and Why its answer.
	Webhook, Why string
	// Muted means that its owner wants no alert about it.
	Muted bool
	// Agreed are the names of those that agreed, in the order in which they were
	// asked.
	Agreed []string
}

// Names are the names that messages are about.
type Names struct {
	Namespace, Canary, Target, Kind, Provider string
	// Identity tells the target from others of its name.
	Identity string
}

// Workload is one of the two copies.
type Workload struct {
	Exists bool
	// Revision is what its pod template and configuration amount to; empty when
	// that is unknown.
	Revision string
	// Alias is what Flagger calls the target's template; empty if it has no name for
	// such. It leaves out configuration.
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
	// Images are those of its containers, in their order.
	Images []string
}

// Serves reports whether there is a pod that could answer a request.
func (w Workload) Serves() bool { return w.Exists && w.Available > 0 }

// Failing reports whether nobody is answered who should be.
func (w Workload) Failing() bool { return !w.Serves() && !w.Idle }

// State is what one step leaves for the next: the part of the Canary's status
// that belongs to the machine.
type State struct {
	// Target is the identity of what the rest is about; empty if an earlier version
	// has not noted it.
	Target       string
	Phase        flaggerv1.CanaryPhase
	FailedChecks int
	// Weight is the canary's percentage of the users.
	Weight int
	// Fallback is there while all users are on the canary because the primary cannot
	// answer, with the weight that the release has given the canary itself.
	Fallback *flaggerv1.CanaryFallback
	// Iterations is the stage of an analysis that does not move users step by
	// step.
	Iterations int
	// Applied is the revision under analysis, or the last one that was.
	// Promoted is the one that the primary was last given for good.
	Applied, Promoted string
	// At is when the last check was made or the phase was entered.
	At time.Time
	// Hold is what keeps the release from going on; nil is nothing.
	Hold *flaggerv1.CanaryHold
	// LastCommand is the last command that was carried out.
	LastCommand *flaggerv1.CanaryCommand
	// Cookies keep users on the version that they saw first.
	Cookies Cookies
	// History has the last releases, the newest first. The first has no end while
	// it is under way.
	History []flaggerv1.CanaryRelease
}

// Cookies are `<name>=<value>`, with a value for each revision, so that a new
// one is not bound by the sessions of the last. All are empty without session
// affinity.
type Cookies struct {
	// Canary marks users of the revision under analysis, Previous those of the
	// one before, and Primary those who stay on the primary.
	Canary, Previous, Primary string
}

// Started reports whether the analysis has left its starting point.
func (s State) Started() bool { return s.staged() > 0 || s.Iterations > 0 }

// staged is the canary's weight as the stages have it, wherever users are meanwhile.
func (s State) staged() int {
	if s.Fallback != nil {
		return s.Fallback.Weight
	}
	return s.Weight
}

// Weights say where users go.
type Weights = provider.Weights

// Stable sends every user to the primary.
var Stable = provider.Stable

// split gives the canary its percentage and the primary the rest.
func split(canary int) Weights { return provider.Split(canary) }

// DigestPrefix starts every revision of ours. Flagger's hashes have none, which
// is how a status that Flagger wrote is told from one of our own.
const DigestPrefix = "sha256:"

// Ours reports whether a revision is named by us, and not by Flagger.
func Ours(revision string) bool { return strings.HasPrefix(revision, DigestPrefix) }
