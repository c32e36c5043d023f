// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/writeback"
)

// clockSkew is by how much the clocks of controllers may differ.
const clockSkew = 2 * time.Second

// steps bounds how many decisions one run makes: each may write, and look at what came of
// it. What is left is done by the next run.
const steps = 8

// lookAgain is when a pipeline that came to the end of its steps goes on.
const lookAgain = 50 * time.Millisecond

func keyOfTarget(c *flaggerv1.Canary) types.NamespacedName {
	return types.NamespacedName{Namespace: c.Namespace, Name: c.Spec.TargetRef.Name}
}

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(error) string { return sluicev1.GitOperationFailedReason }

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, p *sluicev1.Pipeline) (reconciler.Result, error) {
	if err := validate(p); err != nil {
		return reconciler.Result{}, err
	}
	m := r.memories.of(client.ObjectKeyFromObject(p))
	repo, err := r.openRepository(ctx, p)
	if err != nil {
		return reconciler.Result{}, err
	}
	if err := r.readState(ctx, p, m, repo); err != nil {
		return reconciler.Result{}, err
	}
	var events []reconciler.Event
	var d promotion.Decision
	for range steps {
		seen, err := r.observe(ctx, p, m, repo)
		if err != nil {
			return reconciler.Result{Events: events}, err
		}
		d = promotion.Decide(m.state, seen, r.Clock.Now())
		kept, err := r.keep(ctx, p, m, repo, d)
		if err != nil {
			return reconciler.Result{Events: events}, err
		}
		if kept {
			events = append(events, eventsOf(d.Events)...)
		}
		did, err := r.perform(ctx, p, m, repo, d.Actions)
		if err != nil {
			return reconciler.Result{Events: events}, err
		}
		if !did && !kept {
			r.record(p, m, seen, d)
			return r.result(p, d, events), nil
		}
	}
	result := r.result(p, d, events)
	result.After = lookAgain
	return result, nil
}

// result is what the runner is told.
func (r *Reconciler) result(p *sluicev1.Pipeline, d promotion.Decision, events []reconciler.Event) reconciler.Result {
	result := reconciler.Result{Reason: meta.SucceededReason, Message: summary(d), After: p.Spec.Interval.Duration, Events: events}
	if d.After > 0 {
		result.After = min(result.After, d.After)
	}
	return result
}

// summary is where the stages stand, in a line.
func summary(d promotion.Decision) string {
	var parts []string
	for _, stage := range d.Stages {
		parts = append(parts, stage.Name+": "+stage.Message)
	}
	return strings.Join(parts, "; ")
}

// file is the state's file.
func file(p *sluicev1.Pipeline, repo repository) writeback.StateFile {
	return writeback.StateFile{
		Remote: repo.remote, Branch: "sluice/state/" + p.Namespace + "." + p.Name, Path: "state.yaml", Author: repo.author, Signer: repo.signer,
	}
}

// readState reads the state, unless it is remembered. Nobody else writes it but people.
func (r *Reconciler) readState(ctx context.Context, p *sluicev1.Pipeline, m *memory, repo repository) error {
	if m.known {
		return nil
	}
	text, at, err := r.Writer.ReadState(ctx, file(p, repo))
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	m.state, m.at, m.lost = promotion.State{}, at, at.IsZero() && p.Status.StateCommit != ""
	if text != nil {
		if m.state, err = promotion.ParseState(text); err != nil {
			return reconciler.WithReason(sluicev1.StateInvalidReason, fmt.Errorf("branch %s: %w", file(p, repo).Branch, err))
		}
	}
	m.known = true
	return nil
}

// keep writes the next state if it differs. It reports whether it did.
func (r *Reconciler) keep(ctx context.Context, p *sluicev1.Pipeline, m *memory, repo repository, d promotion.Decision) (bool, error) {
	before, err := m.state.Marshal()
	if err != nil {
		return false, err
	}
	after, err := d.State.Marshal()
	if err != nil || bytes.Equal(before, after) {
		return false, err
	}
	made, err := r.Writer.WriteState(ctx, file(p, repo), m.at, after, stateMessage(p, d))
	if err != nil {
		m.known = false // somebody else wrote it: what they decided counts
		return false, err
	}
	m.state, m.at, m.lost = d.State, made, false
	return true, nil
}

// stateMessage is the message of a commit of the state.
func stateMessage(p *sluicev1.Pipeline, d promotion.Decision) string {
	text := fmt.Sprintf("Note where pipeline %s/%s stands\n", p.Namespace, p.Name)
	if len(d.Events) > 0 {
		text = strings.ToUpper(d.Events[0].Message[:1]) + d.Events[0].Message[1:] + "\n"
	}
	if len(d.Events) > 1 {
		text += "\n"
		for _, e := range d.Events[1:] {
			text += "- " + e.Message + "\n"
		}
	}
	return text
}

func eventsOf(decided []promotion.Event) []reconciler.Event {
	var events []reconciler.Event
	for _, e := range decided {
		kind := corev1.EventTypeNormal
		if e.Warning {
			kind = corev1.EventTypeWarning
		}
		events = append(events, reconciler.Event{Type: kind, Reason: e.Reason, Message: e.Message})
	}
	return events
}

