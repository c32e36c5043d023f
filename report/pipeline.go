// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Pipeline is where a Pipeline stands: what each stage has, wants and waits for.
type Pipeline struct {
	// Namespace of the Pipeline.
	Namespace string `json:"namespace"`
	// Name of the Pipeline.
	Name string `json:"name"`
	// Candidate is the newest bundle.
	Candidate *sluicev1.Bundle `json:"candidate,omitempty"`
	// Stages are in the order of the spec.
	Stages []PipelineStage `json:"stages"`
	// Quarantined are the bundles that no stage is given.
	Quarantined []sluicev1.Quarantine `json:"quarantined"`
	// Suspended means that nothing happens before spec.suspend is false.
	Suspended bool `json:"suspended,omitempty"`
	// CommandsIgnored says why commands of people are not carried out.
	CommandsIgnored string `json:"commandsIgnored,omitempty"`
	// Warning is what is probably a mistake, and works: a line for each.
	Warning string `json:"warning,omitempty"`
	// Ready is the status of the condition Ready: True, False or Unknown.
	Ready string `json:"ready"`
	// Message is the message of the condition Ready.
	Message string `json:"message,omitempty"`
}

// PipelineStage is where a stage stands, and what a person can do about it.
type PipelineStage struct {
	sluicev1.StageStatus
	// State is the state of the stage in a lane.
	State CellState `json:"state"`
	// PassedOver is the quarantine of the bundle that the stage would be given otherwise: it
	// failed there, is in a stage before it, or is the newest of all.
	PassedOver *sluicev1.Quarantine `json:"passedOver,omitempty"`
	// Remedies are what a person can do about what the stage waits for.
	Remedies []Remedy `json:"remedies"`
	// Pending are commands that were given and that no controller has taken up yet.
	Pending []GivenCommand `json:"pending,omitempty"`
}

// Remedy is what a person can do about what a stage waits for.
type Remedy struct {
	// Gate that it is about; empty if it is about the phase of the stage.
	Gate sluicev1.GateType `json:"gate,omitempty"`
	// Text says what it does.
	Text string `json:"text"`
	// Program that the command is for; left out, it is sluice.
	Program string `json:"program,omitempty"`
	// Command is a command line without the name of the program.
	Command string `json:"command,omitempty"`
	// URL is the page on which to do it.
	URL string `json:"url,omitempty"`
}

// GivenCommand is a command that was given to a stage.
type GivenCommand struct {
	// Verb of the command.
	Verb sluicev1.CommandVerb `json:"verb"`
	sluicev1.Command
}

// OfPipeline reads a Pipeline's spec and status. A stage that the status does not know
// yet has no phase.
func OfPipeline(p *sluicev1.Pipeline) Pipeline {
	found := Pipeline{
		Namespace: p.Namespace, Name: p.Name, Candidate: p.Status.Candidate, Suspended: p.Spec.Suspend,
		Stages: []PipelineStage{}, Quarantined: append([]sluicev1.Quarantine{}, p.Status.Quarantined...),
	}
	found.Ready, found.Message = readyOf(p.Status.Conditions)
	for _, c := range p.Status.Conditions {
		if c.Type == sluicev1.ApprovalsEnforcedCondition && c.Status == "False" {
			found.CommandsIgnored = c.Message
		}
		if c.Type == sluicev1.WarningCondition {
			found.Warning = c.Message
		}
	}
	for _, spec := range p.Spec.Stages {
		stage := PipelineStage{StageStatus: statusOf(p, spec.Name)}
		stage.State = stageState(stage.StageStatus)
		stage.PassedOver = passedOver(p, &spec, stage.StageStatus)
		stage.Remedies, stage.Pending = remedies(p, stage), pendingCommands(p, stage.StageStatus)
		found.Stages = append(found.Stages, stage)
	}
	return found
}

// statusOf is the status of a stage.
func statusOf(p *sluicev1.Pipeline, stage string) sluicev1.StageStatus {
	for _, s := range p.Status.Stages {
		if s.Name == stage {
			return s
		}
	}
	return sluicev1.StageStatus{Name: stage}
}

