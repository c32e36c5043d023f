// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Webhook is a webhook of a Canary's analysis, with what it answered last. Its address is left
// out, since people put tokens into it.
type Webhook struct {
	// Name of the webhook.
	Name string `json:"name"`
	// Type says when it is called, such as pre-rollout.
	Type flaggerv1.HookType `json:"type"`
	// State is failed if it could not be asked, or speaks against the release; waiting if it keeps
	// a gate closed; unknown before it is called.
	State CellState `json:"state"`
	// Outcome is its last answer in a word or two: passed, failed, open, closed, told, no rollback.
	Outcome string `json:"outcome"`
	// Since is when it answered so first; left out before it is called.
	Since *time.Time `json:"since,omitempty"`
	// Message says what it answered if that is no success.
	Message string `json:"message,omitempty"`
	// LastFailure is its last answer that was no success, if the last one is; left out for gates and
	// rollback, which answer so as a rule.
	LastFailure *WebhookFailure `json:"lastFailure,omitempty"`
}

// WebhookFailure is an answer that was no success.
type WebhookFailure struct {
	// At is when it answered so first.
	At time.Time `json:"at"`
	// Message says what it answered.
	Message string `json:"message"`
}

// webhookOutcomes are the words for a success and for another answer, and what the latter means for
// the release. A rollback webhook is at rest when it answers no success.
var webhookOutcomes = map[flaggerv1.HookType]struct {
	success, refusal string
	refused          CellState
}{
	flaggerv1.RolloutHook:                {"passed", "failed", CellFailed},
	flaggerv1.PreRolloutHook:             {"passed", "failed", CellFailed},
	flaggerv1.PostRolloutHook:            {"passed", "failed", CellFailed},
	flaggerv1.EventHook:                  {"told", "failed", CellFailed},
	flaggerv1.ConfirmRolloutHook:         {"open", "closed", CellWaiting},
	flaggerv1.ConfirmPromotionHook:       {"open", "closed", CellWaiting},
	flaggerv1.ConfirmTrafficIncreaseHook: {"open", "closed", CellWaiting},
	flaggerv1.RollbackHook:               {"rolls back", "no rollback", CellReady},
}

// webhooksOf are the webhooks of an analysis, those that failed last first, then the gates that are closed.
func webhooksOf(c *flaggerv1.Canary) []Webhook {
	found := []Webhook{}
	if c.Spec.Analysis == nil {
		return found
	}
	for _, w := range c.Spec.Analysis.Webhooks {
		webhook := Webhook{Name: w.Name, Type: cmp.Or(w.Type, flaggerv1.RolloutHook), State: CellUnknown, Outcome: "not called yet"}
		for _, status := range c.Status.Webhooks {
			if status.Type == webhook.Type && status.Name == webhook.Name {
				webhook = webhook.after(status)
			}
		}
		found = append(found, webhook)
	}
	slices.SortStableFunc(found, func(a, b Webhook) int { return cmp.Compare(a.place(), b.place()) })
	return found
}

// place is that among the webhooks: the smaller, the further up.
func (w Webhook) place() int {
	switch w.State {
	case CellFailed:
		return 0
	case CellWaiting:
		return 1
	default:
		return 2
	}
}

// after is a webhook with what it answered.
func (w Webhook) after(status flaggerv1.CanaryWebhookStatus) Webhook {
	words, last := webhookOutcomes[w.Type], status.Last
	w.Since = &last.Since.Time
	if last.Succeeded {
		w.State, w.Outcome = CellReady, words.success
		if w.Type == flaggerv1.RollbackHook {
			w.State = CellFailed
		}
		if failure := status.LastFailure; failure != nil && (words.refused == CellFailed || failure.StatusCode == 0) {
			w.LastFailure = &WebhookFailure{At: failure.Since.Time, Message: answerText(*failure)}
		}
		return w
	}
	w.State, w.Outcome, w.Message = words.refused, words.refusal, answerText(last)
	if last.StatusCode == 0 { // nobody answered: nobody decided that
		w.State = CellFailed
	}
	return w
}

// answerText is what a webhook answered, with the status where the message is the body of the answer.
func answerText(a flaggerv1.CanaryWebhookAnswer) string {
	if answered := fmt.Sprintf("answered %d", a.StatusCode); a.StatusCode != 0 && !strings.HasPrefix(a.Message, answered) {
		return answered + ": " + a.Message
	}
	return a.Message
}
