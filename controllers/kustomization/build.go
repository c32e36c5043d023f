package kustomization

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Builds that take long go on without a worker, so that ten slow Kustomizations do
// not hold up everybody's.
const (
	// buildPatience is how long a worker waits for a build; nearly all are done by then.
	buildPatience = 2 * time.Second
	// buildsPerNamespace is how many builds of one namespace run at once.
	buildsPerNamespace = 4
	// buildKept is how long a late build waits for the run that asks for it again.
	buildKept = 10 * time.Minute
	// slowRetry is when a build that took too long is tried again without a change.
	slowRetry = 10 * time.Minute
)

// buildInTheBackground prepares for builds that take longer than a worker waits.
func (r *Reconciler) buildInTheBackground() {
	if r.Builder == nil {
		r.Builder = &build.Builder{}
	}
	r.builds.Patience, r.builds.PerNamespace, r.builds.Keep = buildPatience, buildsPerNamespace, buildKept
	r.builds.Wake = r.wake.Wake
}

// build builds the objects from the artifact.
func (p *pass) build(ctx context.Context) (result *build.Result, made *built, err error) {
	if err := p.open(ctx); err != nil {
		return nil, nil, retrying(p.k, err)
	}
	sub, inputs, err := p.r.substitution(ctx, p.k)
	if err != nil {
		return nil, nil, p.unsubstituted(err)
	}
	p.state.mask = sub.Mask()
	made = &built{generation: p.k.Generation, variables: digestOf(sub), inputs: inputs, artifact: p.artifact.Digest}
	owner, opened, spec := keyOf(p.k), p.opened, specOf(p.k, sub)
	request := background.Request[types.NamespacedName]{
		Key: owner, Namespace: owner.Namespace, At: p.now,
		Input: fmt.Sprintf("%s %s %d %s", p.artifact.Revision, p.artifact.Digest, p.k.Generation, made.variables),
	}
	result, err = p.r.builds.Run(ctx, request, func(ctx context.Context) (*build.Result, error) {
		return p.r.Builder.Build(ctx, owner, opened, spec)
	})
	if err != nil {
		return nil, nil, p.unbuilt(err)
	}
	made.reads, made.digest = result.Reads, result.Digest
	return result, made, nil
}

// unbuilt says when a build that failed is tried again.
func (p *pass) unbuilt(err error) error {
	failed := because(meta.BuildFailedReason, err)
	switch {
	case errors.Is(err, background.ErrPending):
		return err
	case errors.Is(err, build.ErrPathNotFound):
		return later(p.k, because(meta.ArtifactFailedReason, err))
	case build.IsRefused(err): // only another commit or spec can help, and both are watched
		return reconcile.TerminalError(failed)
	case errors.Is(err, build.ErrTimeout), errors.Is(err, build.ErrUnfinished):
		return reconciler.Waiting(failed, max(p.k.GetRetryInterval(), slowRetry))
	}
	return later(p.k, failed) // the same commit will fail the same way
}

// building is the result of a run whose build is not done yet. There will be news;
// the timer is a safety net.
func (p *pass) building() reconciler.Result {
	return reconciler.Result{
		Events: p.events, Progressing: true, Reason: meta.ProgressingReason,
		Message: "Building " + p.artifact.Revision, After: buildKept / 2,
	}
}
