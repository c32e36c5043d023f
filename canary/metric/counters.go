// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/mask"
)

// Settling is how long before now a time should be that counters are read at: a scrape is dated when it begins, and
// known when it ends. Read earlier than that, a window may end a scrape later than it does when it is read again after
// a restart; nothing is counted twice or lost by it.
const Settling = time.Second

// Read reads the counters of both arms of a canary as they were at a time, which may be
// in the past: one instant query. A reading without samples is no error; [counter.Between] tells whose
// are missing. It may be called by several goroutines at once.
type Read func(ctx context.Context, at time.Time) (counter.Reading, error)

// ErrNoCounters means that nothing counts the arms of a canary apart, so that only its thresholds can
// judge it. The error says why, and what would.
var ErrNoCounters = errors.New("nothing counts the canary and its primary apart")

// PrepareCounters reads all that it takes to read the counters behind metrics of a canary: of the builtin
// checks, which are read together, or of one MetricTemplate with spec.counters. What only an edit can
// repair is a terminal error, as of [Checker.Prepare], and is [ErrNoCounters] if no counter of the metric exists.
//
// request-success-rate has requests and errors, request-duration the histogram, and a MetricTemplate its
// events as errors and its exposure as requests.
func (k *Checker) PrepareCounters(ctx context.Context, c *flaggerv1.Canary, metrics ...flaggerv1.CanaryMetric) (Read, error) {
	p, err := k.preparedCounters(ctx, c, metrics)
	if err != nil {
		return nil, err
	}
	for of := p; of != nil; of = of.otherwise {
		// Whatever cannot be filled in is found now.
		text, err := of.text(ctx, classicHistogram)
		if err != nil {
			return nil, err
		}
		if !movingArms(c) {
			of.classic = text
		}
	}
	if p.otherwise != nil {
		return k.readEither(client.ObjectKeyFromObject(c), p), nil
	}
	return p.read, nil
}

// JudgedMetrics are the metrics that have the counters which a judge compares; nil compares what all may.
func JudgedMetrics(j *flaggerv1.CanaryJudge) []flaggerv1.CanaryMetric {
	if j == nil {
		j = &flaggerv1.CanaryJudge{}
	}
	if j.TemplateRef != nil {
		return []flaggerv1.CanaryMetric{{Name: "judge", TemplateRef: j.TemplateRef}}
	}
	metrics := []flaggerv1.CanaryMetric{{Name: flaggerv1.RequestSuccessRate}}
	if slices.Contains(j.GetMetrics(), flaggerv1.JudgeLatency) {
		metrics = append(metrics, flaggerv1.CanaryMetric{Name: flaggerv1.RequestDuration})
	}
	return metrics
}

// preparedCounters is how to read counters.
type preparedCounters struct {
	metric, namespace, field string
	server                   vectorServer
	secrets                  *mask.Mask
	memory                   *budget.Budget
	vars                     func(ctx context.Context, arm counter.Arm) (templateVars, error)
	// counts names what is asked and where, for [counter.Reading]; countedBy and where do so for people, as in [asked].
	counts, countedBy, hint string
	// otherwise are asked if nothing is found; nil is nobody.
	otherwise *preparedCounters
	// one of these
	proxy  *proxyCounters
	wanted wantedCounters
	custom *flaggerv1.MetricTemplateCounters
	// classic is the query, if that of all times is the same, and native the one for a native histogram once
	// there was found to be one.
	classic string
	native  atomic.Pointer[string]
	// classicReadings is how many more readings only ask for the classic form, since there is no native one.
	classicReadings atomic.Int32
}

// readingsBetweenNativeQueries is how many readings without a histogram are taken before a native one is looked for again.
const readingsBetweenNativeQueries = 12

// vectorServer answers instant queries about any time by vectors.
type vectorServer interface {
	vector(ctx context.Context, query string, at time.Time) ([]byte, error)
}

