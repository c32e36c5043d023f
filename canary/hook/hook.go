// SPDX-License-Identifier: Apache-2.0

// Package hook calls the webhooks of a Canary: Flagger's protocol, so that its load
// tester, and whatever else people have written for it, works unmodified.
//
//	POST {"name","namespace","phase","checksum","metadata"}  -->  a status up to 202 agrees
//
// Who calls and who waits depends on the type. The answers of gates, of checks and
// of rollback hooks decide something: [Caller.Call] waits for them, which is for
// the background, too. A post-rollout hook decides nothing any more
// ([Caller.Notify]), and an event hook is only notified ([Caller.Event]): these go
// through a queue, in order for each canary, and hold up nobody.
//
// The URL of a webhook may have a password or a token in it. No error, event or
// log line says more of it than the host.
package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/webhook"
)

// maxSuccessStatus is the last status that agrees, as in Flagger: 204 does not.
const maxSuccessStatus = 202

// Options are what a Caller needs.
type Options struct {
	Clock clock.Clock
	Log   logr.Logger
	// EventWebhook gets the events of canaries that have no event hook; empty
	// sends them nowhere.
	EventWebhook string
	// Guard decides where webhooks of canaries may be; nil lets them be anywhere, as
	// EventWebhook always may.
	Guard *outbound.Guard
	// Notified is called with what became of a hook that nobody waited for.
	Notified func(*flaggerv1.Canary, canary.Event)
	// Answered is called with what a webhook of a canary said that nobody waited for.
	Answered func(types.NamespacedName, types.UID, canary.WebhookAnswer)
}

// Caller calls webhooks. It is a manager.Runnable: without Start, nothing that
// nobody waits for is sent.
type Caller struct {
	opts   Options
	client *webhook.Client
	// operators is for EventWebhook.
	operators *webhook.Client
	queue     *webhook.Queue
}

// New returns a Caller. The error names the setting that is wrong.
func New(opts Options) (*Caller, error) {
	if opts.EventWebhook != "" {
		if _, err := webhook.ParseURL(opts.EventWebhook); err != nil {
			return nil, fmt.Errorf("event-webhook: %w", err)
		}
	}
	return &Caller{
		opts: opts, client: webhook.NewClient(opts.Clock, opts.Guard),
		operators: webhook.NewClient(opts.Clock, outbound.Unguarded()), queue: webhook.NewQueue(opts.Clock),
	}, nil
}

