// Package metric measures a canary: it turns one entry of spec.analysis.metrics
// into one number.
//
// There are three kinds of entries. The builtin checks ask the questions that
// every HTTP service has an answer to, about the canary's pods alone:
//
//	request-success-rate   percent of requests whose status is not 5xx
//	request-duration       99th percentile, in milliseconds
//
// A templateRef names a MetricTemplate, which has a query of its own and says
// where to send it; query is the same inline. Queries are Go templates, so that
// one of them serves many canaries, see [vars]. Whether a number is good enough
// is decided elsewhere; a query that has no answer is [ErrNoValues], which most
// often means that the canary gets no traffic.
package metric

import (
	"context"
	"errors"
	"fmt"
	"math"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// ErrNoValues means that the query is fine and has no answer: an empty result,
// or NaN, which is what a division by no requests gives.
var ErrNoValues = errors.New("no values found")

// The builtin checks.
const (
	RequestSuccessRate = "request-success-rate"
	RequestDuration    = "request-duration"
)

// source answers queries.
type source interface {
	Query(ctx context.Context, query string) (float64, error)
}

// Checker measures metrics of canaries.
type Checker struct {
	client        client.Client
	metricsServer string
	clock         clock.PassiveClock
	transports    transports
}

// NewChecker returns a checker that reads MetricTemplates and their Secrets
// through c, and sends queries that name no server of their own to the
// Prometheus at the URL metricsServer. The clock times queries for the log.
func NewChecker(c client.Client, metricsServer string, clk clock.PassiveClock) *Checker {
	return &Checker{client: c, metricsServer: metricsServer, clock: clk, transports: newTransports()}
}

// Check measures one metric of a canary. What only an edit can repair is a
// terminal error that names the field; anything else is worth another try.
func (k *Checker) Check(ctx context.Context, c *flaggerv1.Canary, m flaggerv1.CanaryMetric) (float64, error) {
	plan, err := k.plan(ctx, c, m)
	if err != nil {
		return 0, err
	}
	query, err := render(plan.query, varsOf(c, m))
	if err != nil {
		return 0, reconcile.TerminalError(fmt.Errorf("%s: %w", plan.field, err))
	}
	start := k.clock.Now()
	value, err := plan.source.Query(ctx, query)
	log.FromContext(ctx).V(1).Info("measured metric", "metric", m.Name, "query", query, "value", value, "took", k.clock.Since(start).String())
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", m.Name, err)
	}
	return plan.scale(value), nil
}

// Supports looks for metrics that only an edit can make measurable, so that a
// release need not begin to find out. What may mend itself, such as a template
// that is not there yet, is no error.
func (k *Checker) Supports(ctx context.Context, c *flaggerv1.Canary) error {
	for _, m := range c.Spec.Analysis.Metrics {
		plan, err := k.plan(ctx, c, m)
		if err == nil {
			if _, err = render(plan.query, varsOf(c, m)); err != nil {
				err = reconcile.TerminalError(fmt.Errorf("%s: %w", plan.field, err))
			}
		}
		if errors.Is(err, reconcile.TerminalError(nil)) {
			return err
		}
	}
	return nil
}

// plan is how to measure one metric.
type plan struct {
	field  string // where the query was written, for errors
	query  string
	source source
	scale  func(float64) float64
}

func (k *Checker) plan(ctx context.Context, c *flaggerv1.Canary, m flaggerv1.CanaryMetric) (plan, error) {
	field := fmt.Sprintf("spec.analysis.metrics[%s]", m.Name)
	builtin, isBuiltin := builtins[m.Name]
	switch {
	case isBuiltin && (m.TemplateRef != nil || m.Query != ""):
		return plan{}, reconcile.TerminalError(fmt.Errorf("%s.name: it is that of a builtin check; a query of your own needs another", field))
	case m.TemplateRef != nil && m.Query != "":
		return plan{}, reconcile.TerminalError(fmt.Errorf("%s.query: cannot be combined with templateRef", field))
	case m.TemplateRef != nil:
		return k.template(ctx, c, field+".templateRef", m.TemplateRef)
	case !isBuiltin && m.Query == "":
		return plan{}, reconcile.TerminalError(fmt.Errorf("%s: it is no builtin check and has neither templateRef nor query", field))
	}
	server, err := k.server(c)
	if err != nil {
		return plan{}, err
	}
	if !isBuiltin {
		return plan{field: field + ".query", query: m.Query, source: server, scale: asIs}, nil
	}
	query, err := builtin.query(c.Spec.Provider)
	return plan{field: field, query: query, source: server, scale: builtin.scale}, err
}

// server is the Prometheus of a canary: its own, or the controller's.
func (k *Checker) server(c *flaggerv1.Canary) (source, error) {
	address, field := k.metricsServer, "--metrics-server"
	if c.Spec.MetricsServer != "" {
		address, field = c.Spec.MetricsServer, "spec.metricsServer"
	}
	p, err := newPrometheus(address, k.transports.verifying)
	if err != nil {
		return nil, reconcile.TerminalError(fmt.Errorf("%s: %w", field, err))
	}
	return p, nil
}

func asIs(v float64) float64 { return v }

// wholeMilliseconds drops the fraction, so that a threshold of 500 means what it
// has always meant to Flagger: 500.9 ms pass.
func wholeMilliseconds(seconds float64) float64 { return math.Trunc(seconds * 1000) }
