// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/make"
)

func TestWhatAWebhookAnsweredLast(t *testing.T) {
	since := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	answer := func(code int, message string) flaggerv1.CanaryWebhookAnswer {
		return flaggerv1.CanaryWebhookAnswer{Since: metav1.NewTime(since), StatusCode: code, Message: message, Succeeded: message == ""}
	}
	forbidden, silent := answer(403, "answered 403 Forbidden"), answer(0, "no answer in time")
	for name, tc := range map[string]struct {
		hook    flaggerv1.HookType
		last    flaggerv1.CanaryWebhookAnswer
		failure *flaggerv1.CanaryWebhookAnswer
		want    report.Webhook
	}{
		"a check that passed": {hook: flaggerv1.RolloutHook, last: answer(0, ""), want: report.Webhook{State: "ready", Outcome: "passed"}},
		"a check that failed": {hook: flaggerv1.PreRolloutHook, last: forbidden,
			want: report.Webhook{State: "failed", Outcome: "failed", Message: "answered 403 Forbidden"}},
		"an answer that is quoted has its status, too": {hook: flaggerv1.RolloutHook, last: answer(500, "no such command"),
			want: report.Webhook{State: "failed", Outcome: "failed", Message: "answered 500: no such command"}},
		"a check that passed after it had failed": {hook: flaggerv1.RolloutHook, last: answer(0, ""), failure: &silent,
			want: report.Webhook{State: "ready", Outcome: "passed", LastFailure: &report.WebhookFailure{At: since, Message: "no answer in time"}}},
		"a gate that is open": {hook: flaggerv1.ConfirmRolloutHook, last: answer(0, ""), failure: &forbidden,
			want: report.Webhook{State: "ready", Outcome: "open"}},
		"a gate that is closed": {hook: flaggerv1.ConfirmPromotionHook, last: forbidden,
			want: report.Webhook{State: "waiting", Outcome: "closed", Message: "answered 403 Forbidden"}},
		"a gate that does not answer": {hook: flaggerv1.ConfirmTrafficIncreaseHook, last: silent,
			want: report.Webhook{State: "failed", Outcome: "closed", Message: "no answer in time"}},
		"one that is asked whether to roll back, and does not": {hook: flaggerv1.RollbackHook, last: forbidden,
			want: report.Webhook{State: "ready", Outcome: "no rollback", Message: "answered 403 Forbidden"}},
		"one that rolls back": {hook: flaggerv1.RollbackHook, last: answer(0, ""), failure: &forbidden,
			want: report.Webhook{State: "failed", Outcome: "rolls back"}},
		"one that is told events": {hook: flaggerv1.EventHook, last: answer(0, ""), want: report.Webhook{State: "ready", Outcome: "told"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := make.Release(since, func(c *flaggerv1.Canary) {
				c.Spec.Analysis.Webhooks = []flaggerv1.CanaryWebhook{{Name: "hook", Type: tc.hook, URL: "http://load.test/?token=hunter2"}}
				c.Status.Webhooks = []flaggerv1.CanaryWebhookStatus{{Type: tc.hook, Name: "hook", Last: tc.last, LastFailure: tc.failure}}
			})
			tc.want.Name, tc.want.Type, tc.want.Since = "hook", tc.hook, &since
			if diff := cmp.Diff([]report.Webhook{tc.want}, report.DescribeCanary(c, nil).Webhooks); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWebhooksThatFailedStandFirst(t *testing.T) {
	c := make.Release(time.Now(), func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Webhooks = []flaggerv1.CanaryWebhook{
			{Name: "new"}, {Name: "passes"}, {Name: "gate", Type: flaggerv1.ConfirmPromotionHook}, {Name: "fails"}}
		for _, w := range []struct {
			name   string
			hook   flaggerv1.HookType
			passes bool
		}{{"passes", flaggerv1.RolloutHook, true}, {"gate", flaggerv1.ConfirmPromotionHook, false}, {"fails", flaggerv1.RolloutHook, false}} {
			c.Status.Webhooks = append(c.Status.Webhooks, flaggerv1.CanaryWebhookStatus{Type: w.hook, Name: w.name,
				Last: flaggerv1.CanaryWebhookAnswer{Succeeded: w.passes, Since: metav1.Now(), StatusCode: 403}})
		}
	})
	var got []string
	for _, w := range report.DescribeCanary(c, nil).Webhooks {
		got = append(got, w.Name+" "+string(w.Type)+" "+w.Outcome)
	}
	want := []string{"fails rollout failed", "gate confirm-promotion closed", "new rollout not called yet", "passes rollout passed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
