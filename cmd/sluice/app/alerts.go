// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-cd/sluice/controllers/alert"
	"github.com/sluice-cd/sluice/controllers/provider"
	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// alerts serves Alerts and Providers, and has the events of this process told to them.
// Where --events-addr names Flux's notification-controller, that serves them: served by
// both, everything would be told twice.
func (w *wiring) alerts(ctx context.Context) error {
	if w.flags.eventsAddr != "" {
		return nil
	}
	messages, err := w.outbox()
	if err != nil {
		return err
	}
	forges, err := w.forges()
	if err != nil {
		return err
	}
	dispatcher := dispatch.New(dispatch.Options{
		Client: w.mgr.GetClient(), Live: w.mgr.GetAPIReader(), Outbox: messages, Clock: w.clock,
		Log: w.mgr.GetLogger().WithName("alerts"), Recorder: w.events, Guard: w.guard, Tokens: w.tokens,
		Forges:               provider.Forges{Clients: forges, Clock: w.clock},
		NoCrossNamespaceRefs: w.flags.noCrossNamespace,
		Window:               w.flags.flux.rateLimitWindow,
	})
	w.events.Listen = func(e eventv1.Event) { dispatcher.Take(ctx, e) }
	providers := &provider.Reconciler{Dispatcher: dispatcher}
	alerts := &alert.Reconciler{Client: w.mgr.GetClient(), NoCrossNamespaceRefs: w.flags.noCrossNamespace}
	err = errors.Join(providers.SetupWithManager(ctx, w.mgr, w.options), alerts.SetupWithManager(ctx, w.mgr, w.options))
	if err != nil || !listensAt(w.flags.eventsListenAddr) {
		return err
	}
	listener, err := net.Listen("tcp", w.flags.eventsListenAddr)
	if err != nil {
		return fmt.Errorf("--events-listen-addr: %w", err)
	}
	return w.mgr.Add(&httpServer{listener: listener, handler: dispatch.NewEndpoint(dispatcher)})
}

// outbox keeps what has to be told, in the folder of --storage-path. All groups share it,
// and its limits.
func (w *wiring) outbox() (*outbox.Outbox, error) {
	if w.messages != nil {
		return w.messages, nil
	}
	var err error
	if w.messages, err = outbox.Open(filepath.Join(w.flags.storagePath, "outbox"), w.clock, w.mgr.GetLogger().WithName("outbox")); err != nil {
		return nil, err
	}
	for _, metric := range w.messages.Collectors() {
		if err := metrics.Registry.Register(metric); err != nil {
			return nil, err
		}
	}
	return w.messages, w.mgr.Add(w.messages)
}
