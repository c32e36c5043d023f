// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/azure"
	"github.com/fluxcd/pkg/auth/gcp"
	"github.com/fluxcd/pkg/auth/githubapp"
	"github.com/fluxcd/pkg/cache"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/notify/message"
)

// azureDevOps is the type whose commit statuses an identity of Azure may set.
const azureDevOps = "azuredevops"

// cloudOf is the provider of identities for a type, "" if it has none.
func cloudOf(name string) string {
	if name == azureDevOps {
		return "azure"
	}
	return message.Types[name].Cloud
}

// checkAccount says what is wrong with spec.serviceAccountName, or with a type that would
// need it.
func (d *providers) checkAccount(to *resolvedProvider) error {
	p := to.provider
	account, name := p.Spec.ServiceAccountName, p.Spec.Type
	cloud := cloudOf(name)
	switch {
	case account != "" && cloud == "":
		return invalid(fmt.Errorf("spec.serviceAccountName: type %s uses no identity of a cloud; remove it", name))
	case account != "" && !auth.IsObjectLevelWorkloadIdentityEnabled():
		return invalid(fmt.Errorf(
			"to use spec.serviceAccountName for provider authentication please enable the %s feature gate in the controller",
			auth.FeatureGateObjectLevelWorkloadIdentity))
	case account != "" && to.authenticates():
		return invalid(errors.New("spec.serviceAccountName: the Secret of spec.secretRef authenticates as well; remove one of them"))
	case cloud == "" || to.authenticates():
		return nil
	case name == "azureeventhub" && account == "" && auth.GetDefaultServiceAccount() == "":
		// A name below servicebus.windows.net may be a relay to anybody's machine.
		return invalid(errors.New("spec.serviceAccountName: the controller's own identity is not sent to a namespace of Event Hubs; " +
			"name a ServiceAccount, or use a connection string in the Secret"))
	}
	at, err := cloudURL(to)
	if err != nil {
		return err
	}
	use := identity.Use{Provider: cloud, Service: serviceOf(name), URL: at, Account: account, Route: to.route()}
	if err := use.Check(); err != nil {
		return invalid(err)
	}
	return nil
}

func serviceOf(name string) identity.Service {
	if name == azureDevOps {
		return identity.Git
	}
	return identity.Events
}

// authenticates reports whether a Secret says who sends.
func (to *resolvedProvider) authenticates() bool {
	t := to.target
	if to.provider.Spec.Type == azureDevOps && to.secret != nil {
		for _, key := range []string{"bearerToken", githubapp.KeyAppID} {
			if len(to.secret.Data[key]) > 0 {
				return true
			}
		}
	}
	return t.Token != "" || t.Password != "" || to.provider.Spec.Type == "azureeventhub" && message.SignsItself(t)
}

// route are the fields that name a proxy or an authority.
func (to *resolvedProvider) route() []string {
	var route []string
	if to.proxy != nil {
		route = append(route, "spec.proxySecretRef")
	}
	if to.settings.CA != "" {
		route = append(route, "spec.certSecretRef")
	}
	return route
}

// cloudURL is where an identity goes.
func cloudURL(to *resolvedProvider) (*url.URL, error) {
	address := to.target.Address
	if t, ok := message.Types[to.provider.Spec.Type]; ok {
		if err := t.Validate(to.target); err != nil {
			return nil, err
		}
		requests, err := t.Render(to.target, message.Event{})
		if err != nil {
			return nil, err
		}
		address = requests[0].URL
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, invalid(errors.New("spec.address is no URL such as https://host/path"))
	}
	return u, nil
}

// authorize gives a target the token that its type needs.
func (d *providers) authorize(ctx context.Context, to *resolvedProvider, t message.Type) error {
	var err error
	switch {
	case t.Cloud == "":
		return nil
	case t.Cloud == "gcp" && to.target.Token != "":
		to.target.Token, err = d.keyFile(ctx, to, t.Scope)
	case to.authenticates():
		return nil
	default:
		to.target.Token, err = d.cloudToken(ctx, to, t.Cloud, t.Scope)
	}
	return err
}

// identify gives a repository of Azure DevOps the token of an identity, unless a Secret
// has one.
func (d *providers) identify(ctx context.Context, to *resolvedProvider, r *Repository) error {
	if to.provider.Spec.Type != azureDevOps || to.authenticates() {
		return nil
	}
	token, err := d.cloudToken(ctx, to, "azure", azure.ScopeDevOps)
	if err != nil {
		return err
	}
	secret := &corev1.Secret{Data: map[string][]byte{}}
	if r.Secret != nil {
		secret = r.Secret.DeepCopy()
	}
	secret.Data["bearerToken"] = []byte(token)
	r.Secret = secret
	return nil
}

// cloudToken is a token of the controller, or of the ServiceAccount of a Provider.
func (d *providers) cloudToken(ctx context.Context, to *resolvedProvider, cloud, scope string) (string, error) {
	if err := d.opts.Guard.ReachProxy(ctx, to.proxy); errors.Is(err, outbound.ErrForbiddenAddress) {
		return "", secretError("spec.proxySecretRef: %w", err)
	} else if err != nil {
		return "", temporary(fmt.Errorf("spec.proxySecretRef: %w", err))
	}
	p := to.provider
	opts := []auth.Option{auth.WithClient(d.opts.Client), auth.WithServiceAccountNamespace(p.Namespace), auth.WithScopes(scope)}
	if account := p.Spec.ServiceAccountName; account != "" {
		opts = append(opts, auth.WithServiceAccountName(account))
	}
	if to.proxy != nil {
		opts = append(opts, auth.WithProxyURL(*to.proxy))
	}
	if d.opts.Tokens != nil {
		opts = append(opts, auth.WithCache(*d.opts.Tokens, cache.InvolvedObject{
			Kind: v1beta3.ProviderKind, Namespace: p.Namespace, Name: p.Name, Operation: "post",
		}))
	}
	if cloud == "gcp" {
		token, err := auth.GetAccessToken(ctx, gcp.Provider{}, opts...)
		if err != nil {
			return "", temporary(fmt.Errorf("getting a token of Google Cloud: %w", err))
		}
		return token.(*gcp.Token).AccessToken, nil
	}
	token, err := auth.GetAccessToken(ctx, azure.Provider{}, opts...)
	if err != nil {
		return "", temporary(fmt.Errorf("getting a token of Azure: %w", err))
	}
	return token.(*azure.Token).Token, nil
}

// keyFile gets a token for the service account of Google whose key is the token of the
// Secret, as JSON. Other kinds of credentials, which may name files and commands, are
// refused.
func (d *providers) keyFile(ctx context.Context, to *resolvedProvider, scope string) (string, error) {
	config, err := google.JWTConfigFromJSON([]byte(to.target.Token), scope)
	if err != nil {
		return "", secretError("key token of the Secret is no key of a service account of Google Cloud, as JSON")
	}
	if err := keysize.CheckPEM(config.PrivateKey); err != nil {
		return "", secretError("key token of the Secret: %w", err)
	}
	transport, err := d.transport(to)
	if err != nil {
		return "", err
	}
	client := outbound.NewClient(transport, outbound.Rules{Redirects: outbound.Refuse, Timeout: to.provider.GetTimeout()})
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	token, err := config.TokenSource(ctx).Token()
	if err != nil {
		return "", temporary(errors.New("getting a token for the key of the Secret: the token server gave none"))
	}
	return token.AccessToken, nil
}
