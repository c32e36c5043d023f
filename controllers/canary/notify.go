// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/hook"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/alert"
)

// notifier fans events out to all who want to hear of them: Kubernetes, webhooks of
// the type event, and chat rooms. What goes over the network is sent later. It keeps
// the last warnings of each canary, one a topic, until that is gone; after a restart it is said once
// more.
type notifier struct {
	events reconciler.Recorder
	hooks  *hook.Caller
	alerts *alert.Notifier
	// answers are those of webhooks that nobody waits for.
	answers *webhookAnswers

	mu       sync.Mutex
	warnings map[types.UID]map[topic]string
}

// topic is what a warning is about. Each has its own last one: two mistakes would
// otherwise take turns in being news.
type topic string

const (
	aboutCommand  topic = "command"
	aboutAlerts   topic = "alerts"
	aboutWorkload topic = "workload"
	aboutPorts    topic = "ports"
	aboutGateways topic = "gateways"
	aboutSpec     topic = "spec"
)

// newNotifier completes the options with the functions that record whether something was
// sent.
func newNotifier(
	events reconciler.Recorder, hooks hook.Options, alerts alert.Options, wake func(types.NamespacedName),
) (*notifier, error) {
	n := &notifier{events: events, answers: &webhookAnswers{wake: wake}, warnings: map[types.UID]map[topic]string{}}
	hooks.Notified, hooks.Answered, alerts.Failed = n.hookCalled, n.answers.note, n.alertFailed
	var err error
	if n.hooks, err = hook.New(hooks); err != nil {
		return nil, err
	}
	n.alerts, err = alert.New(alerts)
	return n, err
}

// Event implements [reconciler.Recorder].
func (n *notifier) Event(object client.Object, e reconciler.Event) {
	n.events.Event(object, e)
	c, ok := object.(*flaggerv1.Canary)
	if !ok {
		return
	}
	severity := flaggerv1.AlertSeverity(e.Metadata[flaggerv1.EventSeverity])
	n.hooks.Event(c, canary.Event{Warning: e.Type == corev1.EventTypeWarning, Message: e.Message, Alert: severity})
	if severity != "" {
		n.alerts.Send(alert.Alert{Canary: c, Severity: severity, Message: e.Message})
	}
}

// warnOnce sends an event about a mistake that does not keep the canary from working, unless
// the last one about the same topic said the same.
func (n *notifier) warnOnce(c *flaggerv1.Canary, about topic, err error) {
	n.mu.Lock()
	known := n.warnings[c.UID][about] == err.Error()
	if n.warnings[c.UID] == nil {
		n.warnings[c.UID] = map[topic]string{}
	}
	n.warnings[c.UID][about] = err.Error()
	n.mu.Unlock()
	if !known {
		n.Event(c, reconciler.Event{
			Type: corev1.EventTypeWarning, Reason: flaggerv1.InvalidSpecReason, Message: err.Error(), Advice: true,
		})
	}
}

// warnOfContention sends events about objects that somebody keeps changing back.
func (n *notifier) warnOfContention(c *flaggerv1.Canary, news []string) {
	for _, message := range news {
		n.Event(c, eventOf(c, canary.Event{Warning: true, Message: message, Alert: flaggerv1.SeverityWarn}))
	}
}

// call calls the webhooks of a type, and waits for them.
func (n *notifier) call(ctx context.Context, c *flaggerv1.Canary, hook flaggerv1.HookType) canary.Answer {
	return n.hooks.Call(ctx, c, hook, phaseFor(c, hook))
}

// phaseFor is the phase in the payload of webhooks during an analysis: the real one for
// those that gate the rollout or roll it back, and Progressing for the others.
func phaseFor(c *flaggerv1.Canary, hook flaggerv1.HookType) flaggerv1.CanaryPhase {
	if hook == flaggerv1.ConfirmRolloutHook || hook == flaggerv1.RollbackHook {
		return c.Status.Phase
	}
	return flaggerv1.CanaryPhaseProgressing
}

// hookCalled sends an event about the end of a hook that runs in the background.
func (n *notifier) hookCalled(c *flaggerv1.Canary, e canary.Event) { n.Event(c, eventOf(c, e)) }

// alertFailed sends an event about an alert that could not be delivered, which is not alerted
// in turn.
func (n *notifier) alertFailed(c *flaggerv1.Canary, err error) {
	n.events.Event(c, reconciler.Event{
		Type: corev1.EventTypeWarning, Reason: flaggerv1.EventAlertFailed, Message: err.Error(), Advice: true,
	})
}

func (n *notifier) forget(uid types.UID) {
	n.mu.Lock()
	delete(n.warnings, uid)
	n.mu.Unlock()
	n.answers.forget(uid)
	n.alerts.Forget(uid)
}
