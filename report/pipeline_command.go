// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// ObjectionToStage says why a command to a stage would change nothing now, or be refused,
// and what to do instead; it is empty if the command makes sense.
func ObjectionToStage(p *sluicev1.Pipeline, stage string, given GivenCommand, now time.Time) string {
	spec := p.Spec.Stage(stage)
	switch {
	case spec == nil:
		return fmt.Sprintf("there is no stage %q: the stages of Pipeline %s/%s are %s",
			stage, p.Namespace, p.Name, strings.Join(stageNames(p), ", "))
	case !p.DeletionTimestamp.IsZero():
		return "the pipeline is being deleted"
	case p.Spec.Suspend:
		return "the pipeline is suspended: commands are carried out when spec.suspend is false"
	}
	s := statusOf(p, stage)
	switch given.Verb {
	case sluicev1.CommandApprove:
		return notToApprove(spec, s, given, now)
	case sluicev1.CommandHold:
		if given.End && s.Hold == nil {
			return stage + " is not held"
		}
	case sluicev1.CommandOverride:
		if given.Bundle == "" && s.Wants == nil {
			return stage + " wants no other bundle: name one with --bundle"
		}
	case sluicev1.CommandPromote:
		return notToPromote(p, s, given, now)
	case sluicev1.CommandRollback:
		return notToRollBack(p, s, given)
	case sluicev1.CommandLift:
		return notToLift(p, stage, given)
	}
	return ""
}

func stageNames(p *sluicev1.Pipeline) []string {
	var names []string
	for _, s := range p.Spec.Stages {
		names = append(names, s.Name)
	}
	return names
}

func notToApprove(spec *sluicev1.Stage, s sluicev1.StageStatus, given GivenCommand, now time.Time) string {
	switch {
	case approvalsNeeded(spec) == 0:
		return spec.Name + " needs no approval (spec.stages[].approval)"
	case given.Bundle == "" && s.Wants == nil:
		return spec.Name + " wants no other bundle: name one with --bundle"
	}
	for _, a := range s.Approvals {
		if a.By == given.By && a.Bundle == given.Bundle && (a.Until == nil || now.Before(a.Until.Time)) {
			return fmt.Sprintf("you approved it for %s at %s", spec.Name, a.At.UTC().Format(time.RFC3339))
		}
	}
	return ""
}

func notToPromote(p *sluicev1.Pipeline, s sluicev1.StageStatus, given GivenCommand, now time.Time) string {
	q := quarantineOf(p, given.Bundle)
	switch {
	case given.Bundle == "":
		return s.Name + " has the newest bundle that there is for it: name another one with --bundle"
	case q != nil && (q.Until == nil || now.Before(q.Until.Time)):
		return inQuarantine(p, s.Name, q)
	case hasOnly(s, given.Bundle):
		return fmt.Sprintf("%s has %s", s.Name, NameBundle(*s.Has))
	}
	return ""
}

func notToRollBack(p *sluicev1.Pipeline, s sluicev1.StageStatus, given GivenCommand) string {
	switch q := quarantineOf(p, given.Bundle); {
	case given.Bundle == "":
		return fmt.Sprintf("there is no bundle that was verified in %s before: name one with --to", s.Name)
	case q != nil:
		return inQuarantine(p, s.Name, q)
	case hasOnly(s, given.Bundle):
		return fmt.Sprintf("%s has %s", s.Name, NameBundle(*s.Has))
	}
	return ""
}

// hasOnly reports whether all of a stage has a bundle, and it is given no other one.
func hasOnly(s sluicev1.StageStatus, bundle string) bool {
	return bundleID(s.Has) == bundle && s.Wants == nil &&
		!slices.ContainsFunc(s.Targets, func(t sluicev1.TargetStatus) bool { return t.Bundle != bundle })
}

func inQuarantine(p *sluicev1.Pipeline, stage string, q *sluicev1.Quarantine) string {
	return fmt.Sprintf("%s is in quarantine: %s; end that first with sluice %s",
		promotion.Describe(q.Bundle), cmp.Or(q.Reason, "a person put it there"), pipelineCommand(p, "lift", stage, "--bundle="+q.Bundle.ID))
}

// toLift is the quarantine that a lift ends: that of a bundle or, if none is named, the only
// one, unless the lift confirms that promotions may go on.
func toLift(p *sluicev1.Pipeline, bundle string) *sluicev1.Quarantine {
	if bundle == "" && len(p.Status.Quarantined) == 1 && !StateIsLost(p) {
		return &p.Status.Quarantined[0]
	}
	return quarantineOf(p, bundle)
}

// notToLift: without a bundle, a lift confirms that promotions may go on.
func notToLift(p *sluicev1.Pipeline, stage string, given GivenCommand) string {
	var names []sluicev1.Bundle
	for _, q := range p.Status.Quarantined {
		names = append(names, q.Bundle)
	}
	q := toLift(p, given.Bundle)
	switch {
	case given.Bundle != "" && q == nil:
		return "it is not in quarantine; in quarantine: " + listed(names)
	case q != nil && q.Stage != stage && p.Spec.Stage(q.Stage) != nil:
		return fmt.Sprintf("%s failed in stage %s: lift it there", promotion.Describe(q.Bundle), q.Stage)
	case given.Bundle != "" || StateIsLost(p) || len(names) == 1:
		return ""
	case len(names) == 0:
		return "nothing is in quarantine"
	}
	return fmt.Sprintf("%d bundles are in quarantine: name one with --bundle: %s", len(names), listed(names))
}

// StateIsLost reports whether a Pipeline waits for a person to confirm that promotions may
// go on although its state branch is gone.
func StateIsLost(p *sluicev1.Pipeline) bool {
	return slices.ContainsFunc(p.Status.Stages, func(s sluicev1.StageStatus) bool { return waitsFor(s, sluicev1.GateState) })
}

// StageOf is the stage that a command is about if it names none. The error names the
// stages that it could be.
func StageOf(p *sluicev1.Pipeline, verb sluicev1.CommandVerb, c sluicev1.Command) (string, error) {
	var fit []string
	for _, spec := range p.Spec.Stages {
		if len(p.Spec.Stages) == 1 || concerns(p, statusOf(p, spec.Name), verb, c) {
			fit = append(fit, spec.Name)
		}
	}
	if len(fit) == 1 || len(fit) > 1 && verb == sluicev1.CommandLift { // which is about the whole pipeline
		return fit[0], nil
	}
	return "", fmt.Errorf("name the STAGE: the stages of Pipeline %s/%s are %s", p.Namespace, p.Name, strings.Join(stageNames(p), ", "))
}

// concerns reports whether a stage is one that a command may be meant for.
func concerns(p *sluicev1.Pipeline, s sluicev1.StageStatus, verb sluicev1.CommandVerb, c sluicev1.Command) bool {
	switch verb {
	case sluicev1.CommandApprove:
		return waitsFor(s, sluicev1.GateApproval)
	case sluicev1.CommandHold:
		return c.End && s.Hold != nil
	case sluicev1.CommandOverride:
		return waitsFor(s, sluicev1.GateWindow) || waitsFor(s, sluicev1.GateFreeze)
	case sluicev1.CommandLift:
		q := toLift(p, c.Bundle)
		return q == nil || q.Stage == "" || q.Stage == s.Name || p.Spec.Stage(q.Stage) == nil
	case sluicev1.CommandPromote, sluicev1.CommandRollback:
	}
	return false
}
