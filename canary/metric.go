// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// The built-in metrics, which have a unit.
const (
	successRate = flaggerv1.RequestSuccessRate // percent
	duration    = flaggerv1.RequestDuration    // milliseconds
)

// Metric is a number with a range of good values; both ends belong to it.
type Metric struct {
	Name     string
	Min, Max *float64
	// Interval is the window that the owner wants to be measured.
	Interval time.Duration
	// Decisive is the number of samples in a row outside the range that fail the release.
	Decisive int
	// Custom means that its query is the owner's, so that its unit is not known;
	// Inline, that this query is written in the Canary and not in a MetricTemplate.
	Custom, Inline bool
	// Window replaces Interval while it has to be shorter; see [SampleMetrics].
	Window time.Duration
}

// rangeOf is the range of good values. The deprecated threshold is a minimum for the
// built-in success rate and a maximum for anything else; a range comes first.
func rangeOf(m flaggerv1.CanaryMetric, custom bool) flaggerv1.CanaryThresholdRange {
	switch {
	case m.ThresholdRange != nil:
		return *m.ThresholdRange
	case m.Name == successRate && !custom:
		return flaggerv1.CanaryThresholdRange{Min: &m.Threshold}
	default:
		return flaggerv1.CanaryThresholdRange{Max: &m.Threshold}
	}
}

// newMetric reads the thresholds and the window.
func newMetric(m flaggerv1.CanaryMetric) (Metric, error) {
	metric := Metric{Name: m.Name, Custom: m.Query != "" || m.TemplateRef != nil, Inline: m.Query != ""}
	ends := rangeOf(m, metric.Custom)
	metric.Min, metric.Max = ends.Min, ends.Max
	interval := cmp.Or(m.Interval, flaggerv1.DefaultMetricInterval)
	var err error
	if metric.Interval, err = time.ParseDuration(interval); err != nil || metric.Interval <= 0 {
		return Metric{}, &Refused{fmt.Sprintf("spec.analysis.metrics[%s].interval", m.Name), fmt.Sprintf("%q is not a duration", interval)}
	}
	return metric, nil
}

// Measurement is the value of a metric, or why there is none.
type Measurement struct {
	Name   string
	Value  float64
	Custom bool // as in [Metric]
	// NoValues means that the query is fine and has no answer. Asked says in words then which server was asked, and what may
	// be missing there; empty is the server of the provider.
	NoValues bool
	Asked    string
	// Err is any other reason for having no value.
	Err string
}

// String is the value with its unit.
func (m Measurement) String() string {
	switch {
	case m.NoValues:
		return "no values"
	case m.Err != "":
		return "failed"
	case m.Name == successRate && !m.Custom:
		return fmt.Sprintf("%.2f%%", m.Value)
	case m.Name == duration && !m.Custom:
		return milliseconds(m.Value).String()
	default:
		return fmt.Sprintf("%.2f", m.Value)
	}
}

func milliseconds(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

// formatMeasurements lists measurements for an event, in parentheses.
func formatMeasurements(measured []Measurement) string {
	if len(measured) == 0 {
		return ""
	}
	parts := make([]string, 0, len(measured))
	for _, m := range measured {
		parts = append(parts, m.Name+" "+m.String())
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// failure says in Flagger's words why a measurement fails the check; empty is
// good. What is no number, or none that can be compared, is within no range.
func (n Names) failure(metric Metric, m Measurement) string {
	switch {
	case m.NoValues:
		return n.empty(metric, m)
	case m.Err != "":
		return broken(metric, m)
	case math.IsNaN(m.Value), math.IsInf(m.Value, 0):
		m.Err = "the value is infinite or no number"
		return broken(metric, m)
	}
	if sign, limit := metric.outOfRange(m.Value); sign != "" {
		return n.outside(m, sign, limit)
	}
	return ""
}

// outOfRange says which end of the range a value is beyond; the sign is empty if it is in
// the range.
func (m Metric) outOfRange(value float64) (sign string, limit float64) {
	return flaggerv1.CanaryThresholdRange{Min: m.Min, Max: m.Max}.Beyond(value)
}

func (m Metric) inRange(value float64) bool {
	sign, _ := m.outOfRange(value)
	return sign == ""
}

func (n Names) empty(metric Metric, m Measurement) string {
	switch {
	case metric.builtin():
		text := fmt.Sprintf("Halt advancement no values found for %s metric %s probably %s.%s is not receiving traffic",
			n.Provider, m.Name, n.Target, n.Namespace)
		return strings.TrimSuffix(text+"; "+m.Asked, "; ")
	case metric.Inline:
		return fmt.Sprintf("Halt advancement no values found for metric: %s", m.Name)
	default:
		return fmt.Sprintf("Halt advancement no values found for custom metric: %s", m.Name)
	}
}

func broken(metric Metric, m Measurement) string {
	switch {
	case metric.builtin():
		return "Prometheus query failed: " + m.Err
	case metric.Inline:
		return fmt.Sprintf("Prometheus query failed for %s: %s", m.Name, m.Err)
	default:
		return fmt.Sprintf("Metric query failed for %s: %s", m.Name, m.Err)
	}
}

func (m Metric) builtin() bool { return !m.Custom && (m.Name == successRate || m.Name == duration) }

func (n Names) outside(m Measurement, sign string, bound float64) string {
	name, limit := m.Name, fmt.Sprintf("%v", bound)
	switch {
	case m.Custom:
	case m.Name == successRate:
		name, limit = "success rate", fmt.Sprintf("%v%%", bound)
	case m.Name == duration:
		name, limit = "request duration", milliseconds(bound).String()
	}
	return fmt.Sprintf("Halt %s.%s advancement %s %s %s %s", n.Canary, n.Namespace, name, m, sign, limit)
}
