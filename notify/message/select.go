// SPDX-License-Identifier: Apache-2.0

package message

import (
	"maps"
	"slices"
	"strings"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// Clean is an event with the metadata that is for people: what is prefixed by the group
// of events or by that of the object, without digests.
func Clean(e Event) Event {
	group := e.InvolvedObject.GroupVersionKind().Group + "/"
	e.Metadata = maps.Clone(e.Metadata)
	maps.DeleteFunc(e.Metadata, func(key, _ string) bool {
		switch {
		case strings.EqualFold(key, group+eventv1.MetaChecksumKey), strings.EqualFold(key, group+eventv1.MetaDigestKey):
			return true
		}
		return !strings.HasPrefix(key, group) && !strings.HasPrefix(key, eventv1.Group+"/")
	})
	return e
}

// Combine is an event with the metadata that the message has, without prefixes, and the
// keys that two sources set. The later source wins, as in RFC 0008 of Flux:
//
//	annotations of the object (event.toolkit.fluxcd.io/...)
//	spec.eventMetadata, spec.summary of the Alert
//	what the controller says of the object (<group of the object>/...)
func Combine(e Event, alert v1beta3.AlertSpec) (combined Event, conflicts []string) {
	group := e.InvolvedObject.GroupVersionKind().Group + "/"
	all := map[string]string{}
	add := func(key, value string) {
		if _, twice := all[key]; twice && !slices.Contains(conflicts, key) {
			conflicts = append(conflicts, key)
		}
		all[key] = value
	}
	for key, value := range e.Metadata {
		if name, ok := strings.CutPrefix(key, eventv1.Group+"/"); ok {
			add(name, value)
		}
	}
	for key, value := range alert.EventMetadata {
		add(key, value)
	}
	if alert.Summary != "" {
		add(summaryKey, alert.Summary)
	}
	for key, value := range e.Metadata {
		if name, ok := strings.CutPrefix(key, group); ok && name != eventv1.MetaTokenKey {
			add(name, value)
		}
	}
	slices.Sort(conflicts)
	if e.Metadata = nil; len(all) > 0 {
		e.Metadata = all
	}
	return e, conflicts
}

// Identity is what two events have in common that say the same: the object, the message,
// and what of the metadata tells revisions apart.
func Identity(e Event) string {
	group := e.InvolvedObject.GroupVersionKind().Group + "/"
	parts := []string{e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Message}
	for _, key := range []string{eventv1.MetaOriginRevisionKey, eventv1.MetaRevisionKey, eventv1.MetaTokenKey} {
		parts = append(parts, e.Metadata[group+key])
	}
	return strings.Join(parts, "\x00")
}

// Selects reports whether a source of an Alert selects the object of an event, as far as
// the event says: labels are another question.
func Selects(s v1beta3.EventSource, alertNamespace string, e Event) bool {
	namespace := s.Namespace
	if namespace == "" {
		namespace = alertNamespace
	}
	o := e.InvolvedObject
	return o.Kind == s.Kind && o.Namespace == namespace && (s.Name == "*" || s.Name == o.Name)
}

// Severe reports whether an event is as severe as an Alert asks for.
func Severe(wanted string, e Event) bool {
	return wanted == "" || wanted == v1beta3.SeverityInfo || wanted == e.Severity
}

// IsAdvice reports whether an event is a warning about what works all the same.
func IsAdvice(e Event) bool { return e.Metadata[v1beta3.WarningKey] != "" }

// Skip says why a Provider of a type is not told of an event, "" if it is. The event has
// the metadata of [Clean].
func Skip(typeName string, e Event) string {
	switch {
	case CommitStatus[typeName]:
		if IsAdvice(e) {
			return "it says nothing about whether the commit works"
		}
		if !NamesCommit(e) && !UpdatesStatus(e) && (!failed(e) || e.InvolvedObject.Kind == sluicev1.PipelineKind) {
			return "it is about no commit"
		}
	case CommentForge[typeName] != "":
		if ChangeRequest(e) == "" {
			return "it is about no pull request"
		}
	}
	if !CommitStatus[typeName] && !Types[typeName].Updates && UpdatesStatus(e) {
		return "it only updates a commit status"
	}
	return ""
}
