package credential

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
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

// gitHubApp gets tokens of an App's installation.
func gitHubApp(r request) (*git.Tokens, error) {
	if r.secret == nil || len(r.secret.Data[githubapp.KeyAppID]) == 0 {
		return nil, fmt.Errorf("%w: secretRef with github app data must be specified when provider is set to github", ErrProvider)
	}
	opts := []githubapp.OptFunc{githubapp.WithAppData(r.secret.Data)}
	if r.proxy != nil {
		opts = append(opts, githubapp.WithProxyURL(r.proxy))
	}
	if r.Tokens != nil {
		opts = append(opts, githubapp.WithCache(r.Tokens, sourcev1.GitRepositoryKind, r.repo.Name, r.repo.Namespace, cache.OperationReconcile))
	}
	if ca := r.secret.Data["ca.crt"]; len(ca) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("reading the system's certificates: %w", err)
		}
		if !roots.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("secret '%s/%s': 'ca.crt' holds no PEM certificate", r.secret.Namespace, r.secret.Name)
		}
		opts = append(opts, githubapp.WithTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	}
	app, err := githubapp.New(opts...)
	if err != nil { // of the private key it says nothing but that it cannot be parsed
		return nil, fmt.Errorf("%w: secret '%s/%s': %w", ErrProvider, r.secret.Namespace, r.secret.Name, err)
	}
	return &git.Tokens{
		ID: r.whose(
			string(r.secret.Data[githubapp.KeyAppID]), string(r.secret.Data[githubapp.KeyAppInstallationID]),
			string(r.secret.Data[githubapp.KeyAppInstallationOwner]), string(r.secret.Data[githubapp.KeyAppBaseURL]),
			string(r.secret.Data[githubapp.KeyAppPrivateKey])),
		Get: func(ctx context.Context) (git.Token, error) {
			token, err := app.GetToken(ctx)
			if err != nil {
				return git.Token{}, err
			}
			return git.Token{Username: githubapp.AccessTokenUsername, Password: token.Token}, nil
		},
	}, nil
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
		opts = append(opts, auth.WithProxyURL(*r.proxy))
	}
	if r.Tokens != nil {
		opts = append(opts, auth.WithCache(*r.Tokens, cache.InvolvedObject{
			Kind: sourcev1.GitRepositoryKind, Name: r.repo.Name, Namespace: r.repo.Namespace, Operation: cache.OperationReconcile,
		}))
	}
	provider := r.repo.GetProvider()
	return &git.Tokens{
		ID: r.whose(r.repo.Spec.ServiceAccountName),
		Get: func(ctx context.Context) (git.Token, error) {
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

// whose names whose tokens are used. The namespace is part of it: tenants do
// not share a mirror, even if they have the same rights today.
func (r request) whose(parts ...string) string {
	all := strings.Join(append([]string{r.repo.GetProvider(), r.repo.Namespace}, parts...), "\x00")
	return fmt.Sprintf("%x", sha256.Sum256([]byte(all)))
}
