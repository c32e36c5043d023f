// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func TestWhatTheStatusSaysAboutWebhooks(t *testing.T) {
	earlier, later := metav1.NewTime(noon.Add(-time.Hour)), metav1.NewTime(noon)
	load := flaggerv1.CanaryWebhook{Name: "load"} // no type is rollout
	gate := flaggerv1.CanaryWebhook{Name: "gate", Type: confirmPromotion}
	passes := flaggerv1.CanaryWebhookAnswer{Succeeded: true, Since: earlier}
	fails := flaggerv1.CanaryWebhookAnswer{Since: earlier, StatusCode: 503, Message: "answered 503 Service Unavailable"}
	status := func(last flaggerv1.CanaryWebhookAnswer, failure *flaggerv1.CanaryWebhookAnswer) []flaggerv1.CanaryWebhookStatus {
		return []flaggerv1.CanaryWebhookStatus{{Type: rollout, Name: "load", Last: last, LastFailure: failure}}
	}
	yes := WebhookAnswer{Type: rollout, Name: "load", Agreed: true}
	no := WebhookAnswer{Type: rollout, Name: "load", Why: fails.Message, Status: 503}
	for name, tc := range map[string]struct {
		webhooks []flaggerv1.CanaryWebhook
		previous []flaggerv1.CanaryWebhookStatus
		said     []WebhookAnswer
		want     []flaggerv1.CanaryWebhookStatus
	}{
		"one that was never called is not there": {webhooks: []flaggerv1.CanaryWebhook{load, gate}},
		"the first answer": {webhooks: []flaggerv1.CanaryWebhook{load}, said: []WebhookAnswer{yes},
			want: status(flaggerv1.CanaryWebhookAnswer{Succeeded: true, Since: later}, nil)},
		"an answer as before keeps its time": {webhooks: []flaggerv1.CanaryWebhook{load}, previous: status(fails, nil),
			said: []WebhookAnswer{no}, want: status(fails, nil)},
		"a failure stays known after a success": {webhooks: []flaggerv1.CanaryWebhook{load}, previous: status(fails, nil),
			said: []WebhookAnswer{yes}, want: status(flaggerv1.CanaryWebhookAnswer{Succeeded: true, Since: later}, &fails)},
		"another success keeps it": {webhooks: []flaggerv1.CanaryWebhook{load}, previous: status(passes, &fails),
			said: []WebhookAnswer{yes}, want: status(passes, &fails)},
		"the next failure is the last one": {webhooks: []flaggerv1.CanaryWebhook{load}, previous: status(passes, &fails),
			said: []WebhookAnswer{no},
			want: status(flaggerv1.CanaryWebhookAnswer{Since: later, StatusCode: 503, Message: fails.Message}, nil)},
		"another failure is news": {webhooks: []flaggerv1.CanaryWebhook{load}, previous: status(fails, nil),
			said: []WebhookAnswer{{Type: rollout, Name: "load", Why: "no answer in time"}},
			want: status(flaggerv1.CanaryWebhookAnswer{Since: later, Message: "no answer in time"}, nil)},
		"one that was not asked now stays": {webhooks: []flaggerv1.CanaryWebhook{gate, load}, previous: status(passes, nil),
			want: status(passes, nil)},
		"one that the spec has no more is gone": {webhooks: []flaggerv1.CanaryWebhook{gate}, previous: status(passes, nil)},
		"one of another type is another one": {webhooks: []flaggerv1.CanaryWebhook{{Name: "load", Type: preRollout}},
			previous: status(passes, nil), said: []WebhookAnswer{yes}},
		"of two of one name and type that do not agree, the refusal counts": {webhooks: []flaggerv1.CanaryWebhook{load, load},
			previous: status(fails, nil), said: []WebhookAnswer{yes, no}, want: status(fails, nil)},
		"also if it comes first": {webhooks: []flaggerv1.CanaryWebhook{load, load},
			previous: status(fails, &passes), said: []WebhookAnswer{no, yes}, want: status(fails, &passes)},
		"two of one name and type are one": {webhooks: []flaggerv1.CanaryWebhook{load, load}, said: []WebhookAnswer{yes},
			want: status(flaggerv1.CanaryWebhookAnswer{Succeeded: true, Since: later}, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, WebhookStatuses(tc.webhooks, tc.previous, tc.said, noon)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheStatusOfWebhooksIsBounded(t *testing.T) {
	var webhooks []flaggerv1.CanaryWebhook
	var said []WebhookAnswer
	for i := range flaggerv1.MaxWebhookStatuses + 1 {
		webhooks = append(webhooks, flaggerv1.CanaryWebhook{Name: fmt.Sprint(i)})
		said = append(said, WebhookAnswer{Type: rollout, Name: fmt.Sprint(i), Why: strings.Repeat("ü", 2000)})
	}
	all := WebhookStatuses(webhooks, nil, said, noon)
	if len(all) != flaggerv1.MaxWebhookStatuses {
		t.Errorf("%d statuses", len(all))
	}
	if n := len([]rune(all[0].Last.Message)); n != maxAnswerMessage {
		t.Errorf("a message of %d characters", n)
	}
}
