// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// lookSoon is when to look again for what nobody tells of, such as a Secret.
const lookSoon = 30 * time.Second

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(error) string { return sluicev1.GitOperationFailedReason }

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, p *sluicev1.Pipeline) (reconciler.Result, error) {
	if err := validate(p); err != nil {
		return reconciler.Result{}, err
	}
	repo, err := r.openRepository(ctx, p)
	if err != nil {
		return reconciler.Result{}, err
	}
	run := &run{Reconciler: r, pipeline: p, memory: r.memories.of(client.ObjectKeyFromObject(p)), repo: repo}
	if err := run.readState(ctx); err != nil {
		return reconciler.Result{}, err
	}
	return run.untilAtRest(ctx)
}

// run is one run of a pipeline.
type run struct {
	*Reconciler
	pipeline *sluicev1.Pipeline
	memory   *memory
	repo     repository
	// look reads the objects that stages are judged by. lookSoon means that something is
	// wrong that nobody tells of when it is put right.
	look     looker
	lookSoon bool
	// unguarded says why the API server does not guard commands.
	unguarded string
}

// untilAtRest decides, keeps what was decided and carries it out, until there is nothing
// left to do.
func (r *run) untilAtRest(ctx context.Context) (reconciler.Result, error) {
	var events []reconciler.Event
	var d promotion.Decision
	for range steps {
		seen, err := r.observe(ctx)
		if err != nil {
			return reconciler.Result{Events: events}, err
		}
		d = promotion.Decide(r.memory.state, seen, r.Clock.Now())
		kept, err := r.keep(ctx, d)
		if err != nil {
			return reconciler.Result{Events: events}, err
		}
		if kept {
			events = append(events, eventsOf(d.Events)...)
		}
		did, err := r.perform(ctx, d.Actions)
		if err != nil {
			return reconciler.Result{Events: events}, err
		}
		if !did && !kept {
			r.record(seen, d)
			return r.result(d, events), nil
		}
	}
	result := r.result(d, events)
	result.After = lookAgain
	return result, nil
}

// result is what the runner is told.
func (r *run) result(d promotion.Decision, events []reconciler.Event) reconciler.Result {
	_, unreadable := commandsOf(r.pipeline)
	message := strings.Join(append([]string{summary(d)}, unreadable...), "; ")
	result := reconciler.Result{Reason: meta.SucceededReason, Message: message, After: r.pipeline.Spec.Interval.Duration, Events: events}
	if d.After > 0 {
		result.After = min(result.After, d.After)
	}
	if r.lookSoon {
		result.After = min(result.After, lookSoon)
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
func (r *run) perform(ctx context.Context, actions []promotion.Action) (bool, error) {
	did := false
	for _, action := range actions {
		write, ok := action.(promotion.Write)
		if !ok {
			continue // verifications that run by themselves
		}
		wrote, err := r.write(ctx, write)
		if err != nil {
			return did, fmt.Errorf("writing %s to stage %s: %w", promotion.Describe(write.Bundle), write.Stage, err)
		}
		did = did || wrote
	}
	return did, nil
}

// write commits a bundle to a stage.
func (r *run) write(ctx context.Context, w promotion.Write) (bool, error) {
	stage := r.pipeline.Spec.Stage(w.Stage)
	branch := branchOf(r.repo, stage)
	var paths []string
	for _, t := range targetsOf(stage) {
		for _, name := range w.Targets {
			if t.name == name {
				paths = append(paths, t.path)
			}
		}
	}
	label, _ := r.repo.revision()
	result, err := r.Writer.Run(ctx, writeback.Request{
		Remote: r.repo.remote, Checkout: git.Reference{Branch: branch}, Push: branch,
		Edits:  writeback.BundleEdits{Paths: paths, Fields: fieldsOf(r.pipeline), Images: imagesOf(w.Bundle)},
		Author: r.repo.author, Signer: r.repo.signer,
		Message: func(context.Context, writeback.Changed) (string, error) { return commitMessage(r.pipeline, w), nil },
	})
	if err != nil {
		return false, err
	}
	r.memory.wrote[w.Stage] = w.Bundle.ID
	r.memory.heads[branch] = pushedHead{commit: result.Source, revision: label}
	if result.Commit.IsZero() {
		return false, nil
	}
	return true, r.driveSource(ctx)
}

// driveSource has the GitRepository fetch what was pushed.
func (r *run) driveSource(ctx context.Context) error {
	key := client.ObjectKeyFromObject(r.repo.object)
	if r.ServesSources {
		r.Sources.Wake(key)
		return nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(r.repo.object.GroupVersionKind())
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
func (r *run) record(seen promotion.Observation, d promotion.Decision) {
	r.pipeline.Status.Candidate, r.pipeline.Status.Stages, r.pipeline.Status.Summary = d.Candidate, d.Stages, stagesLine(d)
	r.recordState()
	r.pipeline.Status.Quarantined = nil
	for _, q := range d.State.Quarantine {
		b, _ := d.State.Bundle(q.Bundle)
		entry := sluicev1.Quarantine{
			Bundle: b, Artifacts: q.Artifacts, Stage: q.Stage, Reason: q.Reason, By: q.By, At: metav1.NewTime(q.At), Overridden: q.Overridden != nil,
		}
		if q.Until != nil {
			entry.Until = &metav1.Time{Time: *q.Until}
		}
		r.pipeline.Status.Quarantined = append(r.pipeline.Status.Quarantined, entry)
	}
	recordDecisions(r.pipeline, seen, d.State)
	r.recordGuard(seen)
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
