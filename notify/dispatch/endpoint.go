// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// Bounds of events of others. The longest message is Flux's, and that of our own events.
const (
	maxEvent    = 192 << 10
	maxMessage  = 39_000
	maxMetadata = 200
	// maxReading is how many events are read at once.
	maxReading = 64
)

// Endpoint takes the events of Flux's controllers, and of others, as Flux's
// notification-controller does: POST / of an Event as JSON. It answers 202 for one that
// is on the disk or that no Alert selects, 429 for one that repeats another, 503 for one that
// there is no room for, and 400 or 413 for what is no event.
type Endpoint struct {
	dispatcher *Dispatcher
	reading    chan struct{}
}

// NewEndpoint returns the handler that gives events to a dispatcher.
func NewEndpoint(d *Dispatcher) *Endpoint {
	return &Endpoint{dispatcher: d, reading: make(chan struct{}, maxReading)}
}

// ServeHTTP implements http.Handler.
func (h *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "events are posted", http.StatusMethodNotAllowed)
		return
	}
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-r.Context().Done():
		return
	}
	var e message.Event
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxEvent)).Decode(&e); err != nil {
		status := http.StatusBadRequest
		if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the body is no event", status)
		return
	}
	if err := check(e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch err := h.dispatcher.accept(r.Context(), e, h.dispatcher.opts.Outbox.PutSync); {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case errors.Is(err, ErrRepeated):
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	case errors.Is(err, outbox.ErrFull):
		// Flux's controllers take 429 for a duplicate, and drop the event without a word. What they
		// send again, and wait for by a Retry-After, is a part of their reconcile.
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// check says what is wrong with an event.
func check(e message.Event) error {
	o := e.InvolvedObject
	switch {
	case o.Kind == "" || o.Name == "" || o.Namespace == "":
		return errors.New("involvedObject: kind, namespace and name are needed")
	case len(validation.ValidateNamespaceName(o.Namespace, false)) > 0:
		return errors.New("involvedObject.namespace is no name of a namespace")
	case len(o.Name) > 253 || len(o.Kind) > 253 || len(o.APIVersion) > 253:
		return errors.New("involvedObject: a name has at most 253 characters")
	case !message.IsSeverity(e.Severity):
		return fmt.Errorf("severity: %.20q is none of trace, info and error", e.Severity)
	case utf8.RuneCountInString(e.Message) > maxMessage:
		return fmt.Errorf("message has more than %d characters", maxMessage)
	case len(e.Metadata) > maxMetadata:
		return fmt.Errorf("metadata has more than %d entries", maxMetadata)
	case len(e.Reason) > maxReason:
		return fmt.Errorf("reason has more than %d bytes", maxReason)
	}
	return nil
}

// maxReason is the longest reason, as of conditions.
const maxReason = 1024
