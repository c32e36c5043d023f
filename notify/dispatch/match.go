// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/pattern"
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

// order is the body of a message entry: an event, the Provider that gets it, and the Alert
// that selected it.
type order struct {
	Event    message.Event `json:"event"`
	Alert    named         `json:"alert"`
	Provider string        `json:"provider"`
	// Release says that the commit of a Canary's release is still to be found.
	Release bool `json:"release,omitempty"`
}

// eventHandler makes a message of an event for each Alert that selects it.
type eventHandler struct{ *Dispatcher }

// Deliver implements outbox.Handler. Nothing is queued or recorded before all Alerts
// have been looked at, so that an attempt that fails on the way leaves nothing behind.
func (h eventHandler) Deliver(ctx context.Context, entry outbox.Entry) error {
	m := matching{Dispatcher: h.Dispatcher, id: entry.ID}
	if err := json.Unmarshal(entry.Body, &m.event); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	alerts, err := h.alerts(ctx, m.event)
	if err != nil {
		return &outbox.Temporary{Err: err}
	}
	for i := range alerts {
		alert := &alerts[i]
		selected, err := m.selects(ctx, alert)
		if err != nil {
			return err
		}
		if !selected {
			continue
		}
		if err := m.address(ctx, alert); err != nil {
			return err
		}
	}
	for _, do := range m.then {
		do()
	}
	return nil
}

// Failed implements outbox.Handler. The outbox has logged it.
func (h eventHandler) Failed(context.Context, outbox.Entry, error) {}

// matching is one attempt at an event. It reads while it looks at Alerts, and keeps what is
// to be done for the end, in the field then.
type matching struct {
	*Dispatcher
	id    string // of the event's entry
	event message.Event
	then  []func()
}

// warn records an event of an Alert once all Alerts have been looked at.
func (m *matching) warn(alert *v1beta3.Alert, reason, format string, args ...any) {
	m.then = append(m.then, func() { m.Dispatcher.warn(alert, reason, format, args...) })
}

// put queues a message once all Alerts have been looked at. If the outbox has no room for
// it, the others are queued all the same.
func (m *matching) put(alert *v1beta3.Alert, o order) {
	m.then = append(m.then, func() {
		body, err := json.Marshal(o)
		if err == nil {
			err = m.opts.Outbox.Put(outbox.Entry{
				ID: kindMessage + "/" + digest(m.id+"\x00"+string(alert.UID)), Kind: kindMessage, Namespace: alert.Namespace,
				Receiver: "provider/" + alert.Namespace + "/" + o.Provider, Order: about(m.event), Body: body,
			})
		}
		if err != nil {
			m.Dispatcher.warn(alert, v1beta3.DispatchFailedReason, "failed to send notification for %s: %s", about(m.event), err)
		}
	})
}

// selects reports whether an Alert selects the event.
func (m *matching) selects(ctx context.Context, alert *v1beta3.Alert) (bool, error) {
	if !m.concerns(*alert, m.event) {
		return false, nil
	}
	f, err := m.filterOf(alert)
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
	var object metav1.PartialObjectMetadata
	object.SetGroupVersionKind(m.event.InvolvedObject.GroupVersionKind())
	key := client.ObjectKey{Namespace: m.event.InvolvedObject.Namespace, Name: m.event.InvolvedObject.Name}
	err := m.opts.Live.Get(ctx, key, &object)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err), apimeta.IsNoMatchError(err):
		m.warn(alert, v1beta3.SourceFailedReason, "error getting source object %s: %s", about(m.event), err)
		return false, nil
	case err != nil:
		return false, &outbox.Temporary{Err: fmt.Errorf("reading the labels of %s: %w", about(m.event), err)}
	}
	for key, value := range source.MatchLabels {
		if got, ok := object.Labels[key]; !ok || got != value {
			return false, nil
		}
	}
	return true, nil
}

