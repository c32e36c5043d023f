// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/writeback"
)

// perform carries out actions, and reports whether any of them changed something. What
// fails at a repository or a forge keeps its own stage from going on, and no other.
func (r *run) perform(ctx context.Context, d promotion.Decision) (bool, error) {
	did := false
	for _, action := range d.Actions {
		changed, err := r.act(ctx, action, d)
		did = did || changed
		if err != nil {
			return did, err
		}
	}
	return did, nil
}

// act carries out one action, and reports whether that changed something.
func (r *run) act(ctx context.Context, action promotion.Action, d promotion.Decision) (bool, error) {
	switch a := action.(type) {
	case promotion.Write:
		return r.forStage(ctx, a.Stage, func() (bool, error) {
			wrote, err := r.write(ctx, a, d)
			if err != nil {
				err = fmt.Errorf("writing %s to stage %s: %w", promotion.Describe(a.Bundle), a.Stage, err)
			}
			return wrote, err
		})
	case promotion.Propose:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return p.propose(ctx, a, d) })
	case promotion.Merge:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return p.merge(ctx, a) })
	case promotion.SetAutoMerge:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return p.setAutoMerge(ctx, a) })
	case promotion.SetDraft:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return p.setDraft(ctx, a) })
	case promotion.ClosePullRequest:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return p.close(ctx, a) })
	case promotion.Comment:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return p.comment(ctx, a) })
	case promotion.SetStatus:
		return r.atForge(ctx, a.Stage, func(p pulls) (bool, error) { return p.setStatus(ctx, a) })
	case promotion.Verify:
		return r.startJobs(ctx, a) // Canaries run by themselves
	}
	return false, fmt.Errorf("action %T is not known", action)
}

// write commits a bundle to a stage, or points its tags at it.
func (r *run) write(ctx context.Context, w promotion.Write, d promotion.Decision) (bool, error) {
	stage := r.pipeline.Spec.Stage(w.Stage)
	if stage.Write.Tag != nil {
		return r.writeTags(ctx, stage, w)
	}
	text := ""
	if c := stage.Write.Commit; c != nil {
		text = c.MessageTemplate
	}
	said, err := commitMessage(ctx, messageField(stage), text, r.message(w, d))
	if err != nil {
		return false, err
	}
	repo := r.repos[w.Stage]
	branch := branchOf(repo, stage)
	label, _ := repo.revision()
	result, err := r.Writer.Run(ctx, r.request(stage, w, said, branch))
	if err != nil {
		return false, err
	}
	r.memory.wrote[w.Stage] = w.Bundle.ID
	r.memory.heads[repo.at(branch)] = pushedHead{commit: result.Source, revision: label}
	if result.Commit.IsZero() {
		return false, nil
	}
	return true, r.driveSource(ctx, repo)
}

// request is a commit of a bundle to a stage with a message, pushed to a branch.
func (r *run) request(stage *sluicev1.Stage, w promotion.Write, message, push string) writeback.Request {
	var paths []string
	for _, t := range targetsOf(stage) {
		for _, name := range w.Targets {
			if t.name == name {
				paths = append(paths, t.path)
			}
		}
	}
	repo := r.repos[stage.Name]
	return writeback.Request{
		Remote: repo.remote, Checkout: git.Reference{Branch: branchOf(repo, stage)}, Push: push,
		Edits:  writeback.BundleEdits{Paths: paths, Fields: r.fields[stage.Name], Images: imagesOf(w.Bundle)},
		Author: repo.author, Signer: repo.signer,
		Message: func(context.Context, writeback.Changed) (string, error) { return message, nil },
	}
}

// driveSource has the GitRepository fetch what was pushed to it.
func (r *run) driveSource(ctx context.Context, repo *repository) error {
	key := repo.key()
	if r.ServesSources {
		r.Sources.Wake(key)
		return nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.APIVersion, object.Kind = "source.toolkit.fluxcd.io/v1", "GitRepository"
	object.Namespace, object.Name = key.Namespace, key.Name
	return reconciler.Request(ctx, r.Client, object, r.Clock.Now())
}

// forStage does something for a stage, unless something is wrong with that already. An
// error is noted, and is not that of other stages.
func (r *run) forStage(ctx context.Context, stage string, do func() (bool, error)) (bool, error) {
	if r.faults[stage] != nil {
		return false, nil
	}
	did, err := do()
	if err == nil {
		return did, nil
	}
	if ctx.Err() != nil {
		return did, ctx.Err()
	}
	r.fail(stage, err)
	return true, nil // what is wrong is decided about
}

// fail notes that a stage cannot go on in this run. What is wrong with a stage for good
// does not keep others from being retried.
func (r *run) fail(stage string, err error) {
	if r.faults == nil {
		r.faults = map[string]error{}
	}
	r.faults[stage] = err
}

// fault is the error of the run, made of those of its stages: the first that goes away by
// itself, so that it is retried, or else the first of all.
func (r *run) fault() error {
	var found error
	for _, stage := range r.pipeline.Spec.Stages {
		err := r.faults[stage.Name]
		switch {
		case err == nil:
		case !errors.Is(err, reconcile.TerminalError(nil)):
			return r.waits(err)
		case found == nil:
			found = err
		}
	}
	return found
}

// waits is the error of a stage as the runner takes it: a limit is waited for.
func (r *run) waits(err error) error {
	if limited := (*forge.RateLimited)(nil); errors.As(err, &limited) {
		return reconciler.Pending(err, max(limited.Until.Sub(r.Clock.Now()), time.Second))
	}
	return err
}
