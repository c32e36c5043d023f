// SPDX-License-Identifier: Apache-2.0

// Package credential finds out how a GitRepository's remote is reached and with
// which credentials, for all who read from it or write to it.
//
//	spec.secretRef       user and password, bearer token, SSH key, certificates,
//	                     or the data of a GitHub App
//	spec.provider        generic: the Secret; github: the App of the Secret;
//	                     azure, aws: the identity the cloud gives to the workload,
//	                     for the provider's own hosts (see package identity)
//	spec.proxySecretRef  address, user and password of a proxy
//
// Credentials that do not last are fetched when a request needs them, so that a
// mirror keeps its identity while its tokens come and go. Errors name the object
// and the key, and never a value.
package credential

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// What callers branch on.
var (
	// ErrProvider means that spec.provider does not fit together with the Secret,
	// or its identity must not be sent to where spec.url leads.
	ErrProvider = errors.New("invalid provider configuration")
	// ErrFeatureGate means that the spec needs a feature gate that is off.
	ErrFeatureGate = errors.New("feature gate is disabled")
)

// Options are what the identities of clouds need.
type Options struct {
	// Client reads ServiceAccounts and makes tokens for them.
	Client client.Client
	// Tokens keeps tokens for most of their life; nil keeps none.
	Tokens *cache.TokenCache
	// Guard is what connections to the APIs of Git servers go through; nil forbids
	// nothing.
	Guard *outbound.Guard
	// Clock dates assertions; nil is the machine's.
	Clock clock.PassiveClock
}

// Read returns the remote of repo. Secrets are read with reader, which should not
// cache them.
func Read(ctx context.Context, reader client.Reader, repo *sourcev1.GitRepository, opts Options) (git.Remote, error) {
	r := request{Options: opts, repo: repo}
	remote := git.Remote{URL: repo.Spec.URL, Namespace: repo.Namespace, Owner: Owner(repo)}
	var err error
	if ref := repo.Spec.SecretRef; ref != nil {
		if r.secret, err = secretOf(ctx, reader, repo, ref.Name); err != nil {
			return git.Remote{}, fmt.Errorf("spec.secretRef: %w", err)
		}
		if remote.Auth, err = fromSecret(r.secret); err != nil {
			return git.Remote{}, fmt.Errorf("spec.secretRef: %w", err)
		}
	}
	if ref := repo.Spec.ProxySecretRef; ref != nil {
		if r.proxy, err = proxyOf(ctx, reader, repo, ref.Name); err != nil {
			return git.Remote{}, fmt.Errorf("spec.proxySecretRef: %w", err)
		}
		remote.Auth.Proxy = r.proxy.String()
	}
	provider, ok := providers[repo.GetProvider()]
	if !ok {
		return git.Remote{}, fmt.Errorf("%w: unknown spec.provider %q", ErrProvider, repo.GetProvider())
	}
	remote.Auth.Tokens, err = provider(r)
	return remote, err
}

// request is what a provider has to go by.
type request struct {
	Options
	repo   *sourcev1.GitRepository
	secret *corev1.Secret // nil without spec.secretRef
	proxy  *url.URL       // nil without spec.proxySecretRef
}

// providers are the sources of tokens by spec.provider. One returns nil when the
// Secret has all there is.
var providers = map[string]func(request) (*git.Tokens, error){
	sourcev1.GitProviderGeneric: generic,
	sourcev1.GitProviderGitHub:  gitHubApp,
	sourcev1.GitProviderAzure:   cloud,
	sourcev1.GitProviderAWS:     cloud,
}

func secretOf(ctx context.Context, reader client.Reader, repo *sourcev1.GitRepository, name string) (*corev1.Secret, error) {
	key := client.ObjectKey{Namespace: repo.Namespace, Name: name}
	secret := &corev1.Secret{}
	err := reader.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		err = fmt.Errorf("%w: create it, or correct the name", err)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to get secret '%s': %w", key, err)
	}
	return secret, nil
}

func proxyOf(ctx context.Context, reader client.Reader, repo *sourcev1.GitRepository, name string) (*url.URL, error) {
	secret, err := secretOf(ctx, reader, repo, name)
	if err != nil {
		return nil, err
	}
	address, err := outbound.ProxyURL(secret.Data)
	if err != nil {
		return nil, fmt.Errorf("secret '%s/%s': %w", secret.Namespace, name, err)
	}
	return address, nil
}

// Owner is the name by which [git.Mirrors] knows the object: whoever reads its remote
// uses the same mirror, and when it is gone, so is that.
func Owner(repo *sourcev1.GitRepository) string { return OwnerOf(client.ObjectKeyFromObject(repo)) }

// OwnerOf is [Owner] of one that is gone.
func OwnerOf(repo types.NamespacedName) string { return repo.String() }

// Route names where requests of repo wait: the server and, if the object has one, the
// proxy before it. It reads nothing.
func Route(repo *sourcev1.GitRepository) string {
	host := git.HostOf(repo.Spec.URL)
	if ref := repo.Spec.ProxySecretRef; ref != nil {
		return host + " through " + repo.Namespace + "/" + ref.Name
	}
	return host
}

// CheckGates refuses an object that names a ServiceAccount while the feature gate
// for that is off.
func CheckGates(repo *sourcev1.GitRepository) error {
	if repo.Spec.ServiceAccountName == "" || auth.IsObjectLevelWorkloadIdentityEnabled() {
		return nil
	}
	return fmt.Errorf("%w: to use spec.serviceAccountName for provider authentication please enable the %s feature gate in the controller",
		ErrFeatureGate, auth.FeatureGateObjectLevelWorkloadIdentity)
}