// Start implements manager.Runnable.
func (k *Caller) Start(ctx context.Context) error { return k.queue.Start(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (k *Caller) NeedLeaderElection() bool { return k.queue.NeedLeaderElection() }

// Call asks all webhooks of a type, in their order, until one does not agree. A
// rollback hook agrees to a rollback, so that one of them is enough. The phase is
// that of the payload.
func (k *Caller) Call(ctx context.Context, c *flaggerv1.Canary, hook flaggerv1.HookType, phase flaggerv1.CanaryPhase) canary.Answer {
	answer := canary.Answer{OK: hook != flaggerv1.RollbackHook}
	for _, w := range hooks(c, hook) {
		said := answerOf(hook, w, k.post(ctx, c, w.CanaryWebhook, payload{phase: phase, metadata: w.Metadata}))
		answer = canary.Answer{
			OK: said.Agreed, Webhook: w.Name, Why: said.Why, Muted: w.MuteAlert, Said: append(answer.Said, said),
		}
		if answer.OK == (hook == flaggerv1.RollbackHook) {
			return answer
		}
	}
	return answer
}

// answerOf is what a webhook said, by the error of calling it.
func answerOf(hook flaggerv1.HookType, w numbered, err error) canary.WebhookAnswer {
	said := canary.WebhookAnswer{Type: hook, Name: w.Name, Nth: w.nth, Agreed: err == nil}
	if err == nil {
		return said
	}
	said.Why = err.Error()
	var refused *webhook.RefusedError
	if errors.As(err, &refused) {
		said.Status = refused.Status
	}
	return said
}

// numbered is a webhook, and how many of its type and name there are before it.
type numbered struct {
	flaggerv1.CanaryWebhook
	nth int
}

// hooks are the webhooks of a type.
func hooks(c *flaggerv1.Canary, hook flaggerv1.HookType) []numbered {
	if c.Spec.Analysis == nil {
		return nil
	}
	var found []numbered
	names := map[string]int{}
	for _, w := range c.Spec.Analysis.Webhooks {
		if cmp.Or(w.Type, flaggerv1.RolloutHook) == hook {
			found = append(found, numbered{w, names[w.Name]})
			names[w.Name]++
		}
	}
	return found
}

// payload is what differs from webhook to webhook.
type payload struct {
	phase    flaggerv1.CanaryPhase
	metadata map[string]string
}

// post sends one message and waits for the answer.
func (k *Caller) post(ctx context.Context, c *flaggerv1.Canary, w flaggerv1.CanaryWebhook, p payload) error {
	m, err := message(c, w, p)
	if err != nil {
		return err
	}
	_, err = k.client.Post(ctx, m)
	return err
}

func message(c *flaggerv1.Canary, w flaggerv1.CanaryWebhook, p payload) (webhook.Message, error) {
	timeout, err := w.GetTimeout()
	if err != nil {
		return webhook.Message{}, fmt.Errorf("timeout: %w", err)
	}
	if w.Retries > flaggerv1.MaxWebhookRetries {
		return webhook.Message{}, fmt.Errorf("retries: at most %d", flaggerv1.MaxWebhookRetries)
	}
	target, err := webhook.ParseURL(w.URL)
	if err != nil {
		return webhook.Message{}, fmt.Errorf("url: %w", err)
	}
	body, err := json.Marshal(flaggerv1.CanaryWebhookPayload{
		Name: c.Name, Namespace: c.Namespace, Phase: p.phase, Checksum: checksum(c), Metadata: p.metadata,
	})
	if err != nil {
		return webhook.Message{}, fmt.Errorf("encoding the message: %w", err)
	}
	return webhook.Message{
		URL: w.URL, Body: body, Timeout: timeout, Retries: w.Retries, MaxSuccess: maxSuccessStatus, DisableTLS: w.DisableTLS,
		QuoteAnswer: inNamespaceOf(c, target),
	}, nil
}

// inNamespaceOf reports whether a URL names a Service of the canary's own namespace, by a
// name that says so: <service>.<namespace>, with or without .svc and the domain of the
// cluster. What such a server answers may be told to those who write canaries there.
func inNamespaceOf(c *flaggerv1.Canary, target *url.URL) bool {
	return object.IsServiceHost(target.Hostname(), c.Namespace)
}

// Notify calls the webhooks of a type whose answers decide nothing, later. What
// becomes of them goes to [Options.Notified]; the first that fails is the last that
// is called, as in Flagger.
func (k *Caller) Notify(c *flaggerv1.Canary, hook flaggerv1.HookType, phase flaggerv1.CanaryPhase) {
	all := hooks(c, hook)
	if len(all) == 0 {
		return
	}
	c = c.DeepCopy()
	title := strings.ToUpper(string(hook[:1])) + string(hook[1:])
	k.enqueue(c, string(hook), func(ctx context.Context) {
		for _, w := range all {
			err := k.post(ctx, c, w.CanaryWebhook, payload{phase: phase, metadata: w.Metadata})
			k.answered(c, answerOf(hook, w, err))
			if err != nil {
				k.report(c, canary.Event{Warning: true, Message: fmt.Sprintf("%s hook %s failed %v", title, w.Name, err)})
				return
			}
			k.report(c, canary.Event{Message: fmt.Sprintf("%s check %s passed", title, w.Name)})
		}
	})
}

func (k *Caller) report(c *flaggerv1.Canary, e canary.Event) {
	if k.opts.Notified != nil {
		k.opts.Notified(c, e)
	}
}

func (k *Caller) answered(c *flaggerv1.Canary, said canary.WebhookAnswer) {
	if k.opts.Answered != nil {
		k.opts.Answered(types.NamespacedName{Namespace: c.Namespace, Name: c.Name}, c.UID, said)
	}
}

// enqueue puts off a call. Each receiver of a canary has a queue of its own: one that
// hangs keeps nothing from the others.
func (k *Caller) enqueue(c *flaggerv1.Canary, receiver string, deliver func(context.Context)) {
	if !k.queue.Put(c.Namespace, string(c.UID)+"/"+receiver, deliver) {
		k.opts.Log.Info("dropped a message to a webhook: too many are waiting", "name", c.Name, "namespace", c.Namespace, "webhook", receiver)
	}
}
