// SPDX-License-Identifier: Apache-2.0

// Package metric measures a canary: it turns one entry of spec.analysis.metrics
// into one number.
//
// There are three kinds of entries. The builtin checks ask the questions that
// every HTTP service has an answer to, about the canary alone:
//
//	request-success-rate   percent of requests whose status is not 5xx
//	request-duration       99th percentile, in milliseconds
//
// A templateRef names a MetricTemplate, which has a query of its own and says
// where to send it; query is the same inline. Queries are Go templates, so that
// one of them serves many canaries, see [templateVars]. Whether a number is good enough
// is decided elsewhere; a query that has no answer is [ErrNoValues], which most
// often means that the canary gets no traffic, and one with several answers is
// [ErrManySeries].
//
//	Prepare   reads MetricTemplate, Secret and target     once per stage
//	Measure   renders the query, asks, decodes            every few seconds
package metric

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/outbound"
)

var (
	// ErrNoValues means that the query is fine and has no answer: an empty result,
	// or NaN, which is what a division by no requests gives.
	ErrNoValues = errors.New("no values found")
	// ErrManySeries means that a query returned several series, so that nothing
	// says which of them is the value. Wrap it in sum() or the like.
	ErrManySeries = errors.New("more than one series found")
	// ErrInfinite means that a query divides by zero, or that its value is larger than
	// a number can be. Half of all ranges would let it pass.
	ErrInfinite = errors.New("the value is infinite")
)

// noValuesError is an [ErrNoValues] of which is known who was asked.
type noValuesError struct{ hint string }

func (e noValuesError) Error() string { return ErrNoValues.Error() + ": " + e.hint }

// Is makes it an [ErrNoValues].
func (noValuesError) Is(target error) bool { return target == ErrNoValues }

// NoValuesHint returns who was asked for a metric that has no values, and what may be missing there, in words for people. It
// is empty where the query and the provider say all.
func NoValuesHint(err error) string {
	var none noValuesError
	_ = errors.As(err, &none)
	return none.hint
}

// Checker measures metrics of canaries.
type Checker struct {
	client             client.Reader
	routes             client.Reader // of the Gateway API
	field              string        // of the list of metrics, in errors
	metricsServer      string
	provider           string
	sameNamespace      bool
	ownServer          string // the flag that names it
	api                *rest.Config
	clock              clock.Clock
	transports         *outbound.Transports
	operators          http.RoundTripper // for what the controller's flags name
	ambientCredentials *ambientCredentials
	checked            *checkedQueries
	lately             *recentlyCounted
	implementations    *lastImplementations
	guard              *outbound.Guard
	memory             *budget.Budget
}

// Option changes what a [Checker] assumes.
type Option func(*Checker)

// WithProvider names the router provider of canaries that name none, which the
// queries of the builtin checks depend on. Without it that is kubernetes.
func WithProvider(name string) Option {
	return func(k *Checker) { k.provider = name }
}

// WithoutCrossNamespaceRefs refuses MetricTemplates of other namespaces.
func WithoutCrossNamespaceRefs() Option {
	return func(k *Checker) { k.sameNamespace = true }
}

// WithOwnServer asks the checker's own server for the counters of MetricTemplates, too, without their credentials: who
// looks at a cluster from outside does not reach the addresses that hold inside. flag is what names the server, for errors.
func WithOwnServer(flag string) Option {
	return func(k *Checker) { k.ownServer = flag }
}

// WithRoutes reads routes of the Gateway API through r: they may be in another cluster than the targets.
func WithRoutes(r client.Reader) Option {
	return func(k *Checker) { k.routes = r }
}

// WithField says which field has the list of metrics, for errors. Without it that is
// the one of a Canary.
func WithField(field string) Option {
	return func(k *Checker) { k.field = field }
}

// WithAPIServer lets the provider externalmetrics ask the API server itself.
func WithAPIServer(cfg *rest.Config) Option {
	return func(k *Checker) { k.api = cfg }
}

// WithGuard decides where MetricTemplates and Canaries may point; the Prometheus of
// the controller's own flags may be anywhere.
func WithGuard(g *outbound.Guard) Option {
	return func(k *Checker) { k.guard = g }
}

// WithMemory bounds what all answers that are being read may hold.
func WithMemory(b *budget.Budget) Option {
	return func(k *Checker) { k.memory = b }
}

