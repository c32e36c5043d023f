package scan

import (
	"context"
	"fmt"
	"net/url"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/utils"
	"github.com/fluxcd/pkg/cache"
	"github.com/google/go-containerregistry/pkg/authn"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/identity"
)

// genericProvider is the one that uses Secrets.
const genericProvider = "generic"

// Identity is what credentials of a cloud are asked for with. Whose identity that
// is depends on the feature gate ObjectLevelWorkloadIdentity: when it is on, that
// of spec.serviceAccountName or of the default service account of the flags; else
// that of the controller itself.
type Identity struct {
	// Client reads ServiceAccounts and makes tokens for them.
	Client client.Client
	// Tokens keeps credentials until most of their life is over; nil keeps none.
	Tokens *cache.TokenCache
}

// WithIdentity lets ImageRepositories use spec.provider.
func WithIdentity(identity Identity) ClientOption {
	return func(c *Client) { c.identity = &identity }
}

// CheckProvider refuses a spec that no retry helps: an [ErrFeatureGate] for one that
// needs a feature gate which is off, and an identity.ErrRefused for one that would
// send the identity of a cloud where it does not belong.
func CheckProvider(repo *imagev1.ImageRepository) error {
	if repo.GetProvider() == genericProvider {
		return nil
	}
	if repo.Spec.ServiceAccountName != "" && !auth.IsObjectLevelWorkloadIdentityEnabled() {
		return fmt.Errorf("%w: to use spec.serviceAccountName for provider authentication please enable the %s feature gate in the controller",
			ErrFeatureGate, auth.FeatureGateObjectLevelWorkloadIdentity)
	}
	if repo.Spec.Insecure {
		return fmt.Errorf("%w: spec.insecure beside spec.provider %s: remove it; such an identity goes over https only", identity.ErrRefused, repo.GetProvider())
	}
	repository, err := parseRepository(&repo.Spec)
	if err != nil {
		return err
	}
	use := identity.Use{
		Provider: repo.GetProvider(), Service: identity.Registry, Account: accountOf(repo),
		URL: &url.URL{Scheme: repository.Scheme(), Host: repository.RegistryStr()},
	}
	if repo.Spec.ProxySecretRef != nil {
		use.Route = append(use.Route, "spec.proxySecretRef")
	}
	if repo.Spec.CertSecretRef != nil {
		use.Route = append(use.Route, "spec.certSecretRef")
	}
	if err := use.Check(); err != nil {
		return fmt.Errorf("spec.provider: %w", err)
	}
	return nil
}

// Access reads how the registry of repo is reached, with the credentials of a
// cloud if spec.provider names one. Its errors are those of [ReadAccess] and of
// [CheckProvider].
func (c *Client) Access(ctx context.Context, reader client.Reader, repo *imagev1.ImageRepository) (Access, error) {
	if repo.GetProvider() == genericProvider {
		return c.readAccess(ctx, reader, repo)
	}
	if err := CheckProvider(repo); err != nil {
		return Access{}, err
	}
	if c.identity == nil {
		return Access{}, fmt.Errorf("%w: spec.provider: this process has no identity in a cloud", ErrCredentials)
	}
	if _, err := utils.ProviderByName[auth.ArtifactRegistryCredentialsProvider](repo.GetProvider()); err != nil {
		return Access{}, fmt.Errorf("%w: spec.provider: %w", ErrCredentials, err)
	}
	onlyRoute := repo.DeepCopy() // Secrets with credentials are not looked at, as in Flux
	onlyRoute.Spec.SecretRef, onlyRoute.Spec.ServiceAccountName = nil, ""
	access, err := c.readAccess(ctx, reader, onlyRoute)
	if err != nil {
		return Access{}, err
	}
	access.cloud = &cloud{
		provider: repo.GetProvider(), image: repo.Spec.Image,
		account: accountOf(repo), options: c.identity.options(repo, access),
	}
	return access, nil
}

// readAccess is [ReadAccess] for what this client may reach: a proxy is also dialed
// by what gets credentials from a cloud, which knows of no guard.
func (c *Client) readAccess(ctx context.Context, reader client.Reader, repo *imagev1.ImageRepository) (Access, error) {
	access, err := ReadAccess(ctx, reader, repo)
	if err != nil || access.proxy == nil {
		return access, err
	}
	if err := c.guard.CheckURL(access.proxy); err != nil {
		return Access{}, fmt.Errorf("%w: spec.proxySecretRef: %w", ErrCredentials, err)
	}
	return access, nil
}

func (i *Identity) options(repo *imagev1.ImageRepository, access Access) []auth.Option {
	options := []auth.Option{
		auth.WithClient(i.Client),
		auth.WithServiceAccountNamespace(repo.Namespace),
	}
	if access.proxy != nil {
		options = append(options, auth.WithProxyURL(*access.proxy))
	}
	if name := repo.Spec.ServiceAccountName; name != "" {
		options = append(options, auth.WithServiceAccountName(name))
	}
	if i.Tokens != nil {
		options = append(options, auth.WithCache(*i.Tokens, cache.InvolvedObject{
			Kind: imagev1.ImageRepositoryKind, Namespace: repo.Namespace, Name: repo.Name, Operation: cache.OperationReconcile,
		}))
	}
	return options
}

// accountOf names whose identity is used; it is empty for the controller's.
func accountOf(repo *imagev1.ImageRepository) string {
	if !auth.IsObjectLevelWorkloadIdentityEnabled() {
		return ""
	}
	for _, name := range []string{repo.Spec.ServiceAccountName, auth.GetDefaultServiceAccount()} {
		if name != "" {
			return repo.Namespace + "/" + name
		}
	}
	return ""
}

// cloud gets credentials from a cloud when they are needed.
type cloud struct {
	provider, image, account string
	options                  []auth.Option
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
