// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// querier answers queries, by any number of goroutines at once.
type querier interface {
	Query(ctx context.Context, q renderedQuery) (float64, error)
}

// renderedQuery is a query filled in, and the time that it is about.
type renderedQuery struct {
	text   string
	now    time.Time
	window time.Duration // before now, which the metric measures
}

// preparedQuery is how to measure one metric.
type preparedQuery struct {
	metric string
	// namespace is that of the canary.
	namespace string
	field     string // where the query was written, for errors
	fields    fields
	query     string
	// provider is the type of the server, which decides what parse takes.
	provider string
	parse    func(query string) error // nil takes any text
	vars     templateVars
	// pods matches the canary's pods at this moment; nil if vars has a pattern for
	// all times. Those of a StatefulSet become more with each step.
	pods    func(ctx context.Context) (string, error)
	window  time.Duration
	source  querier
	scale   func(float64) float64
	secrets *mask.Mask
	names   provider.Spelling // of label values in the query
	// hint is as in [asked].
	hint string
}

// render fills in the query. A query that cannot be filled in, or that its
// provider could never understand, only an edit repairs.
func (p preparedQuery) render(ctx context.Context, window time.Duration, now time.Time) (renderedQuery, error) {
	v := p.vars
	if p.pods != nil && strings.Contains(p.query, "pods") {
		var err error
		if v.pods, err = p.pods(ctx); err != nil {
			return renderedQuery{}, err
		}
	}
	return p.fill(ctx, v, window, now)
}

func (p preparedQuery) fill(ctx context.Context, v templateVars, window time.Duration, now time.Time) (renderedQuery, error) {
	if window <= 0 {
		window = p.window
	} else {
		seconds := int64((window + time.Second - 1) / time.Second)
		window, v.interval = time.Duration(seconds)*time.Second, fmt.Sprintf("%ds", seconds)
	}
	text, err := render(ctx, p.query, v)
	if err == nil && strings.TrimSpace(text) == "" {
		err = errors.New("the query is empty; write one that returns a single number")
	}
	if err == nil && p.parse != nil {
		err = p.parse(text)
	}
	if err != nil {
		return renderedQuery{}, reconcile.TerminalError(fmt.Errorf("%s: %w", p.field, err))
	}
	return renderedQuery{text: text, now: now, window: window}, nil
}

func (k *Checker) prepared(ctx context.Context, c *flaggerv1.Canary, m flaggerv1.CanaryMetric) (preparedQuery, error) {
	field := fmt.Sprintf("%s[%s]", k.field, m.Name)
	p, err := k.queryOf(ctx, c, field, m)
	if err != nil {
		return preparedQuery{}, err
	}
	p.metric, p.namespace = m.Name, c.Namespace
	if p.vars, err = k.vars(ctx, c, m); err != nil {
		return preparedQuery{}, err
	}
	if c.Spec.TargetRef.Kind == "StatefulSet" {
		key := client.ObjectKey{Namespace: c.Namespace, Name: c.Spec.TargetRef.Name}
		p.pods = func(ctx context.Context) (string, error) { return updatedPods(ctx, k.client, key) }
	}
	p.window, err = time.ParseDuration(p.vars.interval)
	if err != nil || p.window <= 0 {
		return preparedQuery{}, reconcile.TerminalError(fmt.Errorf("%s.interval: %q is not a duration such as 30s or 1m", field, p.vars.interval))
	}
	if p.names == provider.Underscored {
		p.vars = p.vars.underscored()
	}
	return p, nil
}

// queryOf tells the kinds of metrics apart.
func (k *Checker) queryOf(ctx context.Context, c *flaggerv1.Canary, field string, m flaggerv1.CanaryMetric) (preparedQuery, error) {
	if m.TemplateRef != nil {
		return k.template(ctx, c, field+".templateRef", m.TemplateRef)
	}
	if m.Query == "" && !m.Builtin() {
		return preparedQuery{}, reconcile.TerminalError(fmt.Errorf("%s: %q is no builtin check%s (%s are), and has neither templateRef nor query",
			field, m.Name, maybe(m.Name, flaggerv1.BuiltinMetrics), strings.Join(flaggerv1.BuiltinMetrics, " and ")))
	}
	p, err := k.server(c)
	if err != nil {
		return preparedQuery{}, err
	}
	if m.Query != "" {
		p.field, p.query, p.scale = field+".query", m.Query, asIs
		p.fields.query = p.field
		return p, nil
	}
	p.field = field
	if err := k.builtin(ctx, &p, c, m.Name); err != nil {
		return preparedQuery{}, err
	}
	return p, nil
}

// server is the Prometheus of a canary: its own, or the controller's.
func (k *Checker) server(c *flaggerv1.Canary) (preparedQuery, error) {
	address, field, transport := k.metricsServer, cmp.Or(k.ownServer, "--metrics-server, as spec.metricsServer names none"), k.operators
	if c.Spec.MetricsServer != "" {
		guarded, err := k.transports.For(outbound.Settings{})
		if err != nil {
			return preparedQuery{}, err
		}
		address, field, transport = c.Spec.MetricsServer, "spec.metricsServer", guarded
	}
	server, err := connectPrometheus(&connection{
		MetricTemplateProvider: flaggerv1.MetricTemplateProvider{Type: "prometheus", Address: address},
		client:                 newClient(transport, queryTimeout),
		checker:                k,
	})
	if err != nil {
		return preparedQuery{}, reconcile.TerminalError(fmt.Errorf("%s: %w", field, err))
	}
	return preparedQuery{source: configured{server, field}, secrets: newSecrets(nil, address)}, nil
}

// configured is a server that is named in one place, which errors name.
type configured struct {
	querier
	by string
}

// Query implements querier.
func (c configured) Query(ctx context.Context, q renderedQuery) (float64, error) {
	value, err := c.querier.Query(ctx, q)
	return value, c.named(err)
}

// vector implements vectorServer.
func (c configured) vector(ctx context.Context, query string, at time.Time) ([]byte, error) {
	server, ok := c.querier.(vectorServer)
	if !ok {
		return nil, fmt.Errorf("the server of %s has no vectors", c.by)
	}
	body, err := server.vector(ctx, query, at)
	return body, c.named(err)
}

// named adds whose server it is to an error of the network: there may be none at all.
func (c configured) named(err error) error {
	var network net.Error
	if errors.As(err, &network) {
		return fmt.Errorf("%w (the Prometheus of %s)", err, c.by)
	}
	return err
}

func asIs(v float64) float64 { return v }