// JudgesOf are the objects of the pipeline's own cluster that judge a stage: those that have to be
// Ready there, and the Canaries that verify it. Each has a namespace.
func JudgesOf(p *sluicev1.Pipeline, stage string) []sluicev1.ReadyReference {
	var found []sluicev1.ReadyReference
	add := func(ref sluicev1.ReadyReference) {
		ref.Namespace = cmp.Or(ref.Namespace, p.Namespace)
		if ref.KubeConfig == nil && !slices.Contains(found, ref) {
			found = append(found, ref)
		}
	}
	for i := range p.Spec.Stages {
		if p.Spec.Stages[i].Name != stage {
			continue
		}
		for _, ref := range p.Spec.Stages[i].Ready {
			add(ref)
		}
		for _, target := range p.Spec.Stages[i].Targets {
			for _, ref := range target.Ready {
				ref.KubeConfig = cmp.Or(ref.KubeConfig, target.KubeConfig)
				add(ref)
			}
		}
		for _, v := range p.Spec.Stages[i].Verify {
			if c := v.Canary; c != nil {
				add(sluicev1.ReadyReference{
					APIVersion: flaggerv1.GroupVersion.String(), Kind: flaggerv1.CanaryKind,
					Namespace: c.Namespace, Name: c.Name, KubeConfig: c.KubeConfig,
				})
			}
		}
	}
	return found
}

