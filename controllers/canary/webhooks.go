// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// webhookAnswers keeps the last answer of each webhook that nobody waits for, event and
// post-rollout, of canaries that were reconciled, until they are gone: the next reconcile
// records it in the status, and an answer that is another one than before starts that. A
// restart loses what was not recorded yet.
type webhookAnswers struct {
	wake func(types.NamespacedName)

	mu      sync.Mutex
	answers map[types.UID]map[webhookKey]canary.WebhookAnswer
}

// webhookKey tells the webhooks of a canary apart.
type webhookKey struct {
	hook flaggerv1.HookType
	name string
	nth  int
}

// isOf reports whether an analysis has the webhook.
func (k webhookKey) isOf(analysis *flaggerv1.CanaryAnalysis) bool {
	if analysis == nil {
		return false
	}
	count := 0
	for _, w := range analysis.Webhooks {
		if w.Type == k.hook && w.Name == k.name {
			count++
		}
	}
	return k.nth < count
}

func keyOf(said canary.WebhookAnswer) webhookKey { return webhookKey{said.Type, said.Name, said.Nth} }

// note keeps an answer. What is said to a canary that is gone is dropped.
func (a *webhookAnswers) note(of types.NamespacedName, uid types.UID, said canary.WebhookAnswer) {
	if a.isNews(uid, said) {
		a.wake(of)
	}
}

// isNews keeps an answer, and reports whether it is another one than before.
func (a *webhookAnswers) isNews(uid types.UID, said canary.WebhookAnswer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	answers, isThere := a.answers[uid]
	if !isThere {
		return false
	}
	before, isKnown := answers[keyOf(said)]
	answers[keyOf(said)] = said
	return !isKnown || before != said
}

// of is what the webhooks that a canary has said last. Those that it has no more are dropped.
func (a *webhookAnswers) of(c *flaggerv1.Canary) []canary.WebhookAnswer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answers == nil {
		a.answers = map[types.UID]map[webhookKey]canary.WebhookAnswer{}
	}
	if a.answers[c.UID] == nil {
		a.answers[c.UID] = map[webhookKey]canary.WebhookAnswer{}
	}
	maps.DeleteFunc(a.answers[c.UID], func(of webhookKey, _ canary.WebhookAnswer) bool {
		return !of.isOf(c.Spec.Analysis)
	})
	return slices.SortedFunc(maps.Values(a.answers[c.UID]), func(x, y canary.WebhookAnswer) int { return cmp.Compare(x.Nth, y.Nth) })
}

func (a *webhookAnswers) forget(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.answers, uid)
}

// recordWebhooks writes what webhooks said into the status, in memory.
func (r *statusRecorder) recordWebhooks(c *flaggerv1.Canary, seen *observed) {
	if c.Spec.Analysis == nil {
		c.Status.Webhooks = nil
		return
	}
	said := r.webhooks.of(c)
	for _, answer := range seen.Answers {
		said = append(said, answer.Said...)
	}
	c.Status.Webhooks = canary.WebhookStatuses(c.Spec.Analysis.Webhooks, c.Status.Webhooks, said, r.clock.Now())
}
