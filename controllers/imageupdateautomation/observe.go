// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"errors"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/writeback"
)

// defaultTimeout bounds a run whose GitRepository names no timeout.
const defaultTimeout = 60 * time.Second

// observation is what a run reads before it writes.
type observation struct {
	request writeback.Request
	chosen  imagev1.ObservedPolicies
	// policies are those of the namespace; the status holds some of their choices back.
	policies writeback.Policies
	// resume is the value of the annotation that releases what is held, and released
	// says that this run is the first to see it.
	resume   string
	released bool
	refspec  string
	timeout  time.Duration
	repo     *sourcev1.GitRepository
}

// observe reads the policies, the GitRepository and the Secrets.
func (r *Reconciler) observe(ctx context.Context, a *imagev1.ImageUpdateAutomation) (observation, error) {
	if err := validate(a); err != nil {
		return observation{}, err
	}
	policies, chosen, err := r.observePolicies(ctx, a)
	if err != nil {
		return observation{}, err
	}
	repo, err := r.Access.Repository(ctx, a.Namespace, sourceKey(a), a.Spec.Interval.Duration)
	if err != nil {
		return observation{}, access.WithField("spec.sourceRef", err)
	}
	if r.pipelines.Served() {
		if policies.Owners, err = writeback.OwnersFor(ctx, r.Client, a, repo); err != nil {
			return observation{}, err
		}
	}
	at, err := branchesOf(a, repo)
	if err != nil {
		return observation{}, err
	}
	if err := validatePullRequest(a, repo, at); err != nil {
		return observation{}, err
	}
	if err := r.ownPushBranch(ctx, a, repo, at); err != nil {
		return observation{}, err
	}
	seen := observation{chosen: chosen, policies: policies, timeout: defaultTimeout, repo: repo}
	if seen.request, err = r.writeRequest(ctx, a, repo, at); err != nil {
		return observation{}, err
	}
	seen.request.Edits = editsOf(a, policies)
	seen.resume, seen.released = writeback.ResumeRequest(a)
	if p := a.Spec.GitSpec.Push; p != nil {
		seen.refspec = p.Refspec
	}
	if repo.Spec.Timeout != nil {
		seen.timeout = repo.Spec.Timeout.Duration
	}
	return seen, nil
}

// writeRequest says how and where to write, with the credentials and the key that this takes, and not yet what.
func (r *Reconciler) writeRequest(
	ctx context.Context, a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository, at branches,
) (writeback.Request, error) {
	remote, err := r.Access.Remote(ctx, repo)
	if err != nil {
		return writeback.Request{}, err
	}
	signer, err := r.Access.Signer(ctx, a.Namespace, "spec.git.commit.signingKey", a.Spec.GitSpec.Commit.SigningKey)
	if err != nil {
		return writeback.Request{}, err
	}
	message, err := commitMessage(ctx, a)
	if err != nil {
		return writeback.Request{}, err
	}
	author := a.Spec.GitSpec.Commit.Author
	request := writeback.Request{
		Remote: remote, Checkout: at.checkout, Push: at.push, Refspec: at.refspec,
		Author: git.Signature{Name: author.Name, Email: author.Email}, Signer: signer, Message: message,
		Last: lastOf(a), BeforePush: r.beforePush(a),
	}
	if p := a.Spec.GitSpec.Push; p != nil {
		request.Options = p.Options
	}
	return request, nil
}

// commitMessage prepares the template. A trial on a commit without changes finds
// most uses of removed fields, and most templates that never end, before there is
// anything to commit.
func commitMessage(
	ctx context.Context, a *imagev1.ImageUpdateAutomation,
) (func(context.Context, writeback.Changed) (string, error), error) {
	spec := a.Spec.GitSpec.Commit
	message, err := writeback.ParseMessage(spec.MessageTemplate)
	if err != nil {
		return nil, refuse(imagev1.GitOperationFailedReason, "spec.git.commit.messageTemplate: %w", err)
	}
	render := func(ctx context.Context, changed writeback.Changed) (string, error) {
		text, err := message.Render(ctx, writeback.MessageData{
			AutomationObject: client.ObjectKeyFromObject(a), Changed: changed, Values: spec.MessageTemplateValues,
		})
		return text, refuseTemplate(err)
	}
	if _, err := render(ctx, writeback.Changed{}); errors.Is(err, reconcile.TerminalError(nil)) {
		return nil, err
	}
	return render, nil
}
