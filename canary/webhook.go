// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// maxAnswerMessage is how many characters of an answer the status has.
const maxAnswerMessage = 1024

// WebhookStatuses is what the status says about the webhooks of a canary once some of them
// have said something: the previous statuses are of those that there were before. A webhook
// that says the same again leaves its status as it was, so that a gate that stays closed is
// written once, however often it is asked.
func WebhookStatuses(
	webhooks []flaggerv1.CanaryWebhook, previous []flaggerv1.CanaryWebhookStatus, said []WebhookAnswer, now time.Time,
) []flaggerv1.CanaryWebhookStatus {
	var all []flaggerv1.CanaryWebhookStatus
	for _, w := range webhooks {
		hook := cmp.Or(w.Type, flaggerv1.RolloutHook)
		sameName := func(s flaggerv1.CanaryWebhookStatus) bool { return s.Type == hook && s.Name == w.Name }
		if len(all) == flaggerv1.MaxWebhookStatuses || slices.ContainsFunc(all, sameName) {
			continue
		}
		status := flaggerv1.CanaryWebhookStatus{Type: hook, Name: w.Name}
		if i := slices.IndexFunc(previous, sameName); i >= 0 {
			status = *previous[i].DeepCopy()
		}
		if answer, ok := answerOf(status, said); ok {
			status = afterAnswer(status, answer, now)
		}
		if !status.Last.Since.IsZero() {
			all = append(all, status)
		}
	}
	return all
}

// answerOf is what those said together that share a status: the last refusal, or else the last answer. One after
// the other would be news each time if they do not agree.
func answerOf(status flaggerv1.CanaryWebhookStatus, said []WebhookAnswer) (answer WebhookAnswer, ok bool) {
	for _, s := range said {
		if s.Type == status.Type && s.Name == status.Name && (!ok || answer.Agreed || !s.Agreed) {
			answer, ok = s, true
		}
	}
	return answer, ok
}

// afterAnswer is the status of a webhook after one more answer.
func afterAnswer(status flaggerv1.CanaryWebhookStatus, said WebhookAnswer, now time.Time) flaggerv1.CanaryWebhookStatus {
	last := status.Last
	next := flaggerv1.CanaryWebhookAnswer{
		Succeeded: said.Agreed, Since: metav1.NewTime(now), StatusCode: said.Status, Message: shorten.Runes(said.Why, maxAnswerMessage, "..."),
	}
	known := !last.Since.IsZero()
	if known && last.Succeeded == next.Succeeded && last.StatusCode == next.StatusCode && last.Message == next.Message {
		return status
	}
	status.Last = next
	switch {
	case !next.Succeeded:
		status.LastFailure = nil
	case known && !last.Succeeded:
		status.LastFailure = &last
	}
	return status
}
