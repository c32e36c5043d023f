// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/golden"
)

// TestTheTablesOfTheDocsSayWhatIsAsked writes what the queries ask the proxies of each provider.
func TestTheTablesOfTheDocsSayWhatIsAsked(t *testing.T) {
	checks := "| provider | requests | durations | of |\n|---|---|---|---|\n"
	counters := "| provider | requests of the canary | counts by |\n|---|---|---|\n"
	for _, row := range rowsOfDocs() {
		checks += row.checks(t)
		counters += row.counters(t)
	}
	const page = "../../docs/kinds/metrictemplate.md"
	golden.CompareBlock(t, page, "checks", checks)
	golden.CompareBlock(t, page, "counters", counters)
}

// docsRow are providers whose proxies are asked alike.
type docsRow struct {
	names []string
	of    provider.Provider
}

func rowsOfDocs() []docsRow {
	var rows []docsRow
	for _, name := range provider.WithQueries() {
		p, _ := provider.Named(name)
		at := slices.IndexFunc(rows, func(r docsRow) bool { return r.of.Queries == p.Queries && r.of.Implemented == p.Implemented })
		if at < 0 {
			rows, at = append(rows, docsRow{of: p}), len(rows)
		}
		rows[at].names = append(rows[at].names, "`"+name+"`")
	}
	return rows
}

// carrier stands for the cells of a provider whose API others implement.
func (r docsRow) carrier() string {
	return "as [who carries the route](#implementations-of-the-gateway-api), or as `" + r.of.Queries.Folder + "`"
}

func (r docsRow) String() string { return strings.Join(r.names, ", ") }

func (r docsRow) checks(t *testing.T) string {
	t.Helper()
	if r.of.Implemented {
		return fmt.Sprintf("| %s | %s | | |\n", r, r.carrier())
	}
	requests, _ := r.selectors(t, flaggerv1.RequestSuccessRate)
	durations, of := r.selectors(t, flaggerv1.RequestDuration)
	return fmt.Sprintf("| %s | %s | %s | %s |\n", r, requests, durations, r.spelt(of))
}

// spelt adds how the names of objects are spelt in labels.
func (r docsRow) spelt(of string) string {
	if r.of.Queries.Names == provider.Underscored {
		of += ", in names an underscore for all but letters and digits"
	}
	return of
}

// What PromQL has: selectors, and matchers of labels between their braces.
var (
	selectorPattern = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^{}]*)\}`)
	matcherPattern  = regexp.MustCompile(`[^\s,]+?(=~|!~|!=|=)"[^"]*"`)
)

// selectors are the counters that the query of a check reads, and the labels of which it reads them.
func (r docsRow) selectors(t *testing.T, check string) (names, of string) {
	t.Helper()
	query, err := queryIn(r.of.Queries, check)
	if err != nil {
		t.Fatal(err)
	}
	mean := check == flaggerv1.RequestDuration && !strings.Contains(query, "histogram_quantile(")
	var counters, labels []string
	for _, found := range selectorPattern.FindAllStringSubmatch(placeholders(query), -1) {
		name := found[1]
		if mean {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
		}
		counters = append(counters, "`"+name+"`")
		labels = append(labels, code(strings.Join(matcherPattern.FindAllString(found[2], -1), ", ")))
	}
	names = strings.Join(slices.Compact(counters), ", ")
	if len(counters) == 0 {
		t.Fatalf("%s: no counter in\n%s", r, query)
	}
	if mean {
		names = "**mean** of " + names
	}
	return names, strings.Join(slices.Compact(labels), " or ")
}

// placeholders are what is filled in, as docs have it.
func placeholders(text string) string {
	return regexp.MustCompile(`\{\{ ([a-z]+) \}\}`).ReplaceAllString(text, "<$1>")
}

// code is a text in a cell of a table.
func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

func (r docsRow) counters(t *testing.T) string {
	t.Helper()
	counted := counterTable[r.of.Queries.Folder]
	switch {
	case r.of.Implemented:
		return fmt.Sprintf("| %s | %s | |\n", r, r.carrier())
	case counted.noArms != "":
		return fmt.Sprintf("| %s | none: %s. Use a template that asks the pods | |\n", r, counted.noArms)
	}
	by := "`" + strings.Join(counted.pod, "` or `") + "`"
	if counted.sidecar {
		by += ", once for each sidecar"
	}
	return fmt.Sprintf("| %s | `%s` of %s | %s |\n", r, counted.requests, r.spelt(code(r.arm(t, counted))), by)
}

// arm are the labels that name the canary.
func (r docsRow) arm(t *testing.T, counted proxyCounters) string {
	t.Helper()
	v := templateVars{
		name: "<name>", namespace: "<namespace>", target: "<target>", service: "<service>", ingress: "<ingress>", route: "<route>",
		pods: "<pods>", kind: "<kind>", arm: string(counter.Canary), workload: "<target>",
	}
	text, err := render(t.Context(), specific(counted.arm, r.of.Queries), v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
