// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/cel"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// handlingTimeout bounds the work on a request, which goes on when the sender hangs up:
// some wait for a few seconds only.
const handlingTimeout = 30 * time.Second

// WebhookPathIndex is the name of the index of Receivers by webhook path.
const WebhookPathIndex = "status.webhookPath"

// IndexWebhookPath is the index function of [WebhookPathIndex].
func IndexWebhookPath(obj client.Object) []string {
	if receiver, ok := obj.(*notificationv1.Receiver); ok && receiver.Status.WebhookPath != "" {
		return []string{receiver.Status.WebhookPath}
	}
	return nil
}

// Hooks answers webhooks. It is an http.Handler.
type Hooks struct {
	Options
	issuers  *issuers
	programs *programs
	limits   *limits
	bodies   *budget.Budget
	total    *prometheus.CounterVec
}

// Options are what Hooks needs.
type Options struct {
	// Receivers has the index [WebhookPathIndex].
	Receivers client.Reader
	// Reader reads Secrets and the metadata of any kind, and should not cache them.
	Reader client.Reader
	// Writer patches annotations.
	Writer client.Writer
	Clock  clock.Clock
	Logger logr.Logger
	// NoCrossNamespaceRefs forbids targets in other namespaces.
	NoCrossNamespaceRefs bool
	// GoogleIssuer signs the tokens of Pub/Sub; empty is Google.
	GoogleIssuer string
	// Guard decides where issuers of tokens may be; nil lets them be anywhere.
	Guard *outbound.Guard
	// Memory is shared with all else that is read from outside; nil is without bound.
	Memory *budget.Budget
	// TooExpensive is called for a Receiver one of whose expressions exceeded its
	// budget, with the error; it may be nil.
	TooExpensive func(*notificationv1.Receiver, error)
}

const googleIssuer = "https://accounts.google.com"

// New returns the handler and registers its metrics.
func New(opts Options, metrics prometheus.Registerer) (*Hooks, error) {
	if opts.GoogleIssuer == "" {
		opts.GoogleIssuer = googleIssuer
	}
	h := &Hooks{
		Options: opts, issuers: newIssuers(opts.Clock, opts.Guard.Transport()), programs: newPrograms(),
		limits: newLimits(opts.Clock), bodies: budget.New(maxTotalBodies),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhooks_total",
			Help: "Webhook requests by type of receiver, empty for a path that none has, and HTTP status of the answer.",
		}, []string{"type", "status"}),
	}
	return h, metrics.Register(h.total)
}

// ServeHTTP implements http.Handler. The answers are those of Flux: 404 for a path
// that no receiver has, 503 for a receiver that is suspended or not ready, 413 for
// a body that is too long, 400 for a request that is not authenticated, 500 when an object
// could not be notified. Beyond Flux: 429 when the rate limit, and 503 when the memory for
// bodies is used up.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	receiver, err := h.receiver(r.Context(), r.URL.Path)
	if err != nil {
		h.Logger.Error(err, "looking for the receiver of a webhook")
		h.count("", http.StatusInternalServerError)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if receiver == nil {
		h.count("", http.StatusNotFound)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	log := h.Logger.WithValues("controllerKind", notificationv1.ReceiverKind, "name", receiver.Name, "namespace", receiver.Namespace)
	status, err := h.answer(w, r, receiver, log)
	if err != nil {
		log.Error(err, "handling a webhook", "status", status)
	}
	h.count(receiver.Spec.Type, status)
	if errors.Is(err, errRefused) {
		http.Error(w, err.Error(), status) // the sender can correct it
		return
	}
	w.WriteHeader(status)
}

func (h *Hooks) count(kind string, status int) {
	h.total.WithLabelValues(kind, strconv.Itoa(status)).Inc()
}

// receiver returns the Receiver with a path, nil if there is none. Flux hashes token, name
// and namespace without separators, so that two Receivers can have one path, which the
// author of the second may intend. The older one keeps it.
func (h *Hooks) receiver(ctx context.Context, path string) (*notificationv1.Receiver, error) {
	var list notificationv1.ReceiverList
	if err := h.Receivers.List(ctx, &list, client.MatchingFields{WebhookPathIndex: path}); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	oldest := slices.MinFunc(list.Items, func(a, b notificationv1.Receiver) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	return &oldest, nil
}

func (h *Hooks) answer(w http.ResponseWriter, r *http.Request, receiver *notificationv1.Receiver, log logr.Logger) (int, error) {
	switch {
	case receiver.Spec.Suspend:
		return http.StatusServiceUnavailable, errors.New("the receiver is suspended")
	case !apimeta.IsStatusConditionTrue(receiver.Status.Conditions, meta.ReadyCondition):
		return http.StatusServiceUnavailable, errors.New("the receiver is not ready")
	}
	m := message{header: r.Header, receiver: receiver}
	if status, err := h.admit(w, r, &m); err != nil {
		return status, err
	}
	read, status, err := h.read(w, r, m)
	if err != nil {
		return status, err
	}
	defer read.Release()
	m.body = read.bytes
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), handlingTimeout)
	defer cancel()
	return h.handle(ctx, m, log)
}

