// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func TestACheckFailsWhateverSpeaksAgainstTheCanary(t *testing.T) {
	const (
		lowRate  = "Halt podinfo.test advancement success rate 50.00% < 99%"
		noValues = "Halt advancement no values found for custom metric: lag"
	)
	const objection = "Halt podinfo.test advancement external check gate failed 403 Forbidden"
	rate, lag := Metric{Name: successRate, Min: ptr.To(99.0)}, Metric{Name: "lag", Max: ptr.To(1.0), Custom: true}
	cut := lag
	cut.Window = 1
	good, bad := Measurement{Name: successRate, Value: 100}, Measurement{Name: successRate, Value: 50}
	low, none := Measurement{Name: "lag", Value: 1, Custom: true}, Measurement{Name: "lag", NoValues: true, Custom: true}
	webhook := func(a Answer) gates {
		return gates{hooks: map[flaggerv1.HookType]bool{rollout: true}, answers: map[flaggerv1.HookType]Answer{rollout: a}}
	}
	for name, tc := range map[string]struct {
		check check
		want  checkResult
	}{
		"nothing is measured": {check{}, checkResult{failures: []string{}}},
		"all metrics are in their range, whose ends belong to it": {
			check{metrics: []Metric{rate, lag}, measured: []Measurement{good, low}}, checkResult{failures: []string{"", ""}}},
		"one of two metrics is not": {
			check{
				metrics:  []Metric{rate, lag},
				measured: []Measurement{bad, low},
			}, checkResult{failures: []string{lowRate, ""}, warnings: []string{lowRate}}},
		"all that fails is told": {
			check{metrics: []Metric{rate, lag}, measured: []Measurement{bad, none}, webhooks: webhook(no)},
			checkResult{failures: []string{lowRate, noValues}, warnings: []string{objection, lowRate, noValues}}},
		"a webhook alone fails the check": {check{webhooks: webhook(no)}, checkResult{failures: []string{}, warnings: []string{objection}}},
		"a webhook that agrees does not":  {check{webhooks: webhook(yes)}, checkResult{failures: []string{}}},
		"no values in a short window say nothing yet": {
			check{metrics: []Metric{rate, cut}, measured: []Measurement{good, none}}, checkResult{failures: []string{"", ""}, early: true}},
		"and hide no other failure": {
			check{
				metrics:  []Metric{rate, cut},
				measured: []Measurement{bad, none},
			}, checkResult{failures: []string{lowRate, ""}, warnings: []string{lowRate}, early: true}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.check.names = names
			if diff := cmp.Diff(tc.want, tc.check.result(), cmp.AllowUnexported(checkResult{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
