// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/message"
)

// providers read what Providers and their Secrets say.
type providers struct {
	opts       Options
	transports *outbound.Transports
}

// resolvedProvider is a Provider with all that its Secrets say.
type resolvedProvider struct {
	provider *v1beta3.Provider
	target   message.Target
	settings outbound.Settings
	// secret is that of spec.secretRef, nil without one.
	secret *corev1.Secret
	proxy  *url.URL
}

// azureAuthority is the variable by which the SDK of Azure, and what sets up its identities for
// pods, names the authority of a cloud.
const azureAuthority = "AZURE_AUTHORITY_HOST"

// maxAddress is the longest address of a Secret, as that of the spec.
const maxAddress = 2048

// secretError is a Secret that is missing or wrong, which a person has to mend.
func secretError(format string, args ...any) error {
	return reconciler.WithReason(v1beta3.SecretFailedReason, fmt.Errorf(format, args...))
}

// resolve reads the Secrets of a Provider.
func (d *providers) resolve(ctx context.Context, p *v1beta3.Provider) (*resolvedProvider, error) {
	to := &resolvedProvider{provider: p, target: message.Target{
		Address: strings.TrimSpace(p.Spec.Address), Channel: p.Spec.Channel, Username: p.Spec.Username,
		Authority: os.Getenv(azureAuthority),
	}}
	proxy := p.Spec.Proxy
	if ref := p.Spec.SecretRef; ref != nil {
		secret, err := d.secret(ctx, p, "secretRef", ref.Name)
		if err != nil {
			return nil, err
		}
		to.secret = secret
		if err := to.read(secret); err != nil {
			return nil, err
		}
		proxy = cmp.Or(strings.TrimSpace(string(secret.Data["proxy"])), proxy)
		// The clients of forges take the certificates of the same Secret.
		if t := p.Spec.Type; message.CommitStatus[t] || message.CommentForge[t] != "" || t == message.GitHubDispatch {
			to.settings = outbound.Certificates(secret.Data)
		}
	}
	if ref := p.Spec.ProxySecretRef; ref != nil {
		secret, err := d.secret(ctx, p, "proxySecretRef", ref.Name)
		if err != nil {
			return nil, err
		}
		u, err := outbound.ProxyURL(secret.Data)
		if err != nil {
			return nil, secretError("spec.proxySecretRef: secret '%s/%s': %w", secret.Namespace, secret.Name, err)
		}
		proxy = u.String()
	}
	if ref := p.Spec.CertSecretRef; ref != nil {
		settings, err := d.certificates(ctx, p, ref.Name)
		if err != nil {
			return nil, err
		}
		to.settings = settings
	}
	return to, d.setProxy(to, proxy)
}

// setProxy has messages sent through a proxy, if there is one that may be reached.
func (d *providers) setProxy(to *resolvedProvider, proxy string) error {
	if proxy == "" {
		return nil
	}
	u, err := outbound.ParseProxy(proxy)
	if err != nil {
		return secretError("the proxy: %w", err)
	}
	if err := d.opts.Guard.CheckURL(u); err != nil {
		return secretError("the proxy: %w", err)
	}
	to.proxy, to.settings.Proxy = u, u.String()
	return nil
}

func (d *providers) secret(ctx context.Context, p *v1beta3.Provider, field, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := d.opts.Live.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, secretError("spec.%s: failed to get secret '%s/%s': it is not there", field, p.Namespace, name)
	case err != nil:
		return nil, temporary(fmt.Errorf("spec.%s: reading secret %s: %w", field, name, err))
	}
	return &secret, nil
}

// certificates are those of spec.certSecretRef.
func (d *providers) certificates(ctx context.Context, p *v1beta3.Provider, name string) (outbound.Settings, error) {
	secret, err := d.secret(ctx, p, "certSecretRef", name)
	if err != nil {
		return outbound.Settings{}, err
	}
	settings := outbound.Certificates(secret.Data)
	if err := settings.CheckCertificates(); err != nil {
		return outbound.Settings{}, secretError("spec.certSecretRef: secret '%s/%s': %w", secret.Namespace, secret.Name, err)
	}
	return settings, nil
}

