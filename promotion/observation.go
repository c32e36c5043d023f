// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// Observation is what was seen of a pipeline at one moment. A decision only reads it.
type Observation struct {
	Spec *sluicev1.PipelineSpec
	// Newest are the newest versions of artifacts, by name; one that has none is missing,
	// and NotReady says why.
	Newest   map[string]Newest
	NotReady map[string]string
	// Absent says which object of an artifact does not exist, and what to do; empty if all do.
	Absent string
	// Stages by name, one for each of the spec.
	Stages map[string]StageObservation
	// Commands in annotations, whether they were carried out or not.
	Commands []Command
	// CommandsGuarded means that the API server lets nobody write a command who may not
	// give it. Others are ignored.
	CommandsGuarded bool
	// StateLost means that there was a state, and it is gone.
	StateLost bool
	// Freezes that select the pipeline.
	Freezes []Freeze
}

// Newest is the newest version of an artifact.
type Newest struct {
	sluicev1.Version
	// StandsIn means that it is the newest only because a newer one is in quarantine.
	StandsIn bool
}

// Freeze is a freeze that selects the pipeline.
type Freeze struct {
	Name, Reason string
	// Stages that it is about; empty is all.
	Stages  []string
	Windows []sluicev1.Window
}

// isAbout reports whether a freeze is about a stage.
func (f Freeze) isAbout(stage string) bool {
	return len(f.Stages) == 0 || slices.Contains(f.Stages, stage)
}

// Command is a command in an annotation.
type Command struct {
	Verb  sluicev1.CommandVerb
	Stage string
	sluicev1.Command
}

// key names what a state keeps of the last command of a verb to a stage.
func (c Command) key() string { return string(c.Verb) + "/" + c.Stage }

// Readiness is whether the objects of a target run what its content says.
type Readiness int

const (
	// ReadinessProgressing means that they do not yet.
	ReadinessProgressing Readiness = iota
	// ReadinessReady means that they do.
	ReadinessReady
	// ReadinessFailed means that they tried, and that waiting does not help.
	ReadinessFailed
	// ReadinessUnknown means that nobody can tell, such as of a cluster that cannot be
	// reached: that is no fault of a bundle, however long it lasts.
	ReadinessUnknown
	// ReadinessMissing means that one of them does not exist, such as one whose name is
	// misspelt: that is no fault of a bundle either, and nothing is promoted to the target.
	ReadinessMissing
)

// Verification is the state of what has to prove a bundle.
type Verification int

const (
	// VerificationPending means that there is no result yet.
	VerificationPending Verification = iota
	// VerificationPassed means that the bundle works.
	VerificationPassed
	// VerificationFailed means that it does not.
	VerificationFailed
	// VerificationUnknown means that nobody can tell, as of [ReadinessUnknown].
	VerificationUnknown
	// VerificationMissing means that what has to prove it does not exist, as of
	// [ReadinessMissing].
	VerificationMissing
)

// StageObservation is what was seen of a stage: of its files at the head of their branch, or of
// the tags that it writes, and of the objects that run what these say.
type StageObservation struct {
	// Targets in the order of the spec; one with an empty name if it has none. There are
	// none of a stage that could not be looked at: then Problem says why.
	Targets []TargetObservation
	// PullRequest is the newest that was found for the stage's branch; nil is none. Base is the
	// branch that it should be into.
	PullRequest *pullrequest.PullRequest
	Base        string
	// Pushed is the head of a pull request that this process pushed last.
	Pushed Pushed
	// Problem says why the stage cannot be looked at, or not be written, such as that the
	// branch is protected.
	Problem string
}

// isUnseen reports whether the stage could not be looked at. What is known of it stays as
// it is: a repository that cannot be reached is no fault of a bundle.
func (o StageObservation) isUnseen() bool { return len(o.Targets) == 0 }

// lacking are the targets that do not have a bundle.
func (o StageObservation) lacking(b sluicev1.Bundle) []TargetObservation {
	var lacking []TargetObservation
	for _, t := range o.Targets {
		if !t.Content.Is(b) {
			lacking = append(lacking, t)
		}
	}
	return lacking
}

// hasEverywhere reports whether all targets have a bundle, as far as they could be seen.
func (o StageObservation) hasEverywhere(b sluicev1.Bundle) bool {
	return !o.isUnseen() && len(o.lacking(b)) == 0
}

// isThere reports whether any target has a bundle.
func (o StageObservation) isThere(b sluicev1.Bundle) bool { return len(o.lacking(b)) < len(o.Targets) }

