// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/githubapp"
	"github.com/fluxcd/pkg/auth/utils"
	"github.com/fluxcd/pkg/cache"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/identity"
)

// generic takes the Secret as it is.
func generic(r request) (*git.Tokens, error) {
	if r.secret != nil && len(r.secret.Data[githubapp.KeyAppID]) > 0 {
		return nil, fmt.Errorf("%w: secretRef '%s/%s' has github app data but provider is not set to github",
			ErrProvider, r.secret.Namespace, r.secret.Name)
	}
	return nil, nil
}

// cloud gets tokens for the identity of the controller or, with the feature gate,
// of a ServiceAccount in the object's namespace.
func cloud(r request) (*git.Tokens, error) {
	if err := CheckGates(r.repo); err != nil {
		return nil, err
	}
	address, err := url.Parse(r.repo.Spec.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.url cannot be parsed", ErrProvider)
	}
	use := identity.Use{
		Provider: r.repo.GetProvider(), Service: identity.Git, URL: address, Account: r.repo.Spec.ServiceAccountName, Route: r.route(),
	}
	if err := use.Check(); err != nil {
		return nil, fmt.Errorf("%w: spec.url: %w", ErrProvider, err)
	}
	opts := []auth.Option{
		auth.WithClient(r.Client), auth.WithServiceAccountNamespace(r.repo.Namespace), auth.WithGitURL(*address),
	}
	if account := r.repo.Spec.ServiceAccountName; account != "" {
		opts = append(opts, auth.WithServiceAccountName(account))
	}
	if r.proxy != nil {
		if err := r.Guard.CheckURL(r.proxy); err != nil {
			return nil, fmt.Errorf("%w: spec.proxySecretRef: %w", ErrProvider, err)
		}
		opts = append(opts, auth.WithProxyURL(*r.proxy))
	}
	if r.Tokens != nil {
		opts = append(opts, auth.WithCache(*r.Tokens, cache.InvolvedObject{
			Kind: sourcev1.GitRepositoryKind, Name: r.repo.Name, Namespace: r.repo.Namespace, Operation: cache.OperationReconcile,
		}))
	}
	provider := r.repo.GetProvider()
	return &git.Tokens{
		ID: identityID(provider, r.repo.Namespace, r.repo.Spec.ServiceAccountName),
		Get: func(ctx context.Context) (git.Token, error) {
			if err := r.Guard.ReachProxy(ctx, r.proxy); err != nil {
				return git.Token{}, err
			}
			found, err := utils.GetGitCredentials(ctx, provider, opts...)
			if err != nil {
				return git.Token{}, err
			}
			return git.Token{Username: found.Username, Password: found.Password, Bearer: found.BearerToken}, nil
		},
	}, nil
}

// route lists the fields that say how the remote is reached. Whoever may write them
// may listen to what goes that way.
func (r request) route() []string {
	var fields []string
	if r.proxy != nil {
		fields = append(fields, "spec.proxySecretRef")
	}
	if r.secret != nil && (len(r.secret.Data["ca.crt"]) > 0 || len(r.secret.Data["caFile"]) > 0) {
		fields = append(fields, "ca.crt of spec.secretRef")
	}
	return fields
}

// identityID tells apart the identities that tokens are of. The namespace is part of it: tenants do
// not share a mirror, even if they have the same rights today.
func identityID(provider, namespace string, parts ...string) string {
	all := strings.Join(append([]string{provider, namespace}, parts...), "\x00")
	return fmt.Sprintf("%x", sha256.Sum256([]byte(all)))
}