// errTooManyRequests means that the rate limit is exceeded.
var errTooManyRequests = errors.New("too many requests")

// admit applies the rate limits and verifies what the header proves, before the body is
// read. For a type that is verified by its header, that comes before the limit of the
// Receiver: the path of such a Receiver need not be a secret.
func (h *Hooks) admit(w http.ResponseWriter, r *http.Request, m *message) (int, error) {
	path, from := m.receiver.Status.WebhookPath, senders[m.receiver.Spec.Type]
	limits := []limitKey{receiverKey(path), namespaceKey(m.receiver.Namespace)}
	if from.admit != nil && !h.limits.wait(r.Context(), attemptKey(path)) || from.admit == nil && !h.waitAll(r.Context(), limits) {
		return tooManyRequests(w)
	}
	ctx, cancel := context.WithTimeout(r.Context(), handlingTimeout)
	defer cancel()
	var err error
	if m.secret, err = h.secret(ctx, m.receiver); err != nil {
		return http.StatusInternalServerError, err
	}
	if m.receiver.GetWebhookPath(string(m.token())) != path {
		return http.StatusNotFound, errors.New("the path is that of a token that the receiver's Secret has no more")
	}
	if from.admit == nil {
		return http.StatusOK, nil
	}
	if m.claims, err = from.admit(ctx, h, *m); err != nil {
		return http.StatusBadRequest, err
	}
	if !h.waitAll(r.Context(), limits) {
		return tooManyRequests(w)
	}
	return http.StatusOK, nil
}

// waitAll waits for each limiter in turn.
func (h *Hooks) waitAll(ctx context.Context, keys []limitKey) bool {
	for _, key := range keys {
		if !h.limits.wait(ctx, key) {
			return false
		}
	}
	return true
}

func tooManyRequests(w http.ResponseWriter) (int, error) {
	w.Header().Set("Retry-After", strconv.Itoa(int(maxDelay/time.Second)))
	return http.StatusTooManyRequests, errTooManyRequests
}

// handle verifies a message and does what it asks for.
func (h *Hooks) handle(ctx context.Context, m message, log logr.Logger) (int, error) {
	sent, err := h.verify(ctx, m)
	if err != nil {
		return http.StatusBadRequest, err
	}
	if filtered(m.receiver) {
		memory, err := h.acquireParsing(ctx, m, sent)
		if err != nil {
			return http.StatusServiceUnavailable, err
		}
		defer memory.Release()
	}
	f, err := h.filters(ctx, m, sent)
	switch {
	case errors.Is(err, errRefused):
		return http.StatusBadRequest, err
	case err != nil:
		return http.StatusInternalServerError, err
	}
	if err := h.notify(ctx, delivery{m.receiver, sent, f, log}); err != nil {
		h.reportExpensive(m.receiver, err)
		return http.StatusInternalServerError, err
	}
	return http.StatusOK, nil
}

// reportExpensive calls TooExpensive if an expression exceeded its budget.
func (h *Hooks) reportExpensive(receiver *notificationv1.Receiver, err error) {
	if errors.Is(err, cel.ErrTooExpensive) && h.TooExpensive != nil {
		h.TooExpensive(receiver, err)
	}
}

// verify asks the receiver's type whether the message is genuine and wanted.
func (h *Hooks) verify(ctx context.Context, m message) (payload, error) {
	from, ok := senders[m.receiver.Spec.Type]
	if !ok {
		return payload{}, errors.New("the receiver has no known type")
	}
	sent, err := from.verify(ctx, h, m)
	if err != nil {
		return payload{}, err
	}
	if from.events && !allowed(m.receiver, sent.event) {
		return refuse("the event '%.100s' is not in spec.events", sent.event)
	}
	return sent, nil
}

// secret reads what the receiver shares with its sender.
func (h *Hooks) secret(ctx context.Context, receiver *notificationv1.Receiver) (map[string][]byte, error) {
	if receiver.Spec.SecretRef == nil {
		return nil, nil
	}
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: receiver.Namespace, Name: receiver.Spec.SecretRef.Name}
	if err := h.Reader.Get(ctx, key, &secret); err != nil {
		return nil, err
	}
	if len(secret.Data[tokenKey]) == 0 {
		return nil, errors.New("the receiver's Secret has no token any more")
	}
	return secret.Data, nil
}