// address makes a message for the Provider of an Alert, unless that takes none of the sort.
func (m *matching) address(ctx context.Context, alert *v1beta3.Alert) error {
	var provider v1beta3.Provider
	err := m.opts.Client.Get(ctx, client.ObjectKey{Namespace: alert.Namespace, Name: alert.Spec.ProviderRef.Name}, &provider)
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
	m.put(alert, order{
		Event: combined, Alert: named{alert.Namespace, alert.Name, alert.UID}, Provider: provider.Name, Release: release,
	})
	return nil
}

// filterKey is one generation of an Alert.
type filterKey struct {
	uid        types.UID
	generation int64
}

// filter are the compiled lists of an Alert. An event is admitted by one expression of
// the inclusion list, if there are any, and refused by one of the exclusion list.
type filter struct {
	include, exclude []pattern.Pattern
	size             int // of all expressions together
}

// weight is about how many bytes a filter takes.
func (f *filter) weight() int64 { return 1<<10 + 64*int64(f.size) }

func (f *filter) admits(text string) bool {
	matches := func(p pattern.Pattern) bool { return p.MatchString(text) }
	return (len(f.include) == 0 || slices.ContainsFunc(f.include, matches)) && !slices.ContainsFunc(f.exclude, matches)
}

func (d *Dispatcher) filterOf(alert *v1beta3.Alert) (*filter, error) {
	key := filterKey{alert.UID, alert.Generation}
	if known, ok := d.filters.Get(key); ok {
		return known, nil
	}
	f, err := compile(alert.Spec)
	if err == nil {
		d.filters.Put(key, f)
	}
	return f, err
}

// Bounds of the lists of one Alert. The longest message is matched with all of them in
// less than a second.
const (
	maxExpressions = 100
	maxSize        = 10_000
)

// compile compiles the lists of an Alert. The error names the field.
func compile(spec v1beta3.AlertSpec) (*filter, error) {
	if n := len(spec.InclusionList) + len(spec.ExclusionList); n > maxExpressions {
		return nil, fmt.Errorf("spec.inclusionList and spec.exclusionList have %d expressions, and may have %d together", n, maxExpressions)
	}
	f := &filter{}
	for _, list := range []struct {
		field       string
		expressions []string
		into        *[]pattern.Pattern
	}{{"spec.inclusionList", spec.InclusionList, &f.include}, {"spec.exclusionList", spec.ExclusionList, &f.exclude}} {
		for i, text := range list.expressions {
			p, err := pattern.Compile(text)
			if err != nil {
				return nil, fmt.Errorf("%s[%d]: %w", list.field, i, err)
			}
			if f.size += p.Size; f.size > maxSize {
				return nil, fmt.Errorf("%s[%d]: the expressions together are too large; repeat less in them", list.field, i)
			}
			*list.into = append(*list.into, p)
		}
	}
	return f, nil
}

// CheckAlert says what is wrong with the spec of an Alert, naming the field.
func CheckAlert(spec v1beta3.AlertSpec) error {
	if len(spec.EventSources) > maxSources {
		return fmt.Errorf("spec.eventSources has %d entries, and may have %d", len(spec.EventSources), maxSources)
	}
	if spec.ProviderRef.Name == "" {
		return errors.New("spec.providerRef.name is empty")
	}
	if err := checkMetadata(spec); err != nil {
		return err
	}
	_, err := compile(spec)
	return err
}

// Bounds of what an Alert adds to each of its messages: the number of keys, and bytes of
// keys and values.
const (
	maxAdded     = 64
	maxAddedSize = 16 << 10
)

func checkMetadata(spec v1beta3.AlertSpec) error {
	size := 0
	for key, value := range spec.EventMetadata {
		size += len(key) + len(value)
	}
	if len(spec.EventMetadata) > maxAdded || size > maxAddedSize {
		return fmt.Errorf("spec.eventMetadata has %d keys and %d bytes, and may have %d keys and %d bytes",
			len(spec.EventMetadata), size, maxAdded, maxAddedSize)
	}
	return nil
}

// maxSources is how many sources an Alert may have.
const maxSources = 1000