// NewChecker returns a checker that reads MetricTemplates, their Secrets and
// targets through c, and sends queries that name no server of their own to the
// Prometheus at the URL metricsServer. The clock says which time a query is about, and when to ask again what asks for that.
func NewChecker(c client.Reader, metricsServer string, clk clock.Clock, options ...Option) *Checker {
	k := &Checker{
		client: c, routes: c, field: "spec.analysis.metrics", metricsServer: metricsServer, provider: provider.Kubernetes, clock: clk,
		ambientCredentials: &ambientCredentials{}, checked: &checkedQueries{},
		lately: &recentlyCounted{}, implementations: &lastImplementations{},
	}
	for _, option := range options {
		option(k)
	}
	k.transports = outbound.NewTransports(k.guard)
	operators := outbound.Unguarded().Transport()
	k.transports.IdlePerHost, operators.MaxIdleConnsPerHost = idlePerHost, idlePerHost
	k.operators = operators
	return k
}

// idlePerHost is for a thousand canaries that ask the same server, and at the same time.
const idlePerHost = 32

// measureTimeout is for all that a measurement takes. Most of it is bounded by less;
// clouds may have to be asked for an identity first, though.
const measureTimeout = 20 * time.Second

// Measure measures one metric once. The window is the time that the query looks
// back, in whole seconds; zero is the metric's own interval. It may be called at
// any time, also by several goroutines at once.
type Measure func(ctx context.Context, window time.Duration) (float64, error)

// Prepare reads all that it takes to measure a metric of a canary, which is then
// measured as it was at this moment: with the query, the Secret and the revision of
// a Knative Service that there are now. Measuring reads nothing more, but for the
// partition of a StatefulSet, which moves. What only an edit can repair is a
// terminal error that names the field; anything else is worth another try.
func (k *Checker) Prepare(ctx context.Context, c *flaggerv1.Canary, m flaggerv1.CanaryMetric) (Measure, error) {
	p, err := k.prepared(ctx, c, m)
	if err != nil {
		return nil, err
	}
	if _, err := p.render(ctx, 0, k.clock.Now()); err != nil {
		return nil, err
	}
	return func(ctx context.Context, window time.Duration) (float64, error) { return k.measure(ctx, p, window) }, nil
}

// Check prepares a metric and measures it once, over its own interval.
func (k *Checker) Check(ctx context.Context, c *flaggerv1.Canary, m flaggerv1.CanaryMetric) (float64, error) {
	measure, err := k.Prepare(ctx, c, m)
	if err != nil {
		return 0, err
	}
	return measure(ctx, 0)
}

// Supports looks for metrics that cannot be measured, so that a release need not
// begin to find out. What only an edit can mend is a terminal error, and comes before
// what may mend itself, such as a template that is not there yet.
func (k *Checker) Supports(ctx context.Context, c *flaggerv1.Canary) error {
	if c.Spec.Analysis == nil {
		return nil
	}
	checks := c.Spec.Analysis.Checks()
	if len(checks) > maxMetrics {
		return reconcile.TerminalError(fmt.Errorf("%s: there are %d, and at most %d are measured", k.field, len(checks), maxMetrics))
	}
	var missing error
	for _, m := range checks {
		p, err := k.prepared(ctx, c, m)
		if err == nil {
			err = k.checked.check(ctx, p)
		}
		if errors.Is(err, reconcile.TerminalError(nil)) {
			return err
		}
		missing = cmp.Or(missing, err)
	}
	return missing
}

// maxMetrics is how many metrics a canary may have: all are measured at once.
const maxMetrics = 100

func (k *Checker) measure(ctx context.Context, p preparedQuery, window time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	grant, err := k.memory.Acquire(ctx, p.namespace, perReadByte*firstRead)
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", p.metric, err)
	}
	defer grant.Release()
	ctx = context.WithValue(ctx, grantKey{}, grant)
	start := k.clock.Now()
	q, err := p.render(ctx, window, start)
	if err != nil {
		return 0, err
	}
	value, err := p.source.Query(ctx, q)
	log.FromContext(ctx).V(1).Info("measured metric",
		"metric", p.metric, "query", q.text, "value", value, "took", k.clock.Since(start).String())
	if (errors.Is(err, ErrNoValues) || math.IsNaN(value)) && p.hint != "" {
		err = noValuesError{p.hint}
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("measuring %s: %w", p.metric, p.secrets.Error(p.fields.withField(err)))
	case math.IsNaN(value):
		return 0, fmt.Errorf("measuring %s: %w", p.metric, ErrNoValues)
	case math.IsInf(value, 0), math.IsInf(p.scale(value), 0):
		return 0, fmt.Errorf("measuring %s: %w", p.metric, p.fields.withField(ErrInfinite))
	default:
		return p.scale(value), nil
	}
}
