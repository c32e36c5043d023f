package notify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Bounds of what one sender may cost.
const (
	maxBody   = 3 << 20 // bytes
	perSecond = 5       // requests of one receiver
	burst     = 30
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
	issuers issuers
	total   *prometheus.CounterVec

	mu     sync.Mutex
	limits map[string]*rate.Limiter // by webhook path
}

// Options are what Hooks needs.
type Options struct {
	// Receivers has the index [WebhookPathIndex].
	Receivers client.Reader
	// Reader reads Secrets and the metadata of any kind, and should not cache them.
	Reader client.Reader
	// Writer patches annotations.
	Writer client.Writer
	Clock  clock.PassiveClock
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
		Options: opts, issuers: newIssuers(), limits: map[string]*rate.Limiter{},
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhooks_total",
			Help: "Webhook requests by type of receiver and HTTP status of the answer.",
		}, []string{"type", "status"}),
	}
	return h, metrics.Register(h.total)
}

// ServeHTTP implements http.Handler. The answers are those of Flux: 404 for a path
// that no receiver has, 503 for a receiver that is suspended or not ready, 400 for
// a request that does not prove itself, 500 when an object could not be notified.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	receiver, err := h.receiver(r.Context(), r.URL.Path)
	if err != nil {
		h.Logger.Error(err, "looking for the receiver of a webhook")
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if receiver == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	log := h.Logger.WithValues("controllerKind", notificationv1.ReceiverKind, "name", receiver.Name, "namespace", receiver.Namespace)
	status, err := h.answer(w, r, receiver, log)
	if err != nil {
		log.Error(err, "handling a webhook", "status", status)
	}
	h.total.WithLabelValues(receiver.Spec.Type, strconv.Itoa(status)).Inc()
	if errors.Is(err, errRefused) {
		http.Error(w, err.Error(), status) // what the sender can mend
		return
	}
	w.WriteHeader(status)
}

// receiver finds the Receiver with a path, nil when there is none.
func (h *Hooks) receiver(ctx context.Context, path string) (*notificationv1.Receiver, error) {
	var list notificationv1.ReceiverList
	if err := h.Receivers.List(ctx, &list, client.MatchingFields{WebhookPathIndex: path}, client.Limit(1)); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return &list.Items[0], nil
}

func (h *Hooks) answer(w http.ResponseWriter, r *http.Request, receiver *notificationv1.Receiver, log logr.Logger) (int, error) {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, nil
	case receiver.Spec.Suspend:
		return http.StatusServiceUnavailable, errors.New("the receiver is suspended")
	case !apimeta.IsStatusConditionTrue(receiver.Status.Conditions, meta.ReadyCondition):
		return http.StatusServiceUnavailable, errors.New("the receiver is not ready")
	case !h.limit(receiver.Status.WebhookPath).AllowN(h.Clock.Now(), 1):
		w.Header().Set("Retry-After", "1")
		return http.StatusTooManyRequests, errors.New("too many requests")
	}
	m := message{header: r.Header, receiver: receiver}
	var err error
	if m.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		return http.StatusRequestEntityTooLarge, errors.New("the body is too long, or was cut off")
	}
	if m.secret, err = h.secret(r.Context(), receiver); err != nil {
		return http.StatusInternalServerError, err
	}
	sent, facts, err := h.verify(r.Context(), m)
	if err != nil {
		return http.StatusBadRequest, err
	}
	if err := h.notify(r.Context(), receiver, sent, facts, log); err != nil {
		return http.StatusInternalServerError, err
	}
	return http.StatusOK, nil
}

// verify asks the receiver's type whether the message is genuine and wanted.
func (h *Hooks) verify(ctx context.Context, m message) (notice, map[string]any, error) {
	from, ok := senders[m.receiver.Spec.Type]
	if !ok {
		return notice{}, nil, errors.New("the receiver has no known type")
	}
	sent, err := from.verify(ctx, h, m)
	if err != nil {
		return notice{}, nil, err
	}
	if from.events && !allowed(m.receiver, sent.event) {
		_, err := refuse("the event '%.100s' is not in spec.events", sent.event)
		return notice{}, nil, err
	}
	facts, err := factsOf(m, sent)
	return sent, facts, err
}

// notify asks for a reconcile of every object that the receiver names and that
// its filters pass. One that cannot be asked does not stop the others.
func (h *Hooks) notify(ctx context.Context, receiver *notificationv1.Receiver, sent notice, facts map[string]any, log logr.Logger) error {
	all, err := newFilter(receiver.Spec.ResourceFilter)
	if err != nil {
		return err
	}
	var failed []error
	for _, resource := range receiver.Spec.Resources {
		own, err := newFilter(resource.Filter)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		objects, err := h.targets(ctx, receiver, resource, sent.images)
		failed = append(failed, err)
		for i := range objects {
			failed = append(failed, h.notifyOne(ctx, &objects[i], []*filter{all, own}, facts, log))
		}
	}
	return errors.Join(failed...)
}

func (h *Hooks) notifyOne(ctx context.Context, object *metav1.PartialObjectMetadata, filters []*filter, facts map[string]any, log logr.Logger) error {
	for _, f := range filters {
		if passes, err := f.passes(ctx, object, facts); err != nil || !passes {
			return err
		}
	}
	if err := h.request(ctx, object); err != nil {
		return err
	}
	log.Info("requested a reconcile", "kind", object.Kind, "target", object.Namespace+"/"+object.Name)
	return nil
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

// maxLimits bounds the memory of limits; paths of Receivers that are gone would
// stay otherwise.
const maxLimits = 10_000

func (h *Hooks) limit(path string) *rate.Limiter {
	h.mu.Lock()
	defer h.mu.Unlock()
	limit, ok := h.limits[path]
	if !ok {
		if len(h.limits) >= maxLimits {
			clear(h.limits)
		}
		limit = rate.NewLimiter(perSecond, burst)
		h.limits[path] = limit
	}
	return limit
}
