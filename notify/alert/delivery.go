// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/webhook"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// outboxAlert is the body of an entry in the outbox: an alert for one destination.
type outboxAlert struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
	// Provider is nil for the webhook of the flags.
	Provider *flaggerv1.CrossNamespaceObjectReference `json:"provider,omitempty"`

	Text     string                  `json:"text"`
	Severity flaggerv1.AlertSeverity `json:"severity,omitempty"`
	Fields   []Field                 `json:"fields,omitempty"`
}

// canary is the object, as far as events about it need it.
func (d outboxAlert) canary() *flaggerv1.Canary {
	c := &flaggerv1.Canary{}
	c.Namespace, c.Name, c.UID = d.Namespace, d.Name, d.UID
	return c
}

// enqueue queues an alert for a destination; nil is the webhook of the flags.
func (n *Notifier) enqueue(c *flaggerv1.Canary, provider *flaggerv1.CrossNamespaceObjectReference, about notification) {
	d := outboxAlert{
		Namespace: c.Namespace, Name: c.Name, UID: c.UID, Provider: provider, Text: about.text, Severity: about.severity, Fields: about.fields,
	}
	to := n.destinationOf(d)
	n.mu.Lock()
	n.sent++
	number := n.sent
	n.mu.Unlock()
	body, err := json.Marshal(d)
	if err == nil {
		receiver := kind + "/" + string(c.UID) + "/" + to.name
		err = n.opts.Outbox.Put(outbox.Entry{
			ID:   fmt.Sprintf("%s/%d-%d", receiver, n.opts.Clock.Now().UnixNano(), number),
			Kind: kind, Namespace: c.Namespace, Receiver: receiver, Body: body,
		})
	}
	if err != nil {
		n.opts.Log.Info("dropped an alert", "error", err.Error(), "name", c.Name, "namespace", c.Namespace, "provider", to.name)
	}
}

// destinationOf is where a delivery goes.
func (n *Notifier) destinationOf(d outboxAlert) destination {
	switch {
	case d.Provider != nil:
		return n.destination(d.Namespace, *d.Provider)
	case n.global != nil:
		return *n.global
	}
	return destination{name: "the room of the flags", resolve: func(context.Context) (service, endpoint, error) {
		return nil, endpoint{}, errors.New("this process has no webhook in its flags")
	}}
}

// Deliver implements outbox.Handler: it resolves the destination and posts.
func (n *Notifier) Deliver(ctx context.Context, e outbox.Entry) error {
	var d outboxAlert
	if err := json.Unmarshal(e.Body, &d); err != nil {
		return fmt.Errorf("reading an alert: %w", err)
	}
	to := n.destinationOf(d)
	s, at, err := to.resolve(ctx)
	if err == nil {
		err = n.post(ctx, s, at, notification{subject: d.Name + "." + d.Namespace, text: d.Text, severity: d.Severity, fields: d.Fields})
	}
	var temporary *webhook.TemporaryError
	switch {
	case errors.As(err, &temporary):
		return &outbox.Temporary{Err: err, After: temporary.After}
	case err == nil:
		n.report(d.canary(), to, nil)
	}
	return err
}

// Failed implements outbox.Handler.
func (n *Notifier) Failed(_ context.Context, e outbox.Entry, err error) {
	var d outboxAlert
	if json.Unmarshal(e.Body, &d) == nil {
		n.report(d.canary(), n.destinationOf(d), err)
	}
}
