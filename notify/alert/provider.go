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
	"github.com/sluice-cd/sluice/internal/webhook"
)

// What a message is signed with, and where Slack and its likes put it, unless a
// provider says otherwise.
const (
	defaultUsername = "flagger"
	defaultChannel  = "general"
)

// Keys of the Secret of an AlertProvider.
const (
	addressKey = "address"
	tokenKey   = "token"
)

// destination is where alerts go.
type destination struct {
	name    string
	resolve func(context.Context) (kind, room, error)
}

// global is the room of the flags.
func (o Options) global() (*destination, error) {
	var name, flag string
	var r room
	switch {
	case o.Teams.URL != "":
		name, flag, r = "msteams", "msteams", room{url: o.Teams.URL, proxy: o.Teams.Proxy}
	case o.Slack.URL != "":
		name, flag = "slack", "slack"
		r = room{
			url: o.Slack.URL, token: o.Slack.Token, proxy: o.Slack.Proxy,
			username: cmp.Or(o.Slack.User, defaultUsername), channel: o.Slack.Channel,
		}
		if r.channel == "" {
			return nil, errors.New("slack-channel: is needed with slack-url")
		}
	default:
		return nil, nil
	}
	if _, err := webhook.ParseURL(r.url); err != nil {
		return nil, fmt.Errorf("%s-url: %w", flag, err)
	}
	if r.proxy != "" {
		if _, err := webhook.ParseProxy(r.proxy); err != nil {
			return nil, fmt.Errorf("%s-proxy-url: %w", flag, err)
		}
	}
	r.operators = true
	k := kinds[name]
	return &destination{name: "the room of --" + flag + "-url", resolve: func(context.Context) (kind, room, error) { return k, r, nil }}, nil
}

// destination is what an alert of a canary refers to.
func (n *Notifier) destination(c *flaggerv1.Canary, alert flaggerv1.CanaryAlert) destination {
	key := client.ObjectKey{Namespace: cmp.Or(alert.ProviderRef.Namespace, c.Namespace), Name: alert.ProviderRef.Name}
	return destination{
		name: fmt.Sprintf("%s %s", flaggerv1.AlertProviderKind, key),
		resolve: func(ctx context.Context) (kind, room, error) {
			if n.opts.NoCrossNamespaceRefs && key.Namespace != c.Namespace {
				return nil, room{}, fmt.Errorf("spec.analysis.alerts.providerRef.namespace: --no-cross-namespace-refs allows only %q", c.Namespace)
			}
			return n.resolve(ctx, key)
		},
	}
}

// resolve reads an AlertProvider and its Secret. An API server that does not answer
// is worth another try; what does not exist is not.
func (n *Notifier) resolve(ctx context.Context, key client.ObjectKey) (kind, room, error) {
	var provider flaggerv1.AlertProvider
	if err := n.opts.Reader.Get(ctx, key, &provider); err != nil {
		return nil, room{}, reading(err)
	}
	if err := Validate(&provider); err != nil {
		return nil, room{}, err
	}
	k, err := kindOf(provider.Spec.Type)
	if err != nil {
		return nil, room{}, err
	}
	r := room{
		url: provider.Spec.Address, proxy: provider.Spec.Proxy,
		username: cmp.Or(provider.Spec.Username, defaultUsername),
		channel:  cmp.Or(provider.Spec.Channel, defaultChannel),
	}
	if provider.Spec.SecretRef == nil {
		return k, r, nil
	}
	var secret corev1.Secret
	name := client.ObjectKey{Namespace: key.Namespace, Name: provider.Spec.SecretRef.Name}
	if err := n.opts.Reader.Get(ctx, name, &secret); err != nil {
		return nil, room{}, fmt.Errorf("spec.secretRef: %w", reading(err))
	}
	r.url, r.token = trimmed(secret.Data[addressKey]), trimmed(secret.Data[tokenKey])
	if k.address(r) == "" {
		return nil, room{}, fmt.Errorf("spec.secretRef: Secret %q has no %s", name.Name, addressKey)
	}
	if _, err := webhook.ParseURL(k.address(r)); err != nil {
		return nil, room{}, fmt.Errorf("spec.secretRef: %s of Secret %q: %w", addressKey, name.Name, err)
	}
	return k, r, nil
}

// reading tells failures of the API server, which pass, from its verdicts.
func reading(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return err
	}
	return &webhook.TemporaryError{Err: err}
}

// Validate reports what makes an AlertProvider unusable, naming the field.
func Validate(p *flaggerv1.AlertProvider) error {
	if _, err := kindOf(p.Spec.Type); err != nil {
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
	if _, err := webhook.ParseProxy(p.Spec.Proxy); err != nil {
		return fmt.Errorf("spec.proxy: %w", err)
	}
	return nil
}
