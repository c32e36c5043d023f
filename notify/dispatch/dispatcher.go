// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/cache"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/internal/webhook"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// Kinds of entries in the outbox.
const (
	kindEvent   = "event"
	kindAlert   = "alert"
	kindMessage = "message"
)

const (
	// Window is how long an event that says the same again is dropped by default, as in Flux.
	Window = 5 * time.Minute
	// maxSaid is how many events are remembered for that.
	maxSaid = 20_000
	// maxFilters is how many bytes the compiled expressions of Alerts may take.
	maxFilters = 16 << 20
)

// Options are what a Dispatcher needs.
type Options struct {
	// Client caches Alerts and Providers.
	Client client.Client
	// Live reads Secrets, and the labels of objects.
	Live   client.Reader
	Outbox *outbox.Outbox
	Clock  clock.WithTicker
	Log    logr.Logger
	// Recorder records what could not be delivered, as events of the Alert.
	Recorder reconciler.Recorder
	// Guard decides where Providers may point.
	Guard *outbound.Guard
	// Tokens keeps tokens of clouds; nil keeps none.
	Tokens *cache.TokenCache
	// Forges set commit statuses and write comments.
	Forges Forges
	// NoCrossNamespaceRefs drops events of other namespaces than the Alert's.
	NoCrossNamespaceRefs bool
	// Window is how long an event that says the same again is dropped; default [Window].
	Window time.Duration
}

// Dispatcher takes events, and delivers them.
type Dispatcher struct {
	opts      Options
	client    *webhook.Client
	providers *providers
	said      *lru.Cache[string, time.Time]
	filters   *lru.Cache[filterKey, *filter]
	// evaluations are the expressions of Providers, and those of Alerts that take long, under
	// way, of which a namespace has one.
	evaluations *background.Slots[string]
}

// New returns a dispatcher that is the handler of its entries in the outbox.
func New(opts Options) *Dispatcher {
	d := &Dispatcher{
		opts: opts, client: webhook.NewClient(opts.Clock, opts.Guard), providers: &providers{opts, outbound.NewTransports(opts.Guard)},
		said:    lru.NewCounted[string, time.Time](maxSaid),
		filters: lru.New(maxFilters, func(_ filterKey, f *filter) int64 { return f.weight() }),

		evaluations: background.NewSlots[string](maxEvaluations, 1),
	}
	opts.Outbox.Handle(kindEvent, eventHandler{d})
	opts.Outbox.Handle(kindAlert, alertHandler{d})
	opts.Outbox.Handle(kindMessage, messageHandler{d})
	return d
}

// CheckProvider says what is wrong with a Provider, without sending anything. The error
// is terminal if only another spec helps.
func (d *Dispatcher) CheckProvider(ctx context.Context, p *v1beta3.Provider) error {
	return d.providers.check(ctx, p)
}

// Forget drops the connections of a Provider that is gone, and the keys that its Secrets had.
func (d *Dispatcher) Forget(provider types.NamespacedName) {
	d.providers.transports.Forget(provider.String())
}

// ErrRepeated means that an event says the same as one before.
var ErrRepeated = errors.New("the same was said a moment ago")

// Take queues an event of this process. It waits neither for the disk nor for receivers: ctx
// is for a look into the cache of Alerts, and once it is done, as when the process ends, the
// event is queued without that look. What there is no room for is logged.
func (d *Dispatcher) Take(ctx context.Context, e message.Event) {
	if err := d.accept(ctx, e, d.opts.Outbox.Put); err != nil && !errors.Is(err, ErrRepeated) {
		d.opts.Log.Error(err, "dropped an event", "kind", e.InvolvedObject.Kind, "namespace", e.InvolvedObject.Namespace,
			"name", e.InvolvedObject.Name, "reason", e.Reason)
	}
}

// accept keeps an event that an Alert may select. The error is [ErrRepeated], or that of put.
func (d *Dispatcher) accept(ctx context.Context, e message.Event, put func(outbox.Entry) error) error {
	e = message.Clean(e)
	if !d.mayBeSelected(ctx, e) {
		return nil
	}
	key := digest(message.Identity(e))
	now := d.opts.Clock.Now()
	if last, ok := d.said.Get(key); ok && now.Sub(last) < cmp.Or(d.opts.Window, Window) {
		return ErrRepeated
	}
	e.Message = shorten.Runes(e.Message, maxMessage, shorten.Ellipsis) // an apply may have changed thousands of objects
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the event: %w", err)
	}
	err = put(outbox.Entry{
		ID: kindEvent + "/" + key + "/" + now.UTC().Format(time.RFC3339Nano), Kind: kindEvent, Namespace: e.InvolvedObject.Namespace,
		Receiver: "event/" + e.InvolvedObject.Namespace, Order: e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, Body: body,
	})
	if err == nil {
		d.said.Put(key, now)
	}
	return err
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// warn records an event of an Alert, about what people have to mend.
func (d *Dispatcher) warn(alert *v1beta3.Alert, reason, format string, args ...any) {
	d.opts.Recorder.Event(alert, reconciler.Event{Type: corev1.EventTypeWarning, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// named is a reference to an object.
type named struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid,omitempty"`
}

func (n named) key() types.NamespacedName {
	return types.NamespacedName{Namespace: n.Namespace, Name: n.Name}
}

// alert is the Alert as far as events about it need it, whether it is still there or not.
func (n named) alert() *v1beta3.Alert {
	alert := &v1beta3.Alert{}
	alert.Namespace, alert.Name, alert.UID = n.Namespace, n.Name, n.UID
	return alert
}

// about names the object of an event.
func about(e message.Event) string {
	o := e.InvolvedObject
	return fmt.Sprintf("%s/%s/%s", o.Kind, o.Namespace, o.Name)
}
