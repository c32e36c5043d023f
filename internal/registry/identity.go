// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"fmt"
	"net/url"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/utils"
	"github.com/fluxcd/pkg/cache"
	"github.com/google/go-containerregistry/pkg/authn"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// genericProvider is the one that uses Secrets, and the default.
const genericProvider = "generic"

func (s Spec) isGeneric() bool { return s.Provider == "" || s.Provider == genericProvider }

// CloudIdentity is what credentials of a cloud are asked for with. Whose identity that
// is depends on the feature gate ObjectLevelWorkloadIdentity: when it is on, that
// of spec.serviceAccountName or of the default service account of the flags; else
// that of the controller itself.
type CloudIdentity struct {
	// Client reads ServiceAccounts and makes tokens for them.
	Client client.Client
	// Tokens keeps credentials until most of their life is over; nil keeps none.
	Tokens *cache.TokenCache
}

// WithCloudIdentity lets objects use spec.provider.
func WithCloudIdentity(identity CloudIdentity) Option {
	return func(c *Client) { c.identity = &identity }
}

// CheckProvider refuses a spec that no retry helps: an [ErrFeatureGate] for one that
// needs a feature gate which is off, and an identity.ErrRefused for one that would
// send the identity of a cloud where it does not belong. Where pull secrets of an account may
// make the provider needless, [Client.Access] does so, which reads the account.
func CheckProvider(spec Spec) error {
	if spec.isGeneric() || spec.mayPull() {
		return nil
	}
	return checkCloud(spec)
}

// mayPull reports whether pull secrets of an account would count before the provider.
func (s Spec) mayPull() bool { return s.PullSecretsFirst && s.ServiceAccountName != "" }

// checkCloud refuses a spec with the provider of a cloud that no retry helps.
func checkCloud(spec Spec) error {
	if spec.ServiceAccountName != "" && !auth.IsObjectLevelWorkloadIdentityEnabled() {
		return fmt.Errorf("%w: to use %s for provider authentication please enable the %s feature gate in the controller",
			ErrFeatureGate, spec.path("serviceAccountName"), auth.FeatureGateObjectLevelWorkloadIdentity)
	}
	if spec.Insecure {
		return fmt.Errorf("%w: %s beside %s %s: remove it; such an identity goes over https only",
			identity.ErrRefused, spec.path("insecure"), spec.path("provider"), spec.Provider)
	}
	repository, err := ParseRepository(spec.Image)
	if err != nil {
		return err
	}
	use := identity.Use{
		Provider: spec.Provider, Service: identity.Registry, Account: spec.account(),
		URL: &url.URL{Scheme: repository.Scheme(), Host: repository.RegistryStr()},
	}
	if spec.ProxySecretRef != "" {
		use.Route = append(use.Route, spec.path("proxySecretRef"))
	}
	if spec.CertSecretRef != "" {
		use.Route = append(use.Route, spec.path("certSecretRef"))
	}
	if err := use.Check(); err != nil {
		return fmt.Errorf("%s: %w", spec.path("provider"), err)
	}
	return nil
}

// Access reads how the registry of an object is reached, with the credentials of a
// cloud if its provider is one. Its errors are those of [ReadAccess] and of
// [CheckProvider].
func (c *Client) Access(ctx context.Context, reader client.Reader, spec Spec) (Access, error) {
	if spec.isGeneric() {
		return c.readAccess(ctx, reader, spec)
	}
	if spec.mayPull() {
		pulling := spec
		pulling.Provider = genericProvider
		if access, err := c.readAccess(ctx, reader, pulling); err != nil || len(access.keychain) > 0 {
			return access, err
		}
	}
	if err := checkCloud(spec); err != nil {
		return Access{}, err
	}
	if c.identity == nil {
		return Access{}, fmt.Errorf("%w: %s: this process has no identity in a cloud", ErrCredentials, spec.path("provider"))
	}
	if _, err := utils.ProviderByName[auth.ArtifactRegistryCredentialsProvider](spec.Provider); err != nil {
		return Access{}, fmt.Errorf("%w: %s: %w", ErrCredentials, spec.path("provider"), err)
	}
	onlyRoute := spec // Secrets with credentials are not looked at, as in Flux
	onlyRoute.SecretRef, onlyRoute.ServiceAccountName = "", ""
	access, err := c.readAccess(ctx, reader, onlyRoute)
	if err != nil {
		return Access{}, err
	}
	access.cloud = &cloud{
		provider: spec.Provider, image: spec.Image,
		account: spec.account(), options: c.identity.options(spec, access), guard: c.guard, proxy: access.proxy,
	}
	return access, nil
}

// readAccess is [ReadAccess] for what this client may reach: a proxy is also dialed
// by what gets credentials from a cloud, which knows of no guard.
func (c *Client) readAccess(ctx context.Context, reader client.Reader, spec Spec) (Access, error) {
	access, err := ReadAccess(ctx, reader, spec)
	if err != nil || access.proxy == nil {
		return access, err
	}
	if err := c.guard.CheckURL(access.proxy); err != nil {
		return Access{}, fmt.Errorf("%w: %s: %w", ErrCredentials, spec.path("proxySecretRef"), err)
	}
	return access, nil
}

func (i *CloudIdentity) options(spec Spec, access Access) []auth.Option {
	options := []auth.Option{
		auth.WithClient(i.Client),
		auth.WithServiceAccountNamespace(spec.Namespace),
	}
	if access.proxy != nil {
		options = append(options, auth.WithProxyURL(*access.proxy))
	}
	if spec.ServiceAccountName != "" {
		options = append(options, auth.WithServiceAccountName(spec.ServiceAccountName))
	}
	if i.Tokens != nil {
		options = append(options, auth.WithCache(*i.Tokens, cache.InvolvedObject{
			Kind: spec.Kind, Namespace: spec.Namespace, Name: spec.Name, Operation: cache.OperationReconcile,
		}))
	}
	return options
}

// account names whose identity is used; it is empty for the controller's.
func (s Spec) account() string {
	if !auth.IsObjectLevelWorkloadIdentityEnabled() {
		return ""
	}
	for _, name := range []string{s.ServiceAccountName, auth.GetDefaultServiceAccount()} {
		if name != "" {
			return s.Namespace + "/" + name
		}
	}
	return ""
}

// cloud gets credentials from a cloud when they are needed.
type cloud struct {
	provider, image, account string
	options                  []auth.Option
	guard                    *outbound.Guard
	proxy                    *url.URL // nil without one
}

// key tells the identity apart from others.
func (c *cloud) key() string { return c.provider + " " + c.account }

// Authorization implements authn.Authenticator; go-containerregistry prefers the
// one with a context.
func (c *cloud) Authorization() (*authn.AuthConfig, error) {
	return nil, fmt.Errorf("%w: spec.provider: no context", ErrCredentials)
}

// AuthorizationContext implements authn.ContextAuthenticator. The context is that
// of the request: one that was kept would have ended with the first scan.
func (c *cloud) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	if err := c.guard.ReachProxy(ctx, c.proxy); err != nil {
		return nil, fmt.Errorf("%w: spec.proxySecretRef: %w", ErrCredentials, err)
	}
	authenticator, err := utils.GetArtifactRegistryCredentials(ctx, c.provider, c.image, c.options...)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.provider: %w", ErrCredentials, err)
	}
	config, err := authn.Authorization(ctx, authenticator)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.provider: %w", ErrCredentials, err)
	}
	return config, nil
}
