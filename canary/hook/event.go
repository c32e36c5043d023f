// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"context"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// Keys of the metadata that describes an event. A webhook's own metadata does not
// replace them.
const (
	eventMessage = "eventMessage"
	eventType    = "eventType"
	timestamp    = "timestamp" // milliseconds, as text
)

// globalName is the name of the webhook that [Options.EventWebhook] amounts to.
const globalName = "events"

// Event notifies the event webhooks of a canary of what happened, later and in order.
// The message is made now: with the phase and the time of now.
func (k *Caller) Event(c *flaggerv1.Canary, e canary.Event) {
	receivers, client := hooks(c, flaggerv1.EventHook), k.client
	answered := k.answered
	if len(receivers) == 0 && k.opts.EventWebhook != "" {
		answered = func(*flaggerv1.Canary, canary.WebhookAnswer) {} // it is the operator's
		client, receivers = k.operators, []numbered{{CanaryWebhook: flaggerv1.CanaryWebhook{Name: globalName, URL: k.opts.EventWebhook}}}
	}
	of := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name, UID: c.UID}}
	for _, w := range receivers {
		log := k.opts.Log.WithValues("name", c.Name, "namespace", c.Namespace, "webhook", w.Name)
		m, err := message(c, w.CanaryWebhook, payload{phase: c.Status.Phase, metadata: k.eventMetadata(w.CanaryWebhook, e)})
		if err != nil {
			log.Error(err, "telling an event to a webhook")
			answered(of, answerOf(flaggerv1.EventHook, w, err))
			continue
		}
		k.enqueue(c, string(flaggerv1.EventHook)+"/"+w.Name, func(ctx context.Context) {
			_, err := client.Post(ctx, m)
			answered(of, answerOf(flaggerv1.EventHook, w, err))
			if err != nil {
				log.Error(err, "telling an event to a webhook")
			}
		})
	}
}

func (k *Caller) eventMetadata(w flaggerv1.CanaryWebhook, e canary.Event) map[string]string {
	metadata := map[string]string{}
	maps.Copy(metadata, w.Metadata)
	metadata[eventMessage] = e.Message
	metadata[eventType] = corev1.EventTypeNormal
	if e.Warning {
		metadata[eventType] = corev1.EventTypeWarning
	}
	metadata[timestamp] = strconv.FormatInt(k.opts.Clock.Now().UnixMilli(), 10)
	return metadata
}
