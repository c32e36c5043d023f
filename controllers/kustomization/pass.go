package kustomization

import (
	"context"
	"errors"
	"fmt"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
)

// state is what is remembered of a Kustomization between reconciles. Losing it
// costs one build and one apply that changes nothing.
type state struct {
	// built is what the last complete apply was made of; nil before the first,
	// and while one is under way.
	built *built
	// asked is what the last reconcile was asked to do.
	asked attempt
	// started is when that was first tried, since when its health is awaited.
	started, since time.Time
	// due is when the interval is over.
	due time.Time
	// verdict is the failed health check that stands until there is news.
	verdict string
	// mask hides the values of Secrets that were substituted last.
	mask *mask.Mask
	// owned is the inventory as of the last apply. It is told again with every
	// result: the status write that should have told it may have failed.
	owned []inventory.Entry
	// cleared is when all objects were deleted on behalf of a Kustomization that
	// goes; going are those that may still be there.
	cleared   time.Time
	going     []apply.Change
	toldGoing bool
}

// built identifies a build.
type built struct {
	generation int64
	reads      build.Reads
	variables  string // digest
	digest     string // of the objects
	// inputs are the versions of what the variables were read from.
	inputs inputs
	// artifact is the digest of the one for which all this was found to be true.
	artifact string
}

// attempt identifies what a reconcile is asked to do.
type attempt struct {
	revision, digest string
	generation       int64
	requested        string
}

// pass is one reconcile of one Kustomization.
type pass struct {
	r        *Reconciler
	k        *kustomizev1.Kustomization
	artifact *meta.Artifact
	state    *state
	now      time.Time
	// opened is the artifact's tree, once it is needed.
	opened tree.Tree
	// events are told with the result.
	events []reconciler.Event
}

// plan is how much a pass has to do.
type plan int

// The plans.
const (
	nothing plan = iota
	values       // read the variables, once what they may come from is there; then one of the others
	all          // build, apply, prune
)

func (r *Reconciler) begin(k *kustomizev1.Kustomization, artifact *meta.Artifact) *pass {
	p := &pass{r: r, k: k, artifact: artifact, state: r.state(keyOf(k)), now: r.clock.Now()}
	requested, _ := meta.ReconcileAnnotationValue(k.GetAnnotations())
	asked := attempt{
		revision: artifact.Revision, digest: artifact.Digest, generation: k.Generation, requested: requested,
	}
	if asked != p.state.asked {
		p.state.started, p.state.since, p.state.verdict = p.now, p.now, ""
		if asked.generation != p.state.asked.generation || asked.requested != p.state.asked.requested {
			p.state.due = p.now
			r.engine.Insist(keyOf(k))
		}
		p.state.asked = asked
	}
	return p
}

func (p *pass) run(ctx context.Context) (reconciler.Result, error) {
	plan, err := p.plan(ctx)
	if err != nil {
		return reconciler.Result{}, err
	}
	if err := p.dependencies(ctx, plan); err != nil {
		return reconciler.Result{}, err
	}
	if plan == values {
		if plan, err = p.variables(ctx); err != nil {
			return reconciler.Result{}, err
		}
	}
	p.k.Status.LastAttemptedRevision = p.artifact.Revision
	if p.state.owned != nil {
		p.setInventory(p.state.owned)
	}
	if plan == all {
		waiting, err := p.bring(ctx)
		if errors.Is(err, background.ErrPending) {
			return p.building(), nil
		}
		if err != nil || waiting != nil {
			return p.unfinished(waiting), err
		}
	}
	if !p.now.Before(p.state.due) {
		p.state.due = p.now.Add(p.k.GetRequeueAfter())
	}
	return p.assess(ctx)
}

// plan decides whether there is anything to apply. It makes no API call unless
// somebody asks for a full look: by the spec, by request, or by the interval.
func (p *pass) plan(ctx context.Context) (plan, error) {
	last := p.state.built
	if last == nil || last.generation != p.k.Generation {
		return all, nil
	}
	if err := p.open(ctx); err != nil {
		return nothing, err
	}
	_, same, err := last.reads.AnsweredBy(p.opened)
	if err != nil {
		return nothing, retrying(p.k, because(meta.ArtifactFailedReason, fmt.Errorf("reading %s: %w", p.artifact.Revision, err)))
	}
	drift, _ := p.r.engine.Drift(keyOf(p.k))
	if !same || drift == apply.Drifted {
		return all, nil
	}
	due := !p.now.Before(p.state.due)
	switch {
	case due && drift == apply.Unsure:
		return all, nil
	case substitutesFrom(p.k) && (due || last.artifact != p.artifact.Digest || p.r.moved(ctx, p.k, last.inputs)):
		return values, nil
	}
	last.artifact = p.artifact.Digest
	return nothing, nil
}

// variables decides whether there is anything to apply because of what the variables
// are by now.
func (p *pass) variables(ctx context.Context) (plan, error) {
	sub, inputs, err := p.r.substitution(ctx, p.k)
	if err != nil {
		return nothing, p.unsubstituted(err)
	}
	if digestOf(sub) != p.state.built.variables {
		return all, nil
	}
	p.state.built.inputs, p.state.built.artifact = inputs, p.artifact.Digest
	return nothing, nil
}

// unsubstituted is a failure to read variables. What is not there is watched for.
func (p *pass) unsubstituted(err error) error {
	if apierrors.IsNotFound(err) {
		return later(p.k, because(meta.BuildFailedReason, err))
	}
	if errors.Is(err, build.ErrTooLarge) { // what they come from is watched
		return reconcile.TerminalError(because(meta.BuildFailedReason, err))
	}
	return retrying(p.k, because(meta.BuildFailedReason, err))
}

// open opens the artifact, once.
func (p *pass) open(ctx context.Context) error {
	if p.opened != nil {
		return nil
	}
	opened, err := p.r.Opener.Open(ctx, p.artifact)
	if err != nil {
		return because(meta.ArtifactFailedReason, fmt.Errorf("opening artifact %s: %w", p.artifact.Revision, err))
	}
	p.opened = opened
	return nil
}

// unfinished is the result of an apply that has to go on later, or has failed.
func (p *pass) unfinished(waiting *apply.Health) reconciler.Result {
	result := reconciler.Result{Events: p.events}
	if waiting != nil {
		result.Progressing = true
		result.Reason = meta.ProgressingReason
		result.Message = "Waiting for definitions to be established: " + list(waiting.Pending)
		result.After = p.remaining(*waiting)
	}
	return result
}

// blindLook is how often objects that cannot be watched are looked at.
const blindLook = 5 * time.Second

// remaining is how long to wait for news at most.
func (p *pass) remaining(h apply.Health) time.Duration {
	left := max(p.state.since.Add(p.k.GetTimeout()).Sub(p.now), time.Millisecond)
	if h.Blind {
		return min(left, blindLook)
	}
	return left
}
