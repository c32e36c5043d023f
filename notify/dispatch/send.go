// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/webhook"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// maxStatus is the last status that is a success.
const maxStatus = 299

// temporary marks an error that time may cure.
func temporary(err error) error { return &outbox.Temporary{Err: err} }

// messageHandler delivers messages to Providers.
type messageHandler struct{ *Dispatcher }

// Deliver implements outbox.Handler.
func (h messageHandler) Deliver(ctx context.Context, entry outbox.Entry) error {
	var o messageEntry
	if err := json.Unmarshal(entry.Body, &o); err != nil {
		return fmt.Errorf("reading a message: %w", err)
	}
	var provider v1beta3.Provider
	err := h.opts.Client.Get(ctx, named{Namespace: o.Alert.Namespace, Name: o.Provider}.key(), &provider)
	switch {
	case apierrors.IsNotFound(err):
		return nil // the Provider was deleted
	case err != nil:
		return temporary(fmt.Errorf("reading provider %s: %w", o.Provider, err))
	case provider.Spec.Suspend:
		return nil
	}
	if o.Release {
		found := false
		if o.Event, found, err = h.withCommit(ctx, o.Event, entry.Added); err != nil {
			return err
		}
		if !found && o.Event.Severity != eventv1.EventSeverityError {
			return nil // it is about no commit
		}
	}
	ctx, cancel := context.WithTimeout(ctx, provider.GetTimeout())
	defer cancel()
	return h.send(ctx, &provider, o)
}

// Failed implements outbox.Handler.
func (h messageHandler) Failed(_ context.Context, entry outbox.Entry, err error) {
	var o messageEntry
	if json.Unmarshal(entry.Body, &o) == nil {
		h.warn(o.Alert.alert(), v1beta3.DispatchFailedReason, "failed to send notification for %s: %s", about(o.Event), err)
	}
}

// send makes one attempt. Errors have no value of a Secret.
func (d *Dispatcher) send(ctx context.Context, provider *v1beta3.Provider, o messageEntry) error {
	to, err := d.providers.resolve(ctx, provider)
	if err != nil {
		return err
	}
	to.target.Alert = message.AlertRef{Namespace: o.Alert.Namespace, Name: o.Alert.Name, UID: string(o.Alert.UID)}
	if err := d.providers.checkDestination(to); err != nil {
		return err
	}
	err = d.sendTo(ctx, to, o)
	var again *outbox.Temporary
	switch hidden := mask.New(to.secrets()...); {
	case err == nil:
		return nil
	case errors.As(err, &again):
		return &outbox.Temporary{Err: hidden.Error(again.Err), After: again.After, Limited: again.Limited}
	default:
		return hidden.Error(err)
	}
}

func (d *Dispatcher) sendTo(ctx context.Context, to *resolvedProvider, o messageEntry) error {
	name := to.provider.Spec.Type
	switch {
	case message.CommitStatus[name]:
		return d.setStatus(ctx, to, o)
	case message.CommentForge[name] != "":
		return d.comment(ctx, to, o.Event)
	case name == message.GitHubDispatch:
		return d.opts.Forges.Dispatch(ctx, repositoryOf(to), o.Event)
	case name == message.NATS:
		return d.publish(ctx, to, o.Event)
	}
	t, ok := message.Types[name]
	if !ok {
		return fmt.Errorf("spec.type: %q is not served", name)
	}
	if err := d.providers.authorize(ctx, to, t); err != nil {
		return err
	}
	requests, err := t.Render(to.target, o.Event)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if err := d.request(ctx, to, request); err != nil {
			return err
		}
	}
	return nil
}

// request sends one request.
func (d *Dispatcher) request(ctx context.Context, to *resolvedProvider, r message.Request) error {
	transport, err := d.providers.transport(to)
	if err != nil {
		return err
	}
	answer, err := d.client.Post(ctx, webhook.Message{
		Method: r.Method, URL: r.URL, Body: r.Body, Header: r.Header, Transport: transport, Timeout: to.provider.GetTimeout(),
		MaxSuccess: maxStatus, SecretPath: true, Secrets: to.secrets(), QuoteAnswer: message.IsPublic(r.URL),
	})
	var again *webhook.TemporaryError
	switch {
	case errors.As(err, &again):
		return &outbox.Temporary{Err: again.Err, After: again.After}
	case err != nil && ctx.Err() != nil:
		return temporary(fmt.Errorf("no answer within spec.timeout: %w", err))
	case err != nil:
		return err
	case r.Refused != nil:
		return r.Refused(answer)
	}
	return nil
}
