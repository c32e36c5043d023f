// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/webhook"
	"github.com/sluice-cd/sluice/notify/outbox"
)

const (
	// timeout of one attempt, as in Flagger.
	timeout = 5 * time.Second
	// kind is that of entries in the outbox.
	kind = "canary"
	// maxSuccessStatus is the last status that is a success.
	maxSuccessStatus = 299
	// maxFailed bounds the canaries whose failed destinations are kept.
	maxFailed = 10_000
)

// Options are what a Notifier needs. Slack, Teams and ClusterName are Flagger's
// flags.
type Options struct {
	// Reader reads AlertProviders and their Secrets, and should not cache them.
	Reader client.Reader
	Clock  clock.Clock
	Log    logr.Logger
	// Outbox keeps alerts until they are delivered.
	Outbox *outbox.Outbox
	// ClusterName is a field of each message, unless it is empty.
	ClusterName string
	// Slack or Teams is the webhook for canaries that have no alerts. Teams wins if
	// both have a URL.
	Slack SlackFlags
	Teams Teams
	// Guard decides where AlertProviders may point, and their proxies; nil lets them
	// point anywhere, as Slack and Teams always may.
	Guard *outbound.Guard
	// NoCrossNamespaceRefs forbids AlertProviders in other namespaces.
	NoCrossNamespaceRefs bool
	// Failed is called when an alert of a canary could not be delivered: once for
	// each of its providers, until one is delivered again.
	Failed func(*flaggerv1.Canary, error)
}

// SlackFlags is --slack-url, --slack-token, --slack-proxy-url, --slack-user and
// --slack-channel.
type SlackFlags struct{ URL, Token, Proxy, User, Channel string }

// Teams is --msteams-url and --msteams-proxy-url.
type Teams struct{ URL, Proxy string }

// Alert is a message about a canary.
type Alert struct {
	Canary   *flaggerv1.Canary
	Severity flaggerv1.AlertSeverity
	Message  string
	// Fields are shown beside those that every message has: the target, how its
	// traffic is routed, and the image, weight and measurements of the release.
	Fields []Field
}

// Notifier sends alerts through an outbox, of which it is a handler.
type Notifier struct {
	opts   Options
	global *destination // nil is none
	client *webhook.Client
	// operatorClient posts to the webhook of the flags, which the guard does not limit.
	operatorClient *webhook.Client

	mu     sync.Mutex
	failed map[types.UID]map[string]bool // by canary: destinations that failed last
	sent   uint64                        // alerts, which tells those of one moment apart
}

// New returns a Notifier. The error names the flag that is wrong.
func New(opts Options) (*Notifier, error) {
	global, err := opts.global()
	if err != nil {
		return nil, err
	}
	n := &Notifier{
		opts:           opts,
		global:         global,
		client:         webhook.NewClient(opts.Clock, opts.Guard),
		operatorClient: webhook.NewClient(opts.Clock, outbound.Unguarded()),
		failed:         map[types.UID]map[string]bool{},
	}
	opts.Outbox.Handle(kind, n)
	return n, nil
}

// Send queues an alert for each of spec.analysis.alerts whose severity is not above that
// of the alert, or, for a canary without alerts, for the webhook of the flags.
func (n *Notifier) Send(a Alert) {
	c := a.Canary.DeepCopy()
	a.Canary = c
	about := notification{subject: c.Name + "." + c.Namespace, text: a.Message, severity: a.Severity, fields: n.fields(a)}
	if c.Spec.Analysis == nil || len(c.Spec.Analysis.Alerts) == 0 {
		if n.global != nil {
			n.enqueue(c, nil, about)
		}
		return
	}
	for _, alert := range c.Spec.Analysis.Alerts {
		if accepts(alert.Severity, a.Severity) {
			n.enqueue(c, &alert.ProviderRef, about)
		}
	}
}

// severityRanks orders severities. An alert without one takes all, as in Flagger.
var severityRanks = map[flaggerv1.AlertSeverity]int{
	"": 0, flaggerv1.SeverityInfo: 0, flaggerv1.SeverityWarn: 1, flaggerv1.SeverityError: 2,
}

