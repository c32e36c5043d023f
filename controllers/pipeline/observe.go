// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// observe reads all that a decision is made from.
func (r *run) observe(ctx context.Context) (promotion.Observation, error) {
	seen := promotion.Observation{
		Spec: &r.pipeline.Spec, Stages: map[string]promotion.StageObservation{}, StateLost: r.cache.kept.lost,
	}
	seen.Commands, _ = commandsOf(r.pipeline)
	if needsGuard(r.pipeline, seen.Commands) {
		seen.CommandsGuarded, r.unguarded = r.controller.guarded(ctx)
	}
	var err error
	if err = (artifacts{pipeline: r.pipeline, client: r.controller.Client}).observe(ctx, &seen); err != nil {
		return seen, err
	}
	if seen.Freezes, err = (freezes{pipeline: r.pipeline, client: r.controller.Client, live: r.controller.Live}).list(ctx); err != nil {
		return seen, err
	}
	r.again, r.warnings = requeue{}, nil
	stages := r.stageReader(seen.Newest)
	for i := range r.pipeline.Spec.Stages {
		stage := &r.pipeline.Spec.Stages[i]
		one, err := stages.read(ctx, stage)
		if read := len(one.Targets) > 0; err == nil && read && stage.Write.PullRequest != nil {
			err = r.pullRequest(ctx, stage, &one)
		}
		if err != nil {
			return seen, err
		}
		seen.Stages[stage.Name] = one
	}
	stages.done()
	return seen, nil
}

// stageReader reads what stages have, and whether they run that. It is that of one
// observation.
type stageReader struct {
	pipeline *sluicev1.Pipeline
	state    promotion.State
	newest   map[string]promotion.Newest // versions, by artifact
	wrote    writtenBundles
	repos    repositories
	heads    *pushedHeads
	contents versionReader
	tags     tags
	ready    readyChecker
	verifier verificationObserver
	faults   stageErrors
}

func (r *run) stageReader(newest map[string]promotion.Newest) stageReader {
	seen := &objects{
		pipeline: r.pipeline, cached: r.controller.Client, live: r.controller.Live,
		kinds: r.controller.cached, look: r.controller.readerOf(client.ObjectKeyFromObject(r.pipeline)),
		ownNamespace: r.controller.Access.NoCrossNamespaceRefs, again: &r.again,
	}
	m := r.cache
	return stageReader{
		pipeline: r.pipeline, state: m.kept.state, newest: newest, wrote: m.wrote, repos: r.repos, heads: &m.heads, contents: r.contents,
		tags: r.tags, faults: r.faults,
		ready: readyChecker{
			objects: seen, canaries: canaries{seen}, revisions: revisions{pipeline: r.pipeline, repos: r.repos, contents: r.contents},
			state: m.kept.state, clock: r.controller.Clock, warnings: &r.warnings,
		},
		verifier: verificationObserver{
			objects: seen, canaries: canaries{seen}, jobs: r.jobs, state: m.kept.state,
			metrics: metrics{
				pipeline: r.pipeline, checker: r.controller.Checker, measuring: &r.controller.measuring,
				cache: &m.measurements, clock: r.controller.Clock, since: m.since,
				again: &r.again, needed: map[metricsKey]bool{},
			},
		},
	}
}

// done ends the observation: what was not read any more is not watched any more.
func (s stageReader) done() {
	s.ready.objects.look.Done()
	s.verifier.metrics.forgetOthers()
}

// read reads a stage. What is wrong with its repository, or with the registry of its tags,
// is a problem of the stage, and of no other.
func (s stageReader) read(ctx context.Context, stage *sluicev1.Stage) (promotion.StageObservation, error) {
	if stage.Write.Tag != nil {
		return s.byTags(ctx, stage)
	}
	return s.inGit(ctx, stage)
}

func (s stageReader) inGit(ctx context.Context, stage *sluicev1.Stage) (promotion.StageObservation, error) {
	seen := promotion.StageObservation{}
	repo := s.repos[stage.Name]
	if repo == nil {
		seen.Problem = s.faults.problem(stage.Name)
		return seen, nil
	}
	files, err := s.repos.files(ctx, stage, s.heads)
	if ctx.Err() != nil {
		return seen, ctx.Err()
	}
	if err != nil {
		s.faults[stage.Name] = err
	}
	seen.Problem = s.faults.problem(stage.Name)
	if err != nil {
		return seen, nil
	}
	contents := s.contents
	contents.revision = shortRevision(branchOf(repo, stage) + "@sha1:" + files.Commit().String())
	for _, t := range targetsOf(stage) {
		one := promotion.TargetObservation{Name: t.name, Wave: t.wave}
		if one.Content, err = contents.read(ctx, files, t); err != nil {
			return seen, err
		}
		if one.Wrote, err = s.wroteLast(ctx, t, files, one.Content); err != nil {
			return seen, err
		}
		if err := s.origin(ctx, t, files, &one); err != nil {
			return seen, err
		}
		if err := s.judge(ctx, stage, t, &one); err != nil {
			return seen, err
		}
		seen.Targets = append(seen.Targets, one)
	}
	return seen, nil
}

func (s stageReader) byTags(ctx context.Context, stage *sluicev1.Stage) (promotion.StageObservation, error) {
	seen := promotion.StageObservation{Problem: s.faults.problem(stage.Name)}
	for _, t := range targetsOf(stage) {
		digest, err := s.tags.pointsAt(ctx, t)
		if ctx.Err() != nil {
			return seen, ctx.Err()
		}
		if err != nil {
			s.faults[stage.Name] = err
			return promotion.StageObservation{Problem: s.faults.problem(stage.Name)}, nil
		}
		one := promotion.TargetObservation{Name: t.name, Wave: t.wave}
		one.Wrote = s.wrote.since(targetKey{t.stage, t.name}, s.state.Stages[t.stage].Writing)
		has := tagContent(s.pipeline, t, digest, s.newest[artifactOf(s.pipeline, t.tag)], s.state)
		one.Content = wholeContent(s.state, stage.Name, has)
		if err := s.judge(ctx, stage, t, &one); err != nil {
			return seen, err
		}
		one.Content = has
		seen.Targets = append(seen.Targets, one)
	}
	return seen, nil
}

// judge says whether a target runs what its content says, and whether that works and was
// verified.
func (s stageReader) judge(ctx context.Context, stage *sluicev1.Stage, t target, seen *promotion.TargetObservation) error {
	s.ready.objects.unreadable = ""
	if err := s.ready.check(ctx, t, seen); err != nil {
		return err
	}
	err := s.verifier.verify(ctx, stage, t, seen)
	seen.Unreadable = s.ready.objects.unreadable
	return err
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
