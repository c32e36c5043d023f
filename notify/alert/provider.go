// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/webhook"
)

// The user name and the channel of messages, unless the provider has its own.
const (
	defaultUsername = "flagger"
	defaultChannel  = "general"
)

// Keys of the Secret of an AlertProvider.
const (
	addressKey = "address"
	tokenKey   = "token"
)

// destination is an AlertProvider or the webhook of the flags, and its name in messages.
type destination struct {
	name string
	// key is that of the AlertProvider, if the canary may refer to it.
	key     client.ObjectKey
	resolve func(context.Context) (service, endpoint, error)
}

// global is the destination of the flags, nil without one.
func (o Options) global() (*destination, error) {
	var name, flag string
	var e endpoint
	switch {
	case o.Teams.URL != "":
		name, flag, e = "msteams", "msteams", endpoint{url: o.Teams.URL, proxy: o.Teams.Proxy}
	case o.Slack.URL != "":
		name, flag = "slack", "slack"
		e = endpoint{
			url: o.Slack.URL, token: o.Slack.Token, proxy: o.Slack.Proxy,
			username: cmp.Or(o.Slack.User, defaultUsername), channel: o.Slack.Channel,
		}
		if e.channel == "" {
			return nil, errors.New("slack-channel: is needed with slack-url")
		}
	default:
		return nil, nil
	}
	if _, err := webhook.ParseURL(e.url); err != nil {
		return nil, fmt.Errorf("%s-url: %w", flag, err)
	}
	if e.proxy != "" {
		if _, err := outbound.ParseProxy(e.proxy); err != nil {
			return nil, fmt.Errorf("%s-proxy-url: %w", flag, err)
		}
	}
	e.fromFlags = true
	s := services[name]
	return &destination{
		name:    "the room of --" + flag + "-url",
		resolve: func(context.Context) (service, endpoint, error) { return s, e, nil },
	}, nil
}

// destination is what an alert of a canary refers to.
func (n *Notifier) destination(namespace string, ref flaggerv1.CrossNamespaceObjectReference) destination {
	key := client.ObjectKey{Namespace: cmp.Or(ref.Namespace, namespace), Name: ref.Name}
	to := destination{name: fmt.Sprintf("%s %s", flaggerv1.AlertProviderKind, key), key: key}
	if n.opts.NoCrossNamespaceRefs && key.Namespace != namespace {
		to.key = client.ObjectKey{}
		to.resolve = func(context.Context) (service, endpoint, error) {
			return nil, endpoint{}, fmt.Errorf("spec.analysis.alerts.providerRef.namespace: --no-cross-namespace-refs allows only %q", namespace)
		}
		return to
	}
	to.resolve = func(ctx context.Context) (service, endpoint, error) {
		s, e, err := n.resolve(ctx, key)
		if err != nil && ref.Kind != "" && ref.Kind != flaggerv1.AlertProviderKind {
			err = fmt.Errorf("%w (only objects of this kind are looked for, whatever providerRef.kind is: %s)", err, ref.Kind)
		}
		return s, e, err
	}
	return to
}

// resolve reads an AlertProvider and its Secret. An API server that does not answer
// is worth another try; what does not exist is not. The endpoint names the Secret also if it cannot be
// used.
func (n *Notifier) resolve(ctx context.Context, key client.ObjectKey) (service, endpoint, error) {
	var provider flaggerv1.AlertProvider
	if err := n.opts.Reader.Get(ctx, key, &provider); apierrors.IsNotFound(err) {
		return nil, endpoint{}, errors.New("it does not exist; create it, or correct the reference")
	} else if err != nil {
		return nil, endpoint{}, temporaryUnlessRefused(err)
	}
	if err := Validate(&provider); err != nil {
		return nil, endpoint{}, err
	}
	s, err := serviceOf(provider.Spec.Type)
	if err != nil {
		return nil, endpoint{}, err
	}
	e := endpoint{
		url: provider.Spec.Address, proxy: provider.Spec.Proxy,
		username: cmp.Or(provider.Spec.Username, defaultUsername),
		channel:  cmp.Or(provider.Spec.Channel, defaultChannel),
	}
	if provider.Spec.SecretRef == nil {
		return s, e, nil
	}
	e.secret = client.ObjectKey{Namespace: key.Namespace, Name: provider.Spec.SecretRef.Name}
	err = n.readSecret(ctx, s, &e)
	return s, e, err
}

// readSecret completes an endpoint by what its Secret has.
func (n *Notifier) readSecret(ctx context.Context, s service, e *endpoint) error {
	var secret corev1.Secret
	if err := n.opts.Reader.Get(ctx, e.secret, &secret); apierrors.IsNotFound(err) {
		return fmt.Errorf("spec.secretRef: Secret %s does not exist; create it with the key %s", e.secret, addressKey)
	} else if err != nil {
		return fmt.Errorf("spec.secretRef: %w", temporaryUnlessRefused(err))
	}
	e.url, e.token = trimSpace(secret.Data[addressKey]), trimSpace(secret.Data[tokenKey])
	if s.address(*e) == "" {
		return fmt.Errorf("spec.secretRef: Secret %s has no key %s; add it", e.secret, addressKey)
	}
	if _, err := webhook.ParseURL(s.address(*e)); err != nil {
		return fmt.Errorf("spec.secretRef: %s of Secret %s: %w", addressKey, e.secret, err)
	}
	return nil
}

// temporaryUnlessRefused makes an error of the API server temporary, unless the object
// may not be read.
func temporaryUnlessRefused(err error) error {
	if apierrors.IsForbidden(err) {
		return err
	}
	return &webhook.TemporaryError{Err: err}
}

// Validate reports what makes an AlertProvider unusable, naming the field.
func Validate(p *flaggerv1.AlertProvider) error {
	if _, err := serviceOf(p.Spec.Type); err != nil {
		return err
	}
	switch {
	case p.Spec.SecretRef == nil && p.Spec.Address == "":
		return errors.New("spec.address: one of address and secretRef is needed")
	case p.Spec.SecretRef != nil && p.Spec.Address != "":
		return errors.New("spec.address: it is of no use beside secretRef")
	case p.Spec.SecretRef != nil && p.Spec.SecretRef.Name == "":
		return errors.New("spec.secretRef.name: it is empty")
	case p.Spec.SecretRef == nil:
		if _, err := webhook.ParseURL(p.Spec.Address); err != nil {
			return fmt.Errorf("spec.address: %w", err)
		}
	}
	if p.Spec.Proxy == "" {
		return nil
	}
	if _, err := outbound.ParseProxy(p.Spec.Proxy); err != nil {
		return fmt.Errorf("spec.proxy: %w", err)
	}
	return nil
}
