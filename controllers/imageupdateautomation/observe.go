package imageupdateautomation

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
)

// defaultTimeout bounds a run whose GitRepository names no timeout.
const defaultTimeout = 60 * time.Second

// run is everything that a run needs to know.
type run struct {
	request writeback.Request
	chosen  imagev1.ObservedPolicies
	timeout time.Duration
	// follows is the branch that the GitRepository follows, "" if it follows none.
	follows string
}

// observe reads the policies, the GitRepository and its Secret.
func (r *Reconciler) observe(ctx context.Context, a *imagev1.ImageUpdateAutomation) (run, error) {
	if err := validate(a); err != nil {
		return run{}, err
	}
	chosen, err := r.observePolicies(ctx, a)
	if err != nil {
		return run{}, err
	}
	repo, err := r.observeSource(ctx, a)
	if err != nil {
		return run{}, err
	}
	checkout, push, err := branches(a, repo)
	if err != nil {
		return run{}, err
	}
	auth, err := r.observeAuth(ctx, repo)
	if err != nil {
		return run{}, fault{err, imagev1.SourceManagerFailedReason}
	}
	message, err := commitMessage(a)
	if err != nil {
		return run{}, err
	}
	author := a.Spec.GitSpec.Commit.Author
	seen := run{
		chosen: chosen, timeout: defaultTimeout,
		request: writeback.Request{
			Remote: git.Remote{URL: repo.Spec.URL, Auth: auth}, Checkout: checkout, Push: push,
			Policies: imagesOf(a.Namespace, chosen), Message: message,
			Author: git.Signature{Name: author.Name, Email: author.Email},
		},
	}
	if repo.Spec.Timeout != nil {
		seen.timeout = repo.Spec.Timeout.Duration
	}
	if a.Spec.Update != nil {
		seen.request.Path = a.Spec.Update.Path
	}
	if branch, err := sourceBranch(repo); err == nil {
		seen.follows = branch
	}
	return seen, nil
}

// observeSource reads the GitRepository. A missing one brings the automation
// back when it appears.
func (r *Reconciler) observeSource(ctx context.Context, a *imagev1.ImageUpdateAutomation) (*sourcev1.GitRepository, error) {
	key := sourceKey(a)
	if r.NoCrossNamespaceRefs && key.Namespace != a.Namespace {
		return nil, refuse(acl.AccessDeniedReason, "can't access '%s/%s', cross-namespace references have been blocked",
			sourcev1.GitRepositoryKind, key)
	}
	var repo sourcev1.GitRepository
	err := r.Client.Get(ctx, key, &repo)
	if apierrors.IsNotFound(err) {
		return nil, reconciler.Waiting(fault{fmt.Errorf("reading GitRepository %s: %w", key, err),
			imagev1.SourceManagerFailedReason}, a.Spec.Interval.Duration)
	}
	if err != nil {
		return nil, fault{fmt.Errorf("reading GitRepository %s: %w", key, err), imagev1.SourceManagerFailedReason}
	}
	if provider := repo.GetProvider(); provider != sourcev1.GitProviderGeneric {
		return nil, refuse(imagev1.InvalidSourceConfigReason, "GitRepository %s: spec.provider '%s' is not supported", key, provider)
	}
	if repo.Spec.ProxySecretRef != nil {
		return nil, refuse(imagev1.InvalidSourceConfigReason, "GitRepository %s: spec.proxySecretRef is not supported", key)
	}
	return &repo, nil
}

// observeAuth reads the credentials, as the GitRepository's own controller does.
func (r *Reconciler) observeAuth(ctx context.Context, repo *sourcev1.GitRepository) (git.Auth, error) {
	if repo.Spec.SecretRef == nil {
		return git.Auth{}, nil
	}
	key := client.ObjectKey{Namespace: repo.Namespace, Name: repo.Spec.SecretRef.Name}
	var secret corev1.Secret
	if err := r.Client.Get(ctx, key, &secret); err != nil {
		return git.Auth{}, fmt.Errorf("reading secret %s: %w", key, err)
	}
	return git.AuthFromSecret(&secret)
}

// commitMessage prepares the template. A trial on a commit without changes finds
// most uses of removed fields before there is anything to commit.
func commitMessage(a *imagev1.ImageUpdateAutomation) (func(writeback.Changed) (string, error), error) {
	spec := a.Spec.GitSpec.Commit
	message, err := writeback.ParseMessage(spec.MessageTemplate)
	if err != nil {
		return nil, refuse(imagev1.GitOperationFailedReason, "spec.git.commit.messageTemplate: %w", err)
	}
	render := func(changed writeback.Changed) (string, error) {
		text, err := message.Render(writeback.MessageData{
			AutomationObject: client.ObjectKeyFromObject(a), Changed: changed, Values: spec.MessageTemplateValues,
		})
		return text, refuseRemoved(err)
	}
	if _, err := render(writeback.Changed{}); isRemoved(err) {
		return nil, err
	}
	return render, nil
}
