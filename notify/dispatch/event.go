// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/pattern"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// messageEntry is the body of a message entry: an event, the Provider that gets it, and the Alert
// that selected it.
type messageEntry struct {
	Event    message.Event `json:"event"`
	Alert    named         `json:"alert"`
	Provider string        `json:"provider"`
	// Release says that the commit of a Canary's release is still to be found.
	Release bool `json:"release,omitempty"`
}

// eventHandler makes a message of an event for each Alert that selects it.
type eventHandler struct{ *Dispatcher }

// Deliver implements outbox.Handler. Nothing is queued or recorded before all Alerts
// have been looked at, so that an attempt that fails on the way leaves nothing behind. If
// one Alert cannot be matched for now, that is tried again for that Alert alone, and what
// happens to the same object next waits for it there.
func (h eventHandler) Deliver(ctx context.Context, entry outbox.Entry) error {
	m := matching{dispatcher: h.Dispatcher, id: entry.ID}
	if err := json.Unmarshal(entry.Body, &m.event); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	alerts, err := h.alerts(ctx, m.event)
	if err != nil {
		return &outbox.Temporary{Err: err}
	}
	slices.SortFunc(alerts, func(a, b v1beta3.Alert) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	spent := map[string]*matchCost{}
	for i := range alerts {
		alert := &alerts[i]
		if !h.concerns(*alert, m.event) {
			continue
		}
		if spent[alert.Namespace] == nil {
			spent[alert.Namespace] = &matchCost{}
		}
		affordable := spent[alert.Namespace].spend(h.sizeOf(alert), len(m.event.Message))
		if !affordable || m.waits(alert) || m.match(ctx, alert) != nil {
			m.matchLater(alert)
		}
	}
	m.done()
	return nil
}

// Failed implements outbox.Handler. The outbox has logged it.
func (h eventHandler) Failed(context.Context, outbox.Entry, error) {}

// Bounds of what an event is matched with at once in one namespace.
const (
	maxAlerts = 100
	maxSizes  = 5 * maxSize
)

// matchCost is what matching an event has cost one namespace. What is more than a moment is
// left to that namespace: others wait for the event.
type matchCost struct {
	alerts, size int
	work         int // instructions times bytes
}

// spend takes what one Alert costs whose expressions have so many instructions, with a
// message of so many bytes, and reports whether the namespace could afford it.
func (e *matchCost) spend(size, bytes int) bool {
	if e.alerts >= maxAlerts || e.size+size > maxSizes || e.work+size*bytes > pattern.Light {
		return false
	}
	e.alerts++
	e.size += size
	e.work += size * bytes
	return true
}

// alertHandler matches an event with one Alert, for which that failed at first: for want of
// something to be read, or because it takes long. One of a namespace does at a time.
type alertHandler struct{ *Dispatcher }

// alertEntry is the body of an entry for one Alert.
type alertEntry struct {
	// ID is the ID of the event's entry.
	ID    string        `json:"id"`
	Event message.Event `json:"event"`
	Alert named         `json:"alert"`
}

// Deliver implements outbox.Handler.
func (h alertHandler) Deliver(ctx context.Context, entry outbox.Entry) error {
	var p alertEntry
	if err := json.Unmarshal(entry.Body, &p); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	var alert v1beta3.Alert
	switch err := h.opts.Client.Get(ctx, p.Alert.key(), &alert); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return &outbox.Temporary{Err: fmt.Errorf("reading alert %s: %w", p.Alert.key(), err)}
	}
	if h.sizeOf(&alert) > 0 {
		if err := h.evaluations.Acquire(ctx, alert.Namespace); err != nil {
			return &outbox.Temporary{Err: fmt.Errorf("too many expressions are being evaluated: %w", err)}
		}
		defer h.evaluations.Release(alert.Namespace)
	}
	m := matching{dispatcher: h.Dispatcher, id: p.ID, event: p.Event}
	if err := m.match(ctx, &alert); err != nil {
		return err
	}
	m.done()
	return nil
}

// Failed implements outbox.Handler.
func (h alertHandler) Failed(_ context.Context, entry outbox.Entry, err error) {
	var p alertEntry
	if json.Unmarshal(entry.Body, &p) == nil {
		h.warn(p.Alert.alert(), v1beta3.DispatchFailedReason, "failed to send notification for %s: %s", about(p.Event), err)
	}
}
