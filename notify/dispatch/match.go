// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// SourceIndex is the index of Alerts by the kinds and namespaces of their sources.
const SourceIndex = "sluice.dev/event-sources"

// IndexSources returns the values of [SourceIndex] for an Alert.
func IndexSources(obj client.Object) []string {
	alert, ok := obj.(*v1beta3.Alert)
	if !ok {
		return nil
	}
	var values []string
	for _, s := range alert.Spec.EventSources {
		namespace := s.Namespace
		if namespace == "" {
			namespace = alert.Namespace
		}
		values = append(values, s.Kind+"/"+namespace)
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// alerts are those with a source of the kind and namespace of an event's object.
func (d *Dispatcher) alerts(ctx context.Context, e message.Event) ([]v1beta3.Alert, error) {
	var list v1beta3.AlertList
	value := e.InvolvedObject.Kind + "/" + e.InvolvedObject.Namespace
	if err := d.opts.Client.List(ctx, &list, client.MatchingFields{SourceIndex: value}); err != nil {
		return nil, fmt.Errorf("listing alerts: %w", err)
	}
	return list.Items, nil
}

// mayBeSelected reports whether there is an Alert that might select an event. A cache that
// cannot say yet counts as yes.
func (d *Dispatcher) mayBeSelected(ctx context.Context, e message.Event) bool {
	alerts, err := d.alerts(ctx, e)
	return err != nil || slices.ContainsFunc(alerts, func(a v1beta3.Alert) bool { return d.concerns(a, e) })
}

// concerns reports whether a source of an Alert names the object of an event, and is allowed
// to. Other events are not even matched with its expressions and labels: by trying many of
// them, their author would learn what is in another namespace.
func (d *Dispatcher) concerns(a v1beta3.Alert, e message.Event) bool {
	if d.opts.NoCrossNamespaceRefs && e.InvolvedObject.Namespace != a.Namespace {
		return false
	}
	return !a.Spec.Suspend && message.Severe(a.Spec.EventSeverity, e) &&
		slices.ContainsFunc(a.Spec.EventSources, func(s v1beta3.EventSource) bool { return message.Selects(s, a.Namespace, e) })
}

// matching is one attempt at an event. It reads while it looks at Alerts, and keeps what is
// to be done for the end, in the field then.
type matching struct {
	dispatcher *Dispatcher
	id         string // of the event's entry
	event      message.Event
	then       []func()
	// object is what is known of the labels of the event's object, once they were asked for.
	object *labelled
}

// labelled is what reading the labels of an object came to.
type labelled struct {
	labels map[string]string
	err    error
}

// done does what the Alerts have come to.
func (m *matching) done() {
	for _, do := range m.then {
		do()
	}
}

// match makes a message for an Alert that selects the event. An error is a temporary one,
// after which nothing is left to be done.
func (m *matching) match(ctx context.Context, alert *v1beta3.Alert) error {
	before := len(m.then)
	selected, err := m.selects(ctx, alert)
	if err == nil && selected {
		err = m.address(ctx, alert)
	}
	if err != nil {
		m.then = m.then[:before]
	}
	return err
}

// matchLater has the event matched with one Alert later.
func (m *matching) matchLater(alert *v1beta3.Alert) {
	receiver, order := m.laneOf(alert)
	m.put(alert, outbox.Entry{Kind: kindAlert, Receiver: receiver, Order: order},
		alertEntry{ID: m.id, Event: m.event, Alert: named{alert.Namespace, alert.Name, alert.UID}})
}

// waits reports whether an Alert has still to be matched with an event of the same object.
func (m *matching) waits(alert *v1beta3.Alert) bool {
	return m.dispatcher.opts.Outbox.Waits(m.laneOf(alert))
}

// laneOf names the receiver, and the order, in which an Alert is matched with events of an object
// later. All Alerts of a namespace are one receiver: they wait for one another.
func (m *matching) laneOf(alert *v1beta3.Alert) (receiver, order string) {
	return "alert/" + alert.Namespace, alert.Name + "/" + about(m.event)
}

// warn records an event of an Alert once all Alerts have been looked at.
func (m *matching) warn(alert *v1beta3.Alert, reason, format string, args ...any) {
	m.then = append(m.then, func() { m.dispatcher.warn(alert, reason, format, args...) })
}

// enqueue queues an entry for an Alert once all Alerts have been looked at. If the outbox has no
// room for it, the others are queued all the same.
func (m *matching) enqueue(alert *v1beta3.Alert, kind, receiver string, of any, replaces string) {
	m.put(alert, outbox.Entry{Kind: kind, Receiver: receiver, Order: about(m.event), Replaces: replaces}, of)
}

// put completes an entry, and queues it once all Alerts have been looked at.
func (m *matching) put(alert *v1beta3.Alert, entry outbox.Entry, of any) {
	m.then = append(m.then, func() {
		body, err := json.Marshal(of)
		if err == nil {
			entry.ID, entry.Namespace, entry.Body = entry.Kind+"/"+digest(m.id+"\x00"+string(alert.UID)), alert.Namespace, body
			err = m.dispatcher.opts.Outbox.Put(entry)
		}
		if err != nil {
			m.dispatcher.warn(alert, v1beta3.DispatchFailedReason, "failed to send notification for %s: %s", about(m.event), err)
		}
	})
}

// selects reports whether an Alert selects the event.
func (m *matching) selects(ctx context.Context, alert *v1beta3.Alert) (bool, error) {
	if !m.dispatcher.concerns(*alert, m.event) {
		return false, nil
	}
	f, err := m.dispatcher.filterOf(alert)
	if err == nil {
		err = checkMetadata(alert.Spec)
	}
	if err != nil {
		m.warn(alert, v1beta3.ValidationFailedReason, "%s", err)
		return false, nil
	}
	if !f.admits(m.event.Message) {
		return false, nil
	}
	for _, source := range alert.Spec.EventSources {
		if !message.Selects(source, alert.Namespace, m.event) {
			continue
		}
		matches, err := m.hasLabels(ctx, alert, source)
		if matches || err != nil {
			return matches, err
		}
	}
	return false, nil
}

// hasLabels reports whether the object of the event has the labels of a source.
func (m *matching) hasLabels(ctx context.Context, alert *v1beta3.Alert, source v1beta3.EventSource) (bool, error) {
	if len(source.MatchLabels) == 0 {
		return true, nil
	}
	found := m.labels(ctx)
	switch err := found.err; {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err), apimeta.IsNoMatchError(err):
		m.warn(alert, v1beta3.SourceFailedReason, "error getting source object %s: %s", about(m.event), err)
		return false, nil
	case err != nil:
		return false, &outbox.Temporary{Err: fmt.Errorf("reading the labels of %s: %w", about(m.event), err)}
	}
	for key, value := range source.MatchLabels {
		if got, ok := found.labels[key]; !ok || got != value {
			return false, nil
		}
	}
	return true, nil
}

// labels reads those of the object of the event, once for all Alerts.
func (m *matching) labels(ctx context.Context) labelled {
	if m.object == nil {
		var object metav1.PartialObjectMetadata
		object.SetGroupVersionKind(m.event.InvolvedObject.GroupVersionKind())
		key := client.ObjectKey{Namespace: m.event.InvolvedObject.Namespace, Name: m.event.InvolvedObject.Name}
		err := m.dispatcher.opts.Live.Get(ctx, key, &object)
		m.object = &labelled{object.Labels, err}
	}
	return *m.object
}

// address makes a message for the Provider of an Alert, unless that takes none of the sort.
func (m *matching) address(ctx context.Context, alert *v1beta3.Alert) error {
	var provider v1beta3.Provider
	err := m.dispatcher.opts.Client.Get(ctx, client.ObjectKey{Namespace: alert.Namespace, Name: alert.Spec.ProviderRef.Name}, &provider)
	switch {
	case apierrors.IsNotFound(err):
		m.warn(alert, v1beta3.DispatchFailedReason, "failed to read provider: %s", err)
		return nil
	case err != nil:
		return &outbox.Temporary{Err: fmt.Errorf("reading provider %s: %w", alert.Spec.ProviderRef.Name, err)}
	}
	release := message.CommitStatus[provider.Spec.Type] && lacksCommit(m.event)
	if provider.Spec.Suspend || !release && message.Skip(provider.Spec.Type, m.event) != "" {
		return nil
	}
	combined, conflicts := message.Combine(m.event, alert.Spec)
	if len(conflicts) > 0 {
		m.warn(alert, v1beta3.MetadataConflictReason,
			"metadata key conflicts detected (please refer to the Alert API docs and Flux RFC 0008 for more information): %q", conflicts)
	}
	m.enqueue(alert, kindMessage, "provider/"+alert.Namespace+"/"+provider.Name, messageEntry{
		Event: combined, Alert: named{alert.Namespace, alert.Name, alert.UID}, Provider: provider.Name, Release: release,
	}, replacesStatus(&provider, combined))
	return nil
}

// replacesStatus names the status that an event sets, of which only the last one stands: its commit
// and its context, as far as the object in whose order it is sent does not name it. Nothing is what
// nobody knows before it is sent.
func replacesStatus(p *v1beta3.Provider, e message.Event) string {
	status, err := message.StatusOf(e)
	if !message.CommitStatus[p.Spec.Type] || p.Spec.CommitStatusExpr != "" || err != nil {
		return ""
	}
	return status.Commit + "/" + message.Genre(e)
}