// waves are the numbers of the waves of the targets, in order.
func (o StageObservation) waves() []int {
	numbers := map[int]bool{}
	for _, t := range o.Targets {
		numbers[t.Wave] = true
	}
	return slices.Sorted(maps.Keys(numbers))
}

// members are the targets of a wave that have a bundle, and whether others of it lack that.
func (o StageObservation) members(wave int, b sluicev1.Bundle) (having []TargetObservation, lacking bool) {
	for _, t := range o.Targets {
		switch {
		case t.Wave != wave:
		case t.Content.Is(b):
			having = append(having, t)
		default:
			lacking = true
		}
	}
	return having, lacking
}

// worksBefore reports whether all targets of the waves before one are verified.
func (o StageObservation) worksBefore(wave int) bool {
	return !slices.ContainsFunc(o.Targets, func(t TargetObservation) bool { return t.Wave < wave && !t.works() })
}

// problem is why the content of the first target that has one cannot be read.
func (o StageObservation) problem() string {
	for _, t := range o.Targets {
		if t.Content.Problem != "" {
			return t.says(t.Content.Problem)
		}
	}
	return ""
}

// unreadable says that an object of one of the targets cannot be looked at, and what to do;
// empty if all can.
func (o StageObservation) unreadable() string {
	for _, t := range o.Targets {
		if t.Unreadable != "" {
			return t.says(t.Unreadable)
		}
	}
	return ""
}

// whyUnverified is what a bundle without a verdict waits for in the stage of this name.
func (o StageObservation) whyUnverified(stage string, b sluicev1.Bundle) string {
	for _, t := range o.Targets {
		switch {
		case !t.Content.Is(b):
		case t.missing("") != "":
			return t.says(t.missing(stage))
		case t.Unreadable != "":
			return t.says(t.Unreadable)
		case t.Ready != ReadinessReady && t.Why != "":
			return t.says(t.Why)
		case t.Ready == ReadinessReady && t.Verification != VerificationPassed && t.Evidence != "":
			return t.says(t.Evidence)
		}
	}
	return "its objects are not Ready with it yet"
}

// Pushed is a head that was pushed, and the id of the bundle that it proposes.
type Pushed struct{ Head, Bundle string }

// TargetObservation is what was seen of a target.
type TargetObservation struct {
	Name    string
	Wave    int
	Content Content
	// Commit in which the content got its values, by whom and when; zero if unknown.
	Commit, By string
	At         time.Time
	// Ours means that the commit was made by this pipeline.
	Ours bool
	// Wrote is the id of the bundle that was written to the target since that was planned, see
	// [StageState], and that the content had then; empty if none was, as far as anybody knows.
	Wrote string
	// Ready says whether the objects run the content, and Why not.
	Ready Readiness
	Why   string
	// Verification is all of them taken together, and Evidence what they say.
	Verification Verification
	Evidence     string
	// Unreadable says which object cannot be looked at, such as one of a kind that is not
	// installed, and what to do; empty if all can, or if nobody has looked yet.
	Unreadable string
}

// says is a text about the target, which its name comes before.
func (t TargetObservation) says(text string) string {
	if t.Name == "" {
		return text
	}
	return t.Name + ": " + text
}

// works reports whether the target runs what it has, and that is verified.
func (t TargetObservation) works() bool {
	return t.Ready == ReadinessReady && t.Verification == VerificationPassed
}

// whyNotVerified says why it does not.
func (t TargetObservation) whyNotVerified() string {
	if t.Ready != ReadinessReady {
		return cmp.Or(t.Why, "its objects are not Ready with it")
	}
	return cmp.Or(t.Evidence, "its verifications have not passed")
}

// isUnknown reports whether nobody can tell whether the target works.
func (t TargetObservation) isUnknown() bool {
	return t.Ready == ReadinessUnknown || t.Ready == ReadinessReady && t.Verification == VerificationUnknown || t.missing("") != ""
}

// missing says that an object which the stage names for the target does not exist, and what
// to do; empty if all do, as far as that is known.
func (t TargetObservation) missing(stage string) string {
	why, field := "", ""
	switch {
	case t.Ready == ReadinessMissing:
		why, field = t.Why, "ready"
	case t.Verification == VerificationMissing:
		why, field = t.Evidence, "verify"
	default:
		return ""
	}
	return fmt.Sprintf("%s: create it, or correct its name in spec.stages[%s].%s", why, stage, field)
}

// missingObject says that an object which the stage of this name names for one of these targets does
// not exist, and what to do; empty if all do.
func missingObject(stage string, targets []TargetObservation) string {
	for _, t := range targets {
		if why := t.missing(stage); why != "" {
			return t.says(why)
		}
	}
	return ""
}
