// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/hashicorp/go-retryablehttp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
)

// Bounds of what forwarding may cost: events that wait to be sent, and the time
// and the attempts that each gets.
const (
	maxWaiting     = 1000
	sendTimeout    = 5 * time.Second
	maxSendRetries = 3
)

// Forwarder sends events to Flux's notification-controller, in its own format, so
// that Alerts and Providers work with the kinds that are served here. It never
// holds up the controller that has the event: what cannot be sent in time is dropped with a
// line in the log, and is a Kubernetes event all the same.
type Forwarder struct {
	address string
	client  *retryablehttp.Client
	waiting chan eventv1.Event
}

// NewForwarder returns a forwarder to the events endpoint at address. Start it
// with the manager.
func NewForwarder(address string) (*Forwarder, error) {
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		return nil, fmt.Errorf("the address of the events endpoint, %q, is not a URL", address)
	}
	sender := retryablehttp.NewClient()
	sender.HTTPClient.Timeout, sender.RetryMax, sender.Logger = sendTimeout, maxSendRetries, nil
	return &Forwarder{address: address, client: sender, waiting: make(chan eventv1.Event, maxWaiting)}, nil
}

// Start implements manager.Runnable: it sends events until ctx ends.
func (f *Forwarder) Start(ctx context.Context) error {
	logger := log.FromContext(ctx).WithName("events")
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-f.waiting:
			if err := f.send(ctx, e); err != nil && ctx.Err() == nil {
				logger.Error(err, "sending an event to the notification controller")
			}
		}
	}
}

// Forward queues an event.
func (f *Forwarder) Forward(e eventv1.Event) {
	select {
	case f.waiting <- e:
	default:
		log.Log.WithName("events").Info("dropped an event: the notification controller takes them too slowly",
			"kind", e.InvolvedObject.Kind, "namespace", e.InvolvedObject.Namespace, "name", e.InvolvedObject.Name, "reason", e.Reason)
	}
}

func (f *Forwarder) send(ctx context.Context, e eventv1.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, f.address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest && resp.StatusCode != http.StatusTooManyRequests {
		return fmt.Errorf("the notification controller answers %s", resp.Status)
	}
	return nil
}

// translation makes events in Flux's format.
type translation struct {
	scheme *runtime.Scheme
	clock  clock.PassiveClock
	host   string
}

// event is an event of an object of the given controller. It reports false for an object
// of a kind that is not ours, which has no alerts.
func (t translation) event(obj client.Object, controller string, e Event) (eventv1.Event, bool) {
	ref, err := reference.GetReference(t.scheme, obj)
	if err != nil {
		return eventv1.Event{}, false
	}
	out := eventv1.Event{
		InvolvedObject: *ref, Severity: eventv1.EventSeverityInfo, Timestamp: metav1.NewTime(t.clock.Now()),
		Message: e.Message, Reason: e.Reason, Metadata: metadata(obj, e),
		ReportingController: controller, ReportingInstance: t.host,
	}
	if e.Token != "" {
		out.Metadata[ref.GroupVersionKind().Group+"/"+eventv1.MetaTokenKey] = e.Token
	}
	switch {
	case e.Type == corev1.EventTypeWarning && e.Advice:
		out.Metadata[v1beta3.WarningKey] = "true"
	case e.Type == corev1.EventTypeWarning:
		out.Severity = eventv1.EventSeverityError
	}
	return out, true
}

// metadata is that of the event, and what users attach to the object for alerts.
func metadata(obj client.Object, e Event) map[string]string {
	all := map[string]string{}
	for key, value := range obj.GetAnnotations() {
		if strings.HasPrefix(key, eventv1.Group+"/") {
			all[key] = value
		}
	}
	maps.Copy(all, e.Metadata)
	return all
}
