// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Labels that a query for counters gives to its answer.
const (
	armLabel   = "sluice_arm"
	classLabel = "sluice_class"
)

// scrapeTime is the class of samples that say when a process was scraped.
const scrapeTime = "scraped"

// nativeBounds are those that a native histogram, which has hundreds, is asked about, in
// seconds: twice as long each, so that a release that is slower at all is so at one of them.
var nativeBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// histogramForm is one of the two in which Prometheus has histograms: a native one may be one that it made of
// what was scraped as a classic one, of which nothing is left then (convert_classic_histograms_to_nhcb).
// See https://prometheus.io/docs/specs/native_histograms.
type histogramForm int

const (
	classicHistogram histogramForm = iota
	nativeHistogram
)

// wantedCounters are what a reading is to have.
type wantedCounters struct{ requests, durations bool }

// query asks for the counters of one arm; selector are the matchers of its labels. Sums are by process, which begins
// again at 0 as a whole, and rates are never asked for: the server would extrapolate them.
func (p proxyCounters) query(arm counter.Arm, selector string, of wantedCounters, form histogramForm) string {
	q := &armQuery{arm: arm, by: append([]string{"job", "instance"}, p.pod...)}
	histogram := p.requestsHistogram()
	switch {
	case of.requests && form == nativeHistogram && histogram != "":
		q.add(string(counter.Requests), "histogram_count(%s)", q.sum(histogram, selector))
		q.add(string(counter.Errors), "histogram_count(%s)", q.sum(histogram, selector, p.failed))
	case of.requests:
		q.add(string(counter.Requests), "%s", q.sum(p.requests, selector))
		q.add(string(counter.Errors), "%s", q.sum(p.requests, selector, p.failed))
	}
	switch {
	case of.durations && form == nativeHistogram:
		all := q.sum(p.durations, selector, p.timed)
		q.add(string(counter.Timed), "histogram_count(%s)", all)
		for _, bound := range nativeBounds {
			q.add(string(counter.Bucket), `label_replace(histogram_fraction(-Inf, %v, %s) * histogram_count(%s), "le", "%v", "", "")`,
				bound*p.unitsPerSecond(), all, all, bound*p.unitsPerSecond())
		}
	case of.durations: // the bucket of all durations is counter.Timed
		q.by = append(slices.Clone(q.by), "le")
		q.add(string(counter.Bucket), "%s", q.sum(p.durations+"_bucket", selector, p.timed))
		q.by = q.by[:len(q.by)-1]
	}
	name, extra := p.requests, ""
	switch {
	case !of.requests && form == nativeHistogram:
		name, extra = p.durations, p.timed
	case !of.requests:
		name, extra = p.durations+"_count", p.timed
	case form == nativeHistogram:
		name = cmp.Or(histogram, p.requests)
	}
	q.add(scrapeTime, "max by (%s) (timestamp(%s))", strings.Join(q.by, ", "), series(name, selector, extra))
	return strings.Join(q.parts, "\nor\n")
}

// requestsHistogram is the name of the histogram whose count are the requests; empty if a counter has them.
func (p proxyCounters) requestsHistogram() string {
	name, ok := strings.CutSuffix(p.requests, "_count")
	if !ok {
		return ""
	}
	return name
}

// unitsPerSecond is how many of the histogram's units a second has.
func (p proxyCounters) unitsPerSecond() float64 {
	if p.unit == provider.Milliseconds {
		return 1000
	}
	return 1
}

// armQuery is a query in the making.
type armQuery struct {
	arm   counter.Arm
	by    []string
	parts []string
}

func (q *armQuery) sum(name string, matchers ...string) string {
	return fmt.Sprintf("sum by (%s) (%s)", strings.Join(q.by, ", "), series(name, matchers...))
}

func (q *armQuery) add(class, format string, args ...any) {
	q.parts = append(q.parts, labelled(q.arm, class, fmt.Sprintf(format, args...)))
}

// labelled tells the samples of an expression from those of others.
func labelled(arm counter.Arm, class, expression string) string {
	return fmt.Sprintf(`label_replace(label_replace(%s, "%s", "%s", "", ""), "%s", "%s", "", "")`,
		expression, classLabel, class, armLabel, arm)
}

func series(name string, matchers ...string) string {
	matchers = slices.DeleteFunc(slices.Clone(matchers), func(m string) bool { return m == "" })
	return name + "{" + strings.Join(matchers, ", ") + "}"
}
