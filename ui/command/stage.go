// SPDX-License-Identifier: Apache-2.0

package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
)

// MaxReason bounds the bytes of a reason, which becomes part of an annotation.
const MaxReason = 1024

// StageCommands are commands to one stage of a Pipeline that are given together.
type StageCommands struct {
	// Stage that they are given to.
	Stage string
	// Name of what the person does, which may be of several commands.
	Name string
	// Commands, without their times.
	Commands []report.GivenCommand
	// Lasting is for how long they are in force; 0 is without a limit.
	Lasting time.Duration
}

// verb is that of the last command, which is what the person wants.
func (s StageCommands) verb() sluicev1.CommandVerb { return s.Commands[len(s.Commands)-1].Verb }

// Stage gives commands to a stage, unless they make no sense any more after what somebody else did meanwhile: that is an
// [ObjectionError]. Target is read anew. It returns the commands with their times.
func (p Person) Stage(ctx context.Context, target *sluicev1.Pipeline, to StageCommands) ([]report.GivenCommand, error) {
	err := p.patch(ctx, target, func() error {
		if err := to.Objection(target, p.Clock.Now()); err != nil {
			return err
		}
		if by := PendingApproval(target, to.Stage); by != "" && to.verb() == sluicev1.CommandApprove {
			return &ObjectionError{fmt.Sprintf("the approval of %s is being taken up: try again", by)}
		}
		for i := range to.Commands {
			given := &to.Commands[i]
			if given.At = p.commandTime(target, to.Stage, given.Verb); to.Lasting > 0 {
				given.Until = &metav1.Time{Time: given.At.Add(to.Lasting)}
			}
			annotate(target, sluicev1.CommandAnnotation(given.Verb, to.Stage), given.String())
		}
		return nil
	})
	var objection *ObjectionError
	switch {
	case errors.As(err, &objection):
		return to.Commands, err
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		return to.Commands, fmt.Errorf(
			"the API server does not let you %s stage %s of %s/%s: %w\nyou need the verb %s on pipelines/%s of group %s",
			to.Name, to.Stage, target.Namespace, target.Name, err, to.verb(), to.Stage, sluicev1.GroupVersion.Group)
	case err != nil:
		return to.Commands, fmt.Errorf("telling stage %s of Pipeline %s/%s to %s: %w", to.Stage, target.Namespace, target.Name, to.Name, err)
	}
	return to.Commands, nil
}

// Objection says why commands would change nothing, or be refused; nil if they make sense.
func (s StageCommands) Objection(p *sluicev1.Pipeline, now time.Time) error {
	for _, one := range s.Commands {
		if why := report.ObjectionToStage(p, s.Stage, one, now); why != "" {
			return &ObjectionError{fmt.Sprintf("cannot %s: %s", s.Name, why)}
		}
	}
	return nil
}

// commandTime is the time of a command: now, or a second after the last one of its verb, since a command is told from the
// one before it by its time, which has whole seconds.
func (p Person) commandTime(of *sluicev1.Pipeline, stage string, verb sluicev1.CommandVerb) metav1.Time {
	at := p.Clock.Now().UTC().Truncate(time.Second)
	after := func(last time.Time) {
		if !at.After(last) {
			at = last.UTC().Add(time.Second)
		}
	}
	if last, err := sluicev1.ParseCommand(of.Annotations[sluicev1.CommandAnnotation(verb, stage)]); err == nil {
		after(last.At.Time)
	}
	for _, s := range of.Status.Stages {
		if done := report.CommandStatusOf(s, verb); s.Name == stage && done != nil {
			after(done.At.Time)
		}
	}
	return metav1.NewTime(at)
}

// PendingApproval is whose approval of a stage is not taken up yet. An approval that took its place in the annotation would
// make it disappear, and both may be needed.
func PendingApproval(p *sluicev1.Pipeline, stage string) string {
	for _, s := range report.OfPipeline(p).Stages {
		for _, pending := range s.Pending {
			if s.Name == stage && pending.Verb == sluicev1.CommandApprove {
				return cmp.Or(strings.TrimSpace(pending.By), "somebody")
			}
		}
	}
	return ""
}

// BundleMeant is the bundle that a command to a stage is about if nobody names one, so that it is about what the person
// saw, and not about what comes next; empty if it is about none.
func BundleMeant(p *sluicev1.Pipeline, stage string, verb sluicev1.CommandVerb) string {
	var found *sluicev1.Bundle
	switch verb {
	case sluicev1.CommandApprove, sluicev1.CommandOverride:
		for _, s := range p.Status.Stages {
			if s.Name == stage {
				found = s.Wants
			}
		}
	case sluicev1.CommandPromote:
		found = report.Promotable(p, stage)
	case sluicev1.CommandRollback:
		found = report.RollbackTarget(p, stage)
	case sluicev1.CommandLift:
		if q := p.Status.Quarantined; len(q) == 1 && !report.StateIsLost(p) {
			found = &q[0].Bundle
		}
	case sluicev1.CommandHold:
	}
	if found == nil {
		return ""
	}
	return found.ID
}
