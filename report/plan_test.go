// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		"less than the controller takes by default": {func(c *flaggerv1.Canary) { c.Spec.Analysis.Interval = "2s" }, []string{
			"strategy canary: 20%, 40%, 60% of the users, 10s each, or less where --canary-min-interval allows it (interval is 2s)"}},
		"unmeasured": {func(c *flaggerv1.Canary) { c.Spec.SkipAnalysis = true }, []string{
			"strategy promoted as soon as it is ready, unmeasured"}},
		"ten steps are all shown": {func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeight, c.Spec.Analysis.MaxWeight = 4, 40 }, []string{
			"strategy canary: 4%, 8%, 12%, 16%, 20%, 24%, 28%, 32%, 36%, 40% of the users, 30s each"}},
		"blue/green with copies of requests": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.StepWeight, c.Spec.Analysis.Iterations, c.Spec.Analysis.Mirror = 0, 5, true
		}, []string{"strategy blue/green: 5 checks with copies of the users' requests, 30s each"}},
		"copies of requests, then users": {func(c *flaggerv1.Canary) { c.Spec.Analysis.Mirror = true }, []string{
			"strategy canary: copies of requests, 20%, 40%, 60% of the users, 30s each"}},
		"one failed check is enough": {func(c *flaggerv1.Canary) { c.Spec.Analysis.Threshold = 1; c.Spec.Analysis.Metrics = nil }, []string{
			"roll back after 1 failed check"}},
		"sessions stay": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "seen", MaxAge: 90}
		}, []string{"sessions users stay on the version that they saw first, by cookie seen for 1m30s"}},
		"times have no empty units": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.Interval, c.Spec.Analysis.SessionAffinity = "1m", &flaggerv1.SessionAffinity{CookieName: "seen", MaxAge: 3600}
		}, []string{"strategy canary: 20%, 40%, 60% of the users, 1m each",
			"sessions users stay on the version that they saw first, by cookie seen for 1h"}},
		"a metric that may not rise": {func(c *flaggerv1.Canary) {
			most := 3.0
			c.Spec.Analysis.Metrics = []flaggerv1.CanaryMetric{{Name: "errors", Query: "q", Interval: "2m",
				ThresholdRange: &flaggerv1.CanaryThresholdRange{Max: &most}}}
		}, []string{"metric errors: at most 3.00 over 2m, by a query of its own"}},
		"webhooks say what they are for": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "gate", Type: flaggerv1.ConfirmPromotionHook, URL: "http://x/"}}
		}, []string{"webhook gate: holds a release before it is promoted"}},
		"promotion in steps": {func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeightPromotion = 25 }, []string{
			"promote users move to the promoted primary in steps of 25%"}},
		"alerts": {func(c *flaggerv1.Canary) {
			c.Spec.Analysis.Alerts = []flaggerv1.CanaryAlert{{Name: "on-call"}, {Name: "page", Severity: flaggerv1.SeverityError}}
			c.Spec.Analysis.Alerts[0].ProviderRef.Name, c.Spec.Analysis.Alerts[1].ProviderRef.Name = "on-call", "pager"
		}, []string{"alert on-call: from info on, by AlertProvider apps/on-call", "alert page: from error on, by AlertProvider apps/pager"}},
		"an autoscaler": {func(c *flaggerv1.Canary) {
			c.Spec.AutoscalerRef = &flaggerv1.AutoscalerReference{Kind: "HorizontalPodAutoscaler", Name: "podinfo"}
		}, []string{"autoscaler HorizontalPodAutoscaler podinfo"}},
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

// MetricTemplates and AlertProviders were words that led nowhere.
func TestWhatACanaryNamesIsToldAsAnObject(t *testing.T) {
	c := make.Release(now)
	c.Namespace = "apps"
	c.Spec.Analysis.Metrics = []flaggerv1.CanaryMetric{{Name: "error-rate", Query: "1"}, {
		Name: "depth", TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Namespace: "shop", Name: "queue"},
	}}
	c.Spec.Analysis.Alerts = []flaggerv1.CanaryAlert{{Name: "page", ProviderRef: flaggerv1.CrossNamespaceObjectReference{Name: "pager"}}}
	var got []report.ObjectReference
	for _, property := range report.HowItReleases(c) {
		if of := property.Object; of != nil {
			got = append(got, *of)
			if !strings.HasSuffix(property.Text, fmt.Sprintf("%s %s/%s", of.Kind, of.Namespace, of.Name)) {
				t.Errorf("%q does not end with %v", property.Text, of)
			}
		}
	}
	want := []report.ObjectReference{
		{Kind: "MetricTemplate", Namespace: "shop", Name: "queue"}, {Kind: "AlertProvider", Namespace: "apps", Name: "pager"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
