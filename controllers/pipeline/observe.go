// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// observe reads all that a decision is made from.
func (r *run) observe(ctx context.Context) (promotion.Observation, error) {
	seen := promotion.Observation{
		Spec: &r.pipeline.Spec, Stages: map[string]promotion.StageSeen{}, StateLost: r.memory.kept.lost,
	}
	seen.Commands, _ = commandsOf(r.pipeline)
	if cares(r.pipeline, seen.Commands) {
		seen.CommandsGuarded, r.unguarded = r.guarded(ctx)
	}
	var err error
	if seen.Newest, seen.NotReady, err = r.artifacts(ctx); err != nil {
		return seen, err
	}
	r.newest = seen.Newest
	if seen.Freezes, err = r.freezes(ctx); err != nil {
		return seen, err
	}
	r.look, r.again = r.looks(client.ObjectKeyFromObject(r.pipeline)), requeue{}
	r.looksAt = map[metricsKey]bool{}
	for i := range r.pipeline.Spec.Stages {
		stage := &r.pipeline.Spec.Stages[i]
		if seen.Stages[stage.Name], err = r.stage(ctx, stage); err != nil {
			return seen, err
		}
	}
	r.look.Done()
	r.forgetLooks(r.memory, r.looksAt)
	return seen, nil
}

// freezes are those that select the pipeline.
func (r *run) freezes(ctx context.Context) ([]promotion.Freeze, error) {
	var list sluicev1.FreezeList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing freezes: %w", err)
	}
	var found []promotion.Freeze
	for _, f := range list.Items {
		selects, err := r.selects(ctx, &f)
		if err != nil {
			return nil, err
		}
		if selects {
			found = append(found, promotion.Freeze{Name: f.Name, Reason: f.Spec.Reason, Stages: f.Spec.Stages, Windows: f.Spec.Windows})
		}
	}
	return found, nil
}

// selects reports whether a freeze is about a pipeline. One whose selector is wrong says so
// in its own status.
func (r *run) selects(ctx context.Context, f *sluicev1.Freeze) (bool, error) {
	selector, _ := promotion.ParseFreezeSelector(&f.Spec)
	return selector.Selects(r.pipeline.Labels, func() (map[string]string, error) {
		var namespace corev1.Namespace
		if err := r.Live.Get(ctx, client.ObjectKey{Name: r.pipeline.Namespace}, &namespace); err != nil {
			return nil, fmt.Errorf("reading namespace %s for freeze %s: %w", r.pipeline.Namespace, f.Name, err)
		}
		return namespace.Labels, nil
	})
}

// commandsOf are the commands in annotations, and what is wrong with those that cannot be
// read.
func commandsOf(object client.Object) (commands []promotion.Command, unreadable []string) {
	annotations := object.GetAnnotations()
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		verb, stage, ok := sluicev1.ParseCommandAnnotation(name)
		if !ok {
			continue
		}
		c, err := sluicev1.ParseCommand(annotations[name])
		if err != nil {
			unreadable = append(unreadable, fmt.Sprintf("annotation %s is ignored: %s", name, err))
			continue
		}
		commands = append(commands, promotion.Command{Verb: verb, Stage: stage, Command: c})
	}
	return commands, unreadable
}

// stage reads what a stage has, and whether it runs that. What is wrong with its repository
// is a problem of the stage, and of no other.
func (r *run) stage(ctx context.Context, stage *sluicev1.Stage) (promotion.StageSeen, error) {
	if stage.Write.Tag != nil {
		return r.tagStage(ctx, stage)
	}
	seen := promotion.StageSeen{Wrote: r.memory.wrote[stage.Name]}
	repo := r.repos[stage.Name]
	if repo == nil {
		seen.Problem = r.faults.problem(stage.Name)
		return seen, nil
	}
	files, err := r.repos.files(ctx, stage, r.memory.heads)
	if ctx.Err() != nil {
		return seen, ctx.Err()
	}
	if err != nil {
		r.faults[stage.Name] = err
	}
	seen.Problem = r.faults.problem(stage.Name)
	if err != nil {
		return seen, nil
	}
	for _, t := range targetsOf(stage) {
		one := promotion.TargetSeen{
			Name: t.name, Wave: t.wave, Commit: files.Commit().String(), By: files.Info().Author.Name, At: files.Info().Committer.When,
		}
		one.Ours = files.Info().Author.Email == repo.author.Email
		if one.Content, err = r.contents.of(ctx, files, t); err != nil {
			return seen, err
		}
		if err := r.judge(ctx, stage, t, &one); err != nil {
			return seen, err
		}
		seen.Targets = append(seen.Targets, one)
	}
	if stage.Write.PullRequest != nil {
		return seen, r.pullRequest(ctx, stage, &seen)
	}
	return seen, nil
}

// landingOf is the last landing of a stage; its zero value if there is none. One that was
// found has no time: a Canary that released its bundle before it was found has seen it.
func landingOf(s promotion.State, stage string) promotion.Landing {
	landings := s.Stages[stage].Landings
	if len(landings) == 0 {
		return promotion.Landing{}
	}
	last := landings[0]
	if last.Found {
		last.At = time.Time{}
	}
	return last
}