// accepts reports whether an alert of spec.analysis.alerts with a minimum severity takes
// one of this severity.
func accepts(minimum, severity flaggerv1.AlertSeverity) bool {
	return severityRanks[severity] >= severityRanks[minimum]
}

func (n *Notifier) post(ctx context.Context, s service, e endpoint, about notification) error {
	message, err := s.message(e, about)
	if err != nil {
		return err
	}
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encoding the message: %w", err)
	}
	client := n.client
	if e.fromFlags {
		client = n.operatorClient
	}
	answer, err := client.Post(ctx, webhook.Message{
		URL: s.address(e), Body: body, Token: e.token, Proxy: e.proxy,
		Timeout: timeout, MaxSuccess: maxSuccessStatus, SecretPath: true,
		QuoteAnswer: e.fromFlags || isChatService(s.address(e)),
	})
	if err != nil {
		return err
	}
	return s.checkResponse(e, answer)
}

// report logs a failure, and calls Failed if the last delivery to the destination had not
// failed as well.
func (n *Notifier) report(c *flaggerv1.Canary, to destination, err error) {
	n.mu.Lock()
	reported := n.failed[c.UID][to.name]
	switch {
	case err == nil:
		delete(n.failed[c.UID], to.name)
	case n.failed[c.UID] == nil:
		if len(n.failed) >= maxFailed { // canaries that were deleted before their alert failed
			clear(n.failed)
		}
		n.failed[c.UID] = map[string]bool{to.name: true}
	default:
		n.failed[c.UID][to.name] = true
	}
	n.mu.Unlock()
	if err == nil {
		return
	}
	err = fmt.Errorf("sending an alert to %s: %w", to.name, err)
	n.opts.Log.Error(err, "sending an alert", "name", c.Name, "namespace", c.Namespace)
	if !reported && n.opts.Failed != nil {
		n.opts.Failed(c, err)
	}
}

// Forget drops what is kept of a canary that was deleted.
func (n *Notifier) Forget(uid types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.failed, uid)
}

// Dependency is an object that alerts are sent by. It need not exist.
type Dependency struct {
	schema.GroupVersionKind
	client.ObjectKey
}

// Findings are what [Notifier.Check] found.
type Findings struct {
	// On is what has to change for other findings.
	On []Dependency
	// Unheard names the fields and objects that keep alerts from being delivered; nil if nothing does.
	Unheard error
	// Unknown is why the API server did not tell of all alerts, for now; nil if it did.
	Unknown error
	// Refused reports whether something may not be read, which may change without a change of On.
	Refused bool
}

// Check finds what keeps alerts of a canary from being delivered, without sending
// anything. An API server that does not answer is no reason.
func (n *Notifier) Check(ctx context.Context, c *flaggerv1.Canary) (found Findings) {
	if c.Spec.Analysis == nil {
		return found
	}
	var unheard []string
	for i, alert := range c.Spec.Analysis.Alerts {
		to := n.destination(c.Namespace, alert.ProviderRef)
		if to.key.Name != "" {
			found.On = append(found.On, Dependency{flaggerv1.GroupVersion.WithKind(flaggerv1.AlertProviderKind), to.key})
		}
		_, e, err := to.resolve(ctx)
		if e.secret.Name != "" {
			found.On = append(found.On, Dependency{corev1.SchemeGroupVersion.WithKind("Secret"), e.secret})
		}
		found.Refused = found.Refused || apierrors.IsForbidden(err)
		if temporary := (*webhook.TemporaryError)(nil); errors.As(err, &temporary) {
			found.Unknown = fmt.Errorf("%s: %w", to.name, err)
		} else if err != nil {
			unheard = append(unheard, fmt.Sprintf("spec.analysis.alerts[%d].providerRef: alert %s is not sent: %s: %v", i, alert.Name, to.name, err))
		}
	}
	if over := len(unheard) - maxUnheard; over > 0 {
		unheard = append(unheard[:maxUnheard], fmt.Sprintf("and %d more", over))
	}
	if len(unheard) > 0 {
		found.Unheard = errors.New(strings.Join(unheard, "; "))
	}
	return found
}

// maxUnheard is how many alerts that nobody hears are told at once.
const maxUnheard = 3

// trimSpace is a value of a Secret without the line break that most files end in.
func trimSpace(value []byte) string { return strings.TrimSpace(string(value)) }
