// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/internal/git/fetchrequest"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/writeback"
)

// clockSkew is by how much the clocks of controllers may differ.
const clockSkew = 2 * time.Second

// steps bounds how many decisions one run makes: each may write, and look at what came of
// it. What is left is done by the next run.
const steps = 8

// stepDelay is when a pipeline that has used all of its steps goes on.
const stepDelay = 50 * time.Millisecond

// unwatchedDelay is when to look again for what is not watched, such as a Secret.
const unwatchedDelay = 30 * time.Second

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(error) string { return sluicev1.GitOperationFailedReason }

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, p *sluicev1.Pipeline) (reconciler.Result, error) {
	if err := validate(p); err != nil {
		return reconciler.Result{}, err
	}
	if err := r.checkPathConflicts(ctx, p); err != nil {
		return reconciler.Result{}, err
	}
	fields, err := fieldsOf(p)
	if err != nil {
		return reconciler.Result{}, err
	}
	var repo *repository
	if key, ok := sourceKey(p); ok {
		if repo, err = r.openRepository(ctx, p, key); err != nil {
			return reconciler.Result{}, access.WithField("spec.sourceRef", err)
		}
	}
	run := r.newRun(p, repo, fields)
	if err := run.state.read(ctx); err != nil {
		return reconciler.Result{}, err
	}
	run.addEvents(run.state.untold())
	result, err := run.reconcile(ctx)
	if len(run.events) > 0 {
		p.Status.StateSerial = run.cache.kept.state.Serial // that they were told, as the status says once it is written
	}
	result.Events = append(run.events, run.cache.sourceRequests.events()...)
	return result, err
}

// run is one run of a pipeline: it gives each part what that needs, and takes one decision
// after the other.
type run struct {
	controller *Reconciler
	pipeline   *sluicev1.Pipeline
	cache      *pipelineCache
	state      stateStore
	repos      repositories
	contents   versionReader
	sources    gitSources
	tags       tags
	jobs       jobs
	// unguarded says why the API server does not guard commands.
	unguarded string
	events    []reconciler.Event
	// warnings are those of the last observation, and warned what Ready says of them.
	warnings []reconciler.Warning
	warned   string
	faults   stageErrors
	again    requeue
}

func (r *Reconciler) newRun(p *sluicev1.Pipeline, repo *repository, fields map[string]writeback.ArtifactFields) *run {
	cached, now := r.caches.get(client.ObjectKeyFromObject(p)), r.Clock.Now()
	return &run{
		controller: r, pipeline: p, cache: cached, faults: stageErrors{},
		state: stateStore{
			pipeline: p, repo: repo, writer: r.Writer, live: r.Live, cache: &cached.kept,
			now: now, heads: r.refsOf(p, repo, now), told: p.Status.StateSerial,
		},
		contents: versionReader{artifacts: p.Spec.Artifacts, fields: fields, index: r.Writer.Index()},
		tags: tags{
			pipeline: p, registry: r.Registry, secrets: r.Live, cache: &cached.tags, wrote: cached.wrote,
			copying: &r.copying, clock: r.Clock,
			sources: ociSources{
				client: r.Client, clock: r.Clock, installed: r.cached[sourcev1.OCIRepositoryKind],
				ownNamespace: r.Access.NoCrossNamespaceRefs, requests: &cached.sourceRequests,
			},
		},
		jobs: jobs{pipeline: p, client: r.Client, live: r.Live, logs: r.logs},
		sources: gitSources{
			reach:    fetchrequest.Requester{Client: r.Client, Served: r.ServesSources, Waker: r.Sources, Clock: r.Clock},
			requests: &cached.sourceRequests, namespace: p.Namespace, clock: r.Clock,
		},
	}
}

// reconcile looks at what the run needs, and decides.
func (r *run) reconcile(ctx context.Context) (reconciler.Result, error) {
	p, now := r.pipeline, r.controller.Clock.Now()
	if err := r.controller.supportsMetrics(ctx, p); err != nil {
		return reconciler.Result{}, err
	}
	if r.cache.since.IsZero() {
		r.cache.since = now
	}
	var err error
	r.repos, err = openRepositories(ctx, p, r.state.repo, r.faults, func(key types.NamespacedName) (*repository, error) {
		return r.controller.openRepository(ctx, p, key)
	})
	if err != nil {
		return reconciler.Result{}, err
	}
	r.restoreSourceRequests()
	r.cache.sourceRequests.retry(ctx)
	r.cache.refreshHeads(p, r.repos, now)
	r.cache.forge.refresh(ctx, p, r.repos, &r.cache.heads, now)
	r.cache.tags.refresh(p, now)
	return r.decideAndPerform(ctx)
}

// addEvents has events told at the end of the run.
func (r *run) addEvents(events []promotion.Event) { r.events = append(r.events, eventsOf(events)...) }

// decideAndPerform decides, keeps what was decided and carries it out, until there is nothing
// left to do.
func (r *run) decideAndPerform(ctx context.Context) (reconciler.Result, error) {
	var d promotion.Decision
	for range steps {
		seen, err := r.observe(ctx)
		if err != nil {
			return reconciler.Result{}, err
		}
		d = promotion.Decide(r.cache.kept.state, seen, r.controller.Clock.Now())
		kept, err := r.state.save(ctx, d)
		if err != nil {
			return reconciler.Result{}, err
		}
		if kept {
			r.addEvents(d.Events)
		}
		did, err := r.perform(ctx, d)
		if err != nil {
			return reconciler.Result{}, err
		}
		if !did && !kept {
			r.record(seen, d)
			r.warn()
			return r.finish(d, r.result(d))
		}
	}
	result := r.result(d)
	result.After = stepDelay
	return r.finish(d, result)
}

// finish is the result of the run, or what is wrong with a stage. An object that does not exist
// is waited for: a watch tells when it does.
func (r *run) finish(d promotion.Decision, result reconciler.Result) (reconciler.Result, error) {
	if err := r.faults.ofRun(r.pipeline.Spec.Stages, r.controller.Clock.Now()); err != nil {
		return result, err
	}
	if d.Missing != "" {
		return result, reconciler.Pending(reconciler.WithReason(meta.DependencyNotReadyReason, errors.New(d.Missing)), result.After)
	}
	return result, nil
}

// result is what the reconcile returns.
func (r *run) result(d promotion.Decision) reconciler.Result {
	commands, unreadable := commandsOf(r.pipeline)
	for _, c := range commands {
		if r.pipeline.Spec.Stage(c.Stage) == nil {
			unreadable = append(unreadable,
				fmt.Sprintf("annotation %s is ignored: there is no stage %s: take it away, or give it to one that there is",
					sluicev1.CommandAnnotation(c.Verb, c.Stage), c.Stage))
		}
	}
	message := strings.Join(append([]string{summary(d)}, unreadable...), "; ") + r.warned
	result := reconciler.Result{Reason: meta.SucceededReason, Message: message, After: r.pipeline.Spec.Interval.Duration}
	if c := apimeta.FindStatusCondition(r.pipeline.Status.Conditions,
		meta.ReadyCondition); c != nil && c.Status == metav1.ConditionTrue && c.Reason == result.Reason {
		result.ReadyEvent = reconciler.SkipReadyEvent // the summary has each weight of a canary
	}
	if d.After > 0 {
		result.After = min(result.After, d.After)
	}
	if len(r.cache.sourceRequests.all) > 0 {
		r.again.requeueAfter(unwatchedDelay)
	}
	result.After = r.again.atMost(result.After)
	return result
}
