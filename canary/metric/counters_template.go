// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// templateCounters prepares the counters of a MetricTemplate.
func (k *Checker) templateCounters(ctx context.Context, c *flaggerv1.Canary, p *preparedCounters, m flaggerv1.CanaryMetric) error {
	tmpl, err := k.readTemplate(ctx, c, p.field+".templateRef", m.TemplateRef)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("MetricTemplate %s/%s", tmpl.Namespace, tmpl.Name)
	where := name + ": spec.counters"
	if tmpl.Spec.Counters == nil {
		return noCounters(p.field+".templateRef", where+" is missing, and query returns one number")
	}
	connected, err := k.templateServer(ctx, c, tmpl)
	if err != nil {
		return err
	}
	server, ok := connected.source.(vectorServer)
	if !ok {
		return fmt.Errorf("%s: provider %s has no vectors", where, tmpl.Spec.Provider.Type)
	}
	p.field, p.server, p.secrets, p.custom = where, server, connected.secrets, tmpl.Spec.Counters
	p.countedBy, p.counts = name, source(tmpl.Spec.Provider.Address, tmpl.Spec.Counters.Events, tmpl.Spec.Counters.Exposure)
	return nil
}

// templateServer is the server of a template.
func (k *Checker) templateServer(ctx context.Context, c *flaggerv1.Canary, tmpl *flaggerv1.MetricTemplate) (preparedQuery, error) {
	if k.ownServer != "" && tmpl.Spec.Provider.Type == "prometheus" {
		return k.server(c)
	}
	return k.connect(ctx, tmpl)
}

// rates are the functions of PromQL that turn counters into something else.
var rates = regexp.MustCompile(`\b(rate|irate|increase|delta|idelta|deriv)\s*\(`)

// customQuery asks for the counters of one arm by the queries of a MetricTemplate.
func customQuery(ctx context.Context, arm counter.Arm, v templateVars, c *flaggerv1.MetricTemplateCounters) (string, error) {
	events, err := customCounter(ctx, "events", c.Events, v)
	if err != nil {
		return "", err
	}
	exposure, err := customCounter(ctx, "exposure", c.Exposure, v)
	if err != nil {
		return "", err
	}
	parts := []string{labelled(arm, string(counter.Errors), events), labelled(arm, string(counter.Requests), exposure)}
	if scrapes, ok := scrapesOf(exposure); ok {
		parts = append(parts, labelled(arm, scrapeTime, scrapes))
	}
	return strings.Join(parts, "\nor\n"), nil
}

// A selector of series, and the two ways to write an aggregation of one.
const (
	quoted     = `"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`
	selector   = `[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:\{(?:[^{}"'` + "`" + `#]|` + quoted + `)*\})?`
	aggregator = `(?:sum|max|min)`
	grouping   = `(?:by|without)\s*\([a-zA-Z0-9_,\s]*\)`
)

const comment = `(?:#[^\n]*)?\s*`

var (
	aggregatedBefore = regexp.MustCompile(`^\(\s*` + aggregator + `\s+(` + grouping + `)\s*\(\s*(` + selector + `)\s*\)\s*` + comment + `\)$`)
	aggregatedAfter  = regexp.MustCompile(`^\(\s*` + aggregator + `\s*\(\s*(` + selector + `)\s*\)\s*(` + grouping + `)\s*` + comment + `\)$`)
	selected         = regexp.MustCompile(`^\(\s*(` + selector + `)\s*` + comment + `\)$`)
)

// scrapesOf is the query for when the processes of an exposure were scraped, by the same labels. Only a selector and an
// aggregation of one say that: timestamp() of anything else is the time of the query.
func scrapesOf(exposure string) (string, bool) {
	if found := aggregatedBefore.FindStringSubmatch(exposure); found != nil {
		return "max " + found[1] + " (timestamp(" + strings.TrimSpace(found[2]) + "))", true
	}
	if found := aggregatedAfter.FindStringSubmatch(exposure); found != nil {
		return "max " + found[2] + " (timestamp(" + strings.TrimSpace(found[1]) + "))", true
	}
	if found := selected.FindStringSubmatch(exposure); found != nil {
		return "timestamp(" + strings.TrimSpace(found[1]) + ")", true
	}
	return "", false
}

func customCounter(ctx context.Context, field, query string, v templateVars) (string, error) {
	text, err := render(ctx, query, v)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", field, err)
	case text == "":
		return "", fmt.Errorf("%s: it is empty; it has to return a counter for each pod", field)
	}
	if found := rates.FindStringSubmatch(text); found != nil {
		return "", fmt.Errorf("%s: it has %s(), and the judge needs the counters themselves, by pod", field, found[1])
	}
	return "(" + text + "\n)", nil // a comment may be last
}