// isJudgedBy reports whether an object judges a stage of a pipeline.
func isJudgedBy(p *sluicev1.Pipeline, stage *sluicev1.Stage, object ObjectReference) bool {
	return slices.ContainsFunc(JudgesOf(p, stage.Name), func(r sluicev1.ReadyReference) bool {
		return object == ObjectReference{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
	})
}

// pipelineCommand is a command line for a stage, or for the whole pipeline if that is
// empty.
func pipelineCommand(p *sluicev1.Pipeline, verb, stage string, flags ...string) string {
	words := []string{"pipeline", verb, p.Name}
	if stage != "" {
		words = append(words, stage)
	}
	return strings.Join(append(append(words, "-n", p.Namespace), flags...), " ")
}

// passedOver is the quarantine of the bundle that a stage would be given otherwise; nil if
// there is none.
func passedOver(p *sluicev1.Pipeline, spec *sluicev1.Stage, s sluicev1.StageStatus) *sluicev1.Quarantine {
	next := []string{lastPromoted(s)}
	if spec.After == nil {
		next = append(next, bundleID(p.Status.Candidate))
	} else {
		for _, before := range spec.After.Stages {
			next = append(next, bundleID(statusOf(p, before).Has))
		}
	}
	for _, id := range next {
		if q := quarantineOf(p, id); q != nil && !q.Overridden && id != bundleID(s.Has) {
			return q
		}
	}
	return nil
}

// lastPromoted is the bundle that a stage was given last for the sake of it, and not to be taken
// back.
func lastPromoted(s sluicev1.StageStatus) string {
	for _, l := range s.Landings {
		if l.Kind != sluicev1.LandingRollback {
			return l.Bundle.ID
		}
	}
	return ""
}

// remedies are what a person can do about a stage.
func remedies(p *sluicev1.Pipeline, s PipelineStage) []Remedy {
	found := []Remedy{}
	for _, g := range s.Waiting {
		if r := remedyOf(p, s.StageStatus, g.Type); r != nil {
			r.Gate = g.Type
			found = append(found, *r)
		}
	}
	if s.Hold != nil && !waitsFor(s.StageStatus, sluicev1.GateHold) {
		found = append(found, Remedy{Text: "end the hold", Command: pipelineCommand(p, "resume", s.Name)})
	}
	if q := s.PassedOver; q != nil {
		about := sluicev1.GateType("")
		if waitsFor(s.StageStatus, sluicev1.GateContent) {
			about = sluicev1.GateContent
		}
		found = append(found,
			Remedy{
				Gate: about, Text: "if it failed wrongly, end the quarantine",
				Command: pipelineCommand(p, "lift", s.Name, "--bundle="+q.Bundle.ID),
			},
			Remedy{Gate: about, Text: "then give it the bundle", Command: pipelineCommand(p, "promote", s.Name, "--bundle="+q.Bundle.ID)})
	}
	if s.Phase == sluicev1.StageFailed {
		found = append(found,
			Remedy{Text: "give it an earlier bundle", Command: pipelineCommand(p, "rollback", s.Name, "--to=BUNDLE", "--reason=WHY")})
	}
	return found
}

// waitsFor reports whether a gate of this type is closed in front of a stage.
func waitsFor(s sluicev1.StageStatus, gate sluicev1.GateType) bool {
	for _, g := range s.Waiting {
		if g.Type == gate {
			return true
		}
	}
	return false
}

// remedyOf is what a person can do about a gate; nil if that is to wait, or what the
// message says.
func remedyOf(p *sluicev1.Pipeline, s sluicev1.StageStatus, gate sluicev1.GateType) *Remedy {
	switch gate {
	case sluicev1.GateState:
		return &Remedy{Text: "confirm that promotions may go on", Command: pipelineCommand(p, "lift", s.Name)}
	case sluicev1.GateHold:
		return &Remedy{Text: "end the hold", Command: pipelineCommand(p, "resume", s.Name)}
	case sluicev1.GateApproval:
		return &Remedy{Text: "approve it", Command: pipelineCommand(p, "approve", s.Name)}
	case sluicev1.GateWindow, sluicev1.GateFreeze:
		return &Remedy{Text: "do not wait for it", Command: pipelineCommand(p, "promote", s.Name, "--override", "--reason=WHY")}
	case sluicev1.GateReview:
		if s.PullRequest == nil {
			return nil
		}
		return &Remedy{Text: "review the pull request, see its checks, or merge it", URL: s.PullRequest.URL}
	case sluicev1.GateContent:
		if q := quarantineOf(p, bundleID(s.Has)); q != nil {
			return &Remedy{Text: "end the quarantine of what it has", Command: pipelineCommand(p, "lift", s.Name, "--bundle="+q.Bundle.ID)}
		}
	case sluicev1.GateUpstream, sluicev1.GateSoak, sluicev1.GateVerdict:
	}
	return nil
}

// quarantineOf is the quarantine of a bundle; nil if it is in none.
func quarantineOf(p *sluicev1.Pipeline, bundle string) *sluicev1.Quarantine {
	for i := range p.Status.Quarantined {
		if p.Status.Quarantined[i].Bundle.ID == bundle {
			return &p.Status.Quarantined[i]
		}
	}
	return nil
}

// pendingCommands are those in annotations that the status does not know yet.
func pendingCommands(p *sluicev1.Pipeline, s sluicev1.StageStatus) []GivenCommand {
	var found []GivenCommand
	for _, verb := range sluicev1.CommandVerbs {
		value, given := p.Annotations[sluicev1.CommandAnnotation(verb, s.Name)]
		if !given {
			continue
		}
		c, err := sluicev1.ParseCommand(value)
		if err != nil {
			continue // the controller says so in its message
		}
		if done := CommandStatusOf(s, verb); done == nil || done.At.Before(&c.At) {
			found = append(found, GivenCommand{Verb: verb, Command: c})
		}
	}
	return found
}

// CommandStatusOf is what came of the last command of a verb to a stage; nil if there was
// none.
func CommandStatusOf(s sluicev1.StageStatus, verb sluicev1.CommandVerb) *sluicev1.CommandStatus {
	for i := range s.Commands {
		if s.Commands[i].Verb == verb {
			return &s.Commands[i]
		}
	}
	return nil
}

// SamePosition reports whether nothing has changed between two reports of a stage that a
// person would call a transition. Times that pass are none.
func (s PipelineStage) SamePosition(other PipelineStage) bool {
	return s.position() == other.position()
}

// position is what makes a transition when it changes.
func (s PipelineStage) position() string {
	parts := []string{string(s.Phase), s.Message, bundleID(s.Has), bundleID(s.Wants)}
	if s.PullRequest != nil {
		parts = append(parts, s.PullRequest.URL, s.PullRequest.State, s.PullRequest.Bundle)
	}
	for _, c := range s.Commands {
		parts = append(parts, string(c.Verb), c.At.String(), string(c.Outcome))
	}
	return strings.Join(parts, "\x00")
}

func bundleID(b *sluicev1.Bundle) string {
	if b == nil {
		return ""
	}
	return b.ID
}
