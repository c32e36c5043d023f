package notify

import (
	"cmp"
	"context"
	"errors"
	"io"
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
)

const (
	// maxBody is the longest body in bytes, as in Flux.
	maxBody = 3 << 20
	// within is how long a request may be worked on. It goes on when the sender
	// hangs up: some wait for a few seconds only.
	within = 30 * time.Second
)

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
}

const googleIssuer = "https://accounts.google.com"

// New returns the handler and registers its metrics.
func New(opts Options, metrics prometheus.Registerer) (*Hooks, error) {
	if opts.GoogleIssuer == "" {
		opts.GoogleIssuer = googleIssuer
	}
	h := &Hooks{
		Options: opts, issuers: newIssuers(opts.Clock), programs: newPrograms(), limits: newLimits(opts.Clock),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhooks_total",
			Help: "Webhook requests by type of receiver, empty for a path that none has, and HTTP status of the answer.",
		}, []string{"type", "status"}),
	}
	return h, metrics.Register(h.total)
}

// ServeHTTP implements http.Handler. The answers are those of Flux: 404 for a path
// that no receiver has, 503 for a receiver that is suspended or not ready, 413 for
// a body that is too long, 400 for a request that does not prove itself, 500 when
// an object could not be notified; and 429 for more requests than are good.
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
		http.Error(w, err.Error(), status) // what the sender can mend
		return
	}
	w.WriteHeader(status)
}

func (h *Hooks) count(kind string, status int) {
	h.total.WithLabelValues(kind, strconv.Itoa(status)).Inc()
}

// receiver finds the Receiver with a path, nil when there is none. The parts of a
// path's hash are joined without separators, so that somebody else can give a
// Receiver the path of one that has no token; the oldest keeps it.
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
	case !h.limits.wait(r.Context(), receiver.Status.WebhookPath):
		w.Header().Set("Retry-After", strconv.Itoa(int(patience/time.Second)))
		return http.StatusTooManyRequests, errors.New("too many requests")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge, errors.New("the body is too long")
	case err != nil:
		return http.StatusBadRequest, errors.New("the body was cut off")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), within)
	defer cancel()
	return h.handle(ctx, message{header: r.Header, body: body, receiver: receiver}, log)
}

// handle verifies a message and does what it asks for.
func (h *Hooks) handle(ctx context.Context, m message, log logr.Logger) (int, error) {
	var err error
	if m.secret, err = h.secret(ctx, m.receiver); err != nil {
		return http.StatusInternalServerError, err
	}
	if m.receiver.GetWebhookPath(string(m.token())) != m.receiver.Status.WebhookPath {
		return http.StatusNotFound, errors.New("the path is that of a token that the receiver's Secret has no more")
	}
	sent, err := h.verify(ctx, m)
	if err != nil {
		return http.StatusBadRequest, err
	}
	f, err := h.filters(m, sent)
	switch {
	case errors.Is(err, errRefused):
		return http.StatusBadRequest, err
	case err != nil:
		return http.StatusInternalServerError, err
	}
	if err := h.notify(ctx, delivery{m.receiver, sent, f, log}); err != nil {
		return http.StatusInternalServerError, err
	}
	return http.StatusOK, nil
}

// verify asks the receiver's type whether the message is genuine and wanted.
func (h *Hooks) verify(ctx context.Context, m message) (notice, error) {
	from, ok := senders[m.receiver.Spec.Type]
	if !ok {
		return notice{}, errors.New("the receiver has no known type")
	}
	sent, err := from.verify(ctx, h, m)
	if err != nil {
		return notice{}, err
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