func (k *Checker) preparedCounters(ctx context.Context, c *flaggerv1.Canary, metrics []flaggerv1.CanaryMetric) (*preparedCounters, error) {
	if len(metrics) == 0 {
		return nil, reconcile.TerminalError(fmt.Errorf("%s: there is none whose counters could be read", k.field))
	}
	first := metrics[0]
	field := fmt.Sprintf("%s[%s]", k.field, first.Name)
	p := &preparedCounters{namespace: c.Namespace, field: field, memory: k.memory}
	for _, m := range metrics {
		p.metric = strings.TrimPrefix(p.metric+" and "+m.Name, " and ")
		if len(metrics) > 1 && (m.TemplateRef != nil || m.Query != "") {
			return nil, reconcile.TerminalError(fmt.Errorf("%s[%s]: only builtin checks are read together", k.field, m.Name))
		}
	}
	var err error
	if p.vars, err = k.armVars(ctx, c, first); err != nil {
		return nil, err
	}
	switch {
	case first.TemplateRef != nil:
		return p, k.templateCounters(ctx, c, p, first)
	case first.Query != "":
		return nil, noCounters(field+".query", "an inline query returns one number; a MetricTemplate with spec.counters has counters")
	}
	return p, k.builtinCounters(ctx, c, p, metrics)
}

// source names what is asked, in a few characters; it may be kept in a status.
func source(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:6])
}

// noCounters is why there are none.
func noCounters(field, why string) error {
	return reconcile.TerminalError(fmt.Errorf("%s: %w: %s", field, ErrNoCounters, why))
}

func (k *Checker) builtinCounters(ctx context.Context, c *flaggerv1.Canary, p *preparedCounters, metrics []flaggerv1.CanaryMetric) error {
	for _, m := range metrics {
		switch m.Name {
		case flaggerv1.RequestSuccessRate:
			p.wanted.requests = true
		case flaggerv1.RequestDuration:
			p.wanted.durations = true
		default:
			return reconcile.TerminalError(fmt.Errorf("%s[%s]: %q is no builtin check%s", k.field, m.Name, m.Name,
				maybe(m.Name, flaggerv1.BuiltinMetrics)))
		}
	}
	ask, err := k.asked(ctx, c)
	if err != nil {
		return err
	}
	server, err := k.server(c)
	if err != nil {
		return err
	}
	var ok bool
	p.countedBy, p.hint, p.secrets = ask.countedBy, ask.hint, server.secrets
	p.server, ok = server.source.(vectorServer)
	if !ok {
		return fmt.Errorf("%s: the server has no vectors", p.field)
	}
	if ask.otherwise.Folder != "" {
		p.otherwise = &preparedCounters{metric: p.metric, namespace: p.namespace, field: p.field, server: p.server,
			secrets: p.secrets, memory: p.memory, vars: p.vars, countedBy: podsCount, hint: p.hint, wanted: p.wanted}
		if err := p.otherwise.askProxy(c, ask.otherwise); err != nil {
			return err
		}
	}
	return p.askProxy(c, ask.Queries)
}

// askProxy is about what one kind of proxies counts.
func (p *preparedCounters) askProxy(c *flaggerv1.Canary, ask provider.Queries) error {
	counters, ok := counterTable[ask.Folder]
	switch {
	case !ok:
		return noCounters(p.field, fmt.Sprintf("no counters of %s are known; a MetricTemplate with spec.counters can name them", ask.Folder))
	case counters.noArms != "":
		return noCounters(p.field, counters.noArms+"; a MetricTemplate with spec.counters can ask the pods")
	}
	counters.arm = specific(counters.arm, ask)
	p.proxy, p.counts = &counters, source("builtin checks", ask.Folder, ask.Backend, ask.Reporter, c.Spec.MetricsServer)
	if ask.Names == provider.Underscored {
		vars := p.vars
		p.vars = func(ctx context.Context, arm counter.Arm) (templateVars, error) {
			v, err := vars(ctx, arm)
			return v.underscored(), err
		}
	}
	return nil
}

