// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"strings"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/make"
)

func TestSpecInPlainWords(t *testing.T) {
	tests := map[string]struct {
		change func(*flaggerv1.Canary)
		want   []string
	}{
		"a canary": {func(*flaggerv1.Canary) {}, []string{
			"users come by Service podinfo, to podinfo-primary or podinfo-canary; provider gatewayapi:v1",
			"strategy canary: 20%, 40%, 60% of the users, 30s each",
			"metric request-success-rate: at least 99.00% over 1m",
			"metric queue: 1.00 to 5.00, by MetricTemplate apps/depth",
			"roll back after 3 failed checks, or at once when a metric is bad in 13 samples in a row, one every 5s",
		}},
		"many steps": {func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeight = 5 }, []string{
			"strategy canary: 5%, 10%, 15%, 20%, 25%, 30%, 35%, 40%, ..., 60% of the users, 30s each"}},
		"blue/green": {func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeight, c.Spec.Analysis.Iterations = 0, 5 }, []string{
			"strategy blue/green: 5 checks without users, 30s each"}},
		"A/B": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.StepWeight, c.Spec.Analysis.Iterations = 0, 5
			c.Spec.Analysis.Match = []flaggerv1.HTTPMatchRequest{{Headers: map[string]flaggerv1.StringMatch{"x-beta": {}}}}
		}, []string{"strategy A/B: users whom analysis.match selects (header x-beta), for 5 checks, 30s each"}},
		"unmeasured": {func(c *flaggerv1.Canary) { c.Spec.SkipAnalysis = true }, []string{
			"strategy promoted as soon as it is ready, unmeasured"}},
		"gates": {func(c *flaggerv1.Canary) {
			c.Annotations = map[string]string{flaggerv1.GatesAnnotation: "confirm-promotion"}
		}, []string{"gates confirm-promotion"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := make.Release(now)
			tc.change(c)
			var got []string
			for _, property := range report.HowItReleases(c) {
				got = append(got, property.Name+" "+property.Text)
			}
			for _, want := range tc.want {
				if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+want+"\n") {
					t.Errorf("%q is missing in\n%s", want, strings.Join(got, "\n"))
				}
			}
		})
	}
}

func TestAddressesOfWebhooksAreNotShown(t *testing.T) {
	c := make.Release(now)
	c.Spec.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "gate", Type: flaggerv1.ConfirmPromotionHook, URL: "http://u:secret@x/"}}
	for _, property := range report.HowItReleases(c) {
		if strings.Contains(property.Text, "secret") {
			t.Errorf("got %q", property.Text)
		}
	}
}