// perform carries out actions, and reports whether any of them changed something.
func (r *Reconciler) perform(ctx context.Context, p *sluicev1.Pipeline, m *memory, repo repository, actions []promotion.Action) (bool, error) {
	did := false
	for _, action := range actions {
		write, ok := action.(promotion.Write)
		if !ok {
			continue // verifications that run by themselves
		}
		wrote, err := r.write(ctx, p, m, repo, write)
		if err != nil {
			return did, fmt.Errorf("writing %s to stage %s: %w", promotion.Describe(write.Bundle), write.Stage, err)
		}
		did = did || wrote
	}
	return did, nil
}

// write commits a bundle to a stage.
func (r *Reconciler) write(ctx context.Context, p *sluicev1.Pipeline, m *memory, repo repository, w promotion.Write) (bool, error) {
	stage := p.Spec.Stage(w.Stage)
	branch := branchOf(repo, stage)
	var paths []string
	for _, t := range targetsOf(stage) {
		for _, name := range w.Targets {
			if t.name == name {
				paths = append(paths, t.path)
			}
		}
	}
	label, _ := repo.revision()
	result, err := r.Writer.Run(ctx, writeback.Request{
		Remote: repo.remote, Checkout: git.Reference{Branch: branch}, Push: branch,
		Edits:  writeback.BundleEdits{Namespace: p.Namespace, Paths: paths, Images: imagesOf(p, w.Bundle)},
		Author: repo.author, Signer: repo.signer,
		Message: func(context.Context, writeback.Changed) (string, error) { return commitMessage(p, w), nil },
	})
	if err != nil {
		return false, err
	}
	m.wrote[w.Stage] = w.Bundle.ID
	m.heads[branch] = pushedHead{commit: result.Source, revision: label}
	if result.Commit.IsZero() {
		return false, nil
	}
	return true, r.driveSource(ctx, repo)
}

// driveSource has the GitRepository fetch what was pushed.
func (r *Reconciler) driveSource(ctx context.Context, repo repository) error {
	key := client.ObjectKeyFromObject(repo.object)
	if r.ServesSources {
		r.Sources.Wake(key)
		return nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(repo.object.GroupVersionKind())
	object.APIVersion, object.Kind = "source.toolkit.fluxcd.io/v1", "GitRepository"
	object.Namespace, object.Name = key.Namespace, key.Name
	return reconciler.Request(ctx, r.Client, object, r.Clock.Now())
}

// commitMessage says what was decided, for people and for `git log`.
func commitMessage(p *sluicev1.Pipeline, w promotion.Write) string {
	verb := "Promote"
	if w.Kind == sluicev1.LandingRollback {
		verb = "Roll back"
	}
	text := fmt.Sprintf("%s %s to %s\n", verb, w.Stage, promotion.Describe(w.Bundle))
	if w.Reason != "" {
		text += "\n" + w.Reason + "\n"
	}
	text += fmt.Sprintf("\nSluice-Pipeline: %s/%s\nSluice-Stage: %s\nSluice-Bundle: %s\n", p.Namespace, p.Name, w.Stage, w.Bundle.ID)
	if w.Kind == sluicev1.LandingRollback {
		text += "Rollback-Of: " + w.From + "\n"
	} else if w.From != "" {
		text += "Sluice-Landed-From: " + w.From + "\n"
	}
	if w.By != "" {
		text += "Sluice-Requested-By: " + w.By + "\n"
	}
	return text
}

// record notes where the pipeline stands.
func (r *Reconciler) record(p *sluicev1.Pipeline, m *memory, seen promotion.Observation, d promotion.Decision) {
	p.Status.Candidate, p.Status.Stages, p.Status.Summary = d.Candidate, d.Stages, stagesLine(d)
	p.Status.StateCommit = ""
	if !m.at.IsZero() {
		p.Status.StateCommit = m.at.String()
	}
	p.Status.Quarantined = nil
	for _, q := range d.State.Quarantine {
		b, _ := d.State.Bundle(q.Bundle)
		entry := sluicev1.Quarantine{
			Bundle: b, Stage: q.Stage, Reason: q.Reason, By: q.By, At: metav1.NewTime(q.At), Overridden: q.Overridden != nil,
		}
		if q.Until != nil {
			entry.Until = &metav1.Time{Time: *q.Until}
		}
		p.Status.Quarantined = append(p.Status.Quarantined, entry)
	}
	r.recordGuard(p, seen)
}

// recordGuard says whether commands count, if any stage cares.
func (r *Reconciler) recordGuard(p *sluicev1.Pipeline, seen promotion.Observation) {
	if !cares(p, seen.Commands) {
		reconciler.RemoveCondition(p, sluicev1.ApprovalsEnforcedCondition)
		return
	}
	c := metav1.Condition{Type: sluicev1.ApprovalsEnforcedCondition, Status: metav1.ConditionTrue, Reason: "PolicyInstalled", Message: "commands are guarded by the API server"}
	if !seen.CommandsGuarded {
		c.Status, c.Reason = metav1.ConditionFalse, "PolicyMissing"
		c.Message = "commands in annotations are ignored: the ValidatingAdmissionPolicy " + policyName + " is not installed (config/admission)"
	}
	reconciler.SetCondition(p, r.Clock.Now(), c)
}

// stagesLine is what each stage has, for a column.
func stagesLine(d promotion.Decision) string {
	var parts []string
	for _, stage := range d.Stages {
		has := "-"
		if stage.Has != nil {
			has = promotion.Describe(*stage.Has)
		}
		parts = append(parts, stage.Name+"="+has)
	}
	return strings.Join(parts, " ")
}