// read takes what a Secret says of the target.
func (to *resolvedProvider) read(secret *corev1.Secret) error {
	value := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	if address := value("address"); address != "" {
		if len(address) > maxAddress {
			return secretError("invalid address in secret: it has %d bytes, and may have %d", len(address), maxAddress)
		}
		to.target.Address = address
	}
	to.target.Token, to.target.Password = value("token"), value("password")
	to.target.Key = string(secret.Data["token"])
	to.target.Username = cmp.Or(value("username"), to.target.Username)
	if headers := secret.Data["headers"]; len(headers) > 0 {
		if err := yaml.Unmarshal(headers, &to.target.Headers); err != nil {
			return secretError("key headers of secret '%s/%s' is no map of strings in YAML", secret.Namespace, secret.Name)
		}
	}
	return nil
}

// transport makes the connections of a destination.
func (d *providers) transport(to *resolvedProvider) (http.RoundTripper, error) {
	transport, err := d.transports.ForOwner(client.ObjectKeyFromObject(to.provider).String(), to.settings)
	if err != nil {
		return nil, secretError("spec.certSecretRef: %w", err)
	}
	return transport, nil
}

// secrets are the values that no error may have.
func (to *resolvedProvider) secrets() []string {
	t := to.target
	found := []string{t.Address, t.Token, t.Password}
	if to.provider.Spec.SecretRef == nil || to.target.Address == to.provider.Spec.Address {
		found = found[1:]
	}
	for _, value := range t.Headers {
		found = append(found, value)
	}
	return found
}

// check says what is wrong with a Provider, without sending anything.
func (d *providers) check(ctx context.Context, p *v1beta3.Provider) error {
	if !message.Known(p.Spec.Type) {
		return invalid(fmt.Errorf("spec.type: %q is not served", p.Spec.Type))
	}
	if p.Spec.CommitStatusExpr != "" {
		if !message.CommitStatus[p.Spec.Type] {
			return invalid(errors.New("spec.commitStatusExpr: only types that set commit statuses have it"))
		}
		if _, err := compileContext(p.Spec.CommitStatusExpr); err != nil {
			return invalidExpression(fmt.Errorf("spec.commitStatusExpr: %w", err))
		}
	}
	to, err := d.resolve(ctx, p)
	if err != nil {
		return err
	}
	if _, err := d.transport(to); err != nil {
		return err
	}
	if err := d.checkAddress(to); err != nil {
		return err
	}
	return d.checkDestination(to)
}

// checkAddress refuses an address that messages may not be sent to. Addresses of some types are no URLs, and what names
// resolve to is checked when they are dialed.
func (d *providers) checkAddress(to *resolvedProvider) error {
	u, err := url.Parse(to.target.Address)
	if err != nil || u.Host == "" {
		return nil
	}
	if err = d.opts.Guard.CheckURL(u); err == nil {
		return nil
	}
	if to.secret != nil && len(to.secret.Data["address"]) > 0 {
		return secretError("spec.secretRef: key address of secret '%s/%s': %w", to.secret.Namespace, to.secret.Name, err)
	}
	return invalid(fmt.Errorf("spec.address: %w", err))
}

// checkDestination says what a destination lacks. What a Secret may hold is not terminal:
// the Secret may change.
func (d *providers) checkDestination(to *resolvedProvider) error {
	if err := d.checkAccount(to); err != nil {
		return err
	}
	name := to.provider.Spec.Type
	var err error
	switch t, renders := message.Types[name]; {
	case renders:
		err = t.Validate(to.target)
	case name == message.NATS:
		err = checkNATS(to)
	default:
		err = d.opts.Forges.Check(repositoryOf(to))
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, message.NeedsChannel), to.secret == nil: // no Secret has a channel
		return invalid(err)
	}
	return secretError("%w", err)
}