// text is the query for both arms.
func (p *preparedCounters) text(ctx context.Context, form histogramForm) (string, error) {
	var parts []string
	for _, arm := range []counter.Arm{counter.Canary, counter.Primary} {
		v, err := p.vars(ctx, arm)
		if err != nil {
			return "", err
		}
		part, err := p.armText(ctx, arm, v, form)
		if err != nil {
			return "", reconcile.TerminalError(fmt.Errorf("%s: %w", p.field, err))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "\nor\n"), nil
}

func (p *preparedCounters) armText(ctx context.Context, arm counter.Arm, v templateVars, form histogramForm) (string, error) {
	if p.custom != nil {
		return customQuery(ctx, arm, v, p.custom)
	}
	selector, err := render(ctx, p.proxy.arm, v)
	if err != nil {
		return "", err
	}
	return p.proxy.query(arm, selector, p.wanted, form), nil
}

// read asks once, or twice while nobody knows which form a histogram has.
func (p *preparedCounters) read(ctx context.Context, at time.Time) (counter.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	at = at.Truncate(time.Millisecond).UTC() // what a server can tell apart
	if native := p.native.Load(); native != nil {
		return p.askAgain(ctx, at, *native, nativeHistogram)
	}
	r, err := p.askAgain(ctx, at, p.classic, classicHistogram)
	if err != nil || !p.mayBeNative() || p.complete(r) || len(r.Samples) > 0 && p.classicReadings.Add(-1) >= 0 {
		return r, err
	}
	return p.askNative(ctx, at, r)
}

// askNative asks for the native form, and returns the reading of the classic one if there is none. A server that does
// not answer says nothing about that: a reading of the other form would have other counters.
func (p *preparedCounters) askNative(ctx context.Context, at time.Time, classic counter.Reading) (counter.Reading, error) {
	text, err := p.text(ctx, nativeHistogram)
	if err != nil {
		return counter.Reading{}, err
	}
	r, err := p.ask(ctx, at, text, nativeHistogram)
	switch {
	case err == nil && p.complete(r):
		p.native.Store(&text)
		return r, nil
	case err == nil, cannotAnswer(err):
		p.classicReadings.Store(readingsBetweenNativeQueries)
		return classic, nil
	default:
		return counter.Reading{}, err
	}
}

// cannotAnswer reports whether a server knows no native histograms: it takes their functions for a mistake.
func cannotAnswer(err error) bool {
	var answered statusError
	return errors.As(err, &answered) && (answered.status == http.StatusBadRequest || answered.status == http.StatusUnprocessableEntity)
}

// mayBeNative reports whether a native histogram has what is wanted.
func (p *preparedCounters) mayBeNative() bool {
	return p.proxy != nil && (p.wanted.durations || p.proxy.requestsHistogram() != "")
}

// askAgain asks what was asked before, unless the pods are others by now.
func (p *preparedCounters) askAgain(ctx context.Context, at time.Time, text string, form histogramForm) (counter.Reading, error) {
	if p.classic == "" {
		var err error
		if text, err = p.text(ctx, form); err != nil {
			return counter.Reading{}, err
		}
	}
	return p.ask(ctx, at, text, form)
}

// complete reports whether a reading has what a histogram of the other form would have.
func (p *preparedCounters) complete(r counter.Reading) bool {
	wanted := counter.Requests
	if p.wanted.durations {
		wanted = counter.Timed
	}
	return slices.ContainsFunc(r.Samples, func(s counter.Sample) bool { return s.Class == wanted })
}

func (p *preparedCounters) ask(ctx context.Context, at time.Time, text string, form histogramForm) (counter.Reading, error) {
	grant, err := p.memory.Acquire(ctx, p.namespace, perReadByte*firstRead)
	if err != nil {
		return counter.Reading{}, fmt.Errorf("reading the counters of %s: %w", p.metric, err)
	}
	defer grant.Release()
	ctx = context.WithValue(context.WithValue(ctx, grantKey{}, grant), limitKey{}, maxCounters)
	body, err := p.server.vector(ctx, text, at)
	var r counter.Reading
	if err == nil {
		r, err = p.answer(at).reading(body)
		r.Source, r.CountedBy, r.Hint = p.counts, p.countedBy, p.hint
		if form == nativeHistogram { // which has other bounds
			r.Source = source(p.counts, "native")
		}
	}
	if err != nil {
		return counter.Reading{}, fmt.Errorf("reading the counters of %s: %w", p.metric, p.secrets.Error(err))
	}
	return r, nil
}

func (p *preparedCounters) answer(at time.Time) countersAnswer {
	if p.custom != nil {
		return countersAnswer{time: at, pod: scrapedPod, unitsPerSecond: 1, podRequired: true}
	}
	return countersAnswer{time: at, pod: p.proxy.pod, unitsPerSecond: p.proxy.unitsPerSecond(), sidecar: p.proxy.sidecar}
}
