// SPDX-License-Identifier: Apache-2.0

package message

import (
	"strings"
	"time"
	"unicode"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
)

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity,omitempty"`
	Timestamp string         `json:"timestamp,omitempty"`
	Component string         `json:"component,omitempty"`
	Group     string         `json:"group,omitempty"`
	Details   map[string]any `json:"custom_details,omitempty"`
}

type pagerDutyChange struct {
	RoutingKey string           `json:"routing_key"`
	Payload    pagerDutyPayload `json:"payload"`
}

// pagerduty triggers an incident for a failure of an object, and resolves it with what
// follows; that is a change event, too. The channel is the routing key.
// See https://developer.pagerduty.com/docs/send-alert-event.
func pagerduty(to Target, e Event) ([]Request, error) {
	if e.Reason == meta.ProgressingReason {
		return nil, nil
	}
	u, err := parse(to.Address)
	if err != nil {
		return nil, err
	}
	base := u.Scheme + "://" + u.Host
	metadata := e.Metadata
	if metadata == nil {
		metadata = map[string]string{} // is {} in JSON, where nothing is null
	}
	payload := pagerDutyPayload{
		Summary: Describe(e) + ": " + strings.ToLower(e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name),
		Source:  "Flux " + e.ReportingController, Timestamp: e.Timestamp.Format(time.RFC3339),
		Details: map[string]any{"message": e.Message, "metadata": metadata},
	}
	event := pagerDutyEvent{RoutingKey: to.Channel, Action: "resolve", DedupKey: string(e.InvolvedObject.UID)}
	if failed(e) {
		incident := payload
		incident.Severity, incident.Component, incident.Group = "error", e.InvolvedObject.Name, e.InvolvedObject.Kind
		event.Action, event.Payload = "trigger", &incident
		return post(base+"/v2/enqueue", event)
	}
	requests, err := post(base+"/v2/enqueue", event)
	if err != nil || e.Severity != eventv1.EventSeverityInfo {
		return requests, err
	}
	change, err := post(base+"/v2/change/enqueue", pagerDutyChange{RoutingKey: to.Channel, Payload: payload})
	return append(requests, change...), err
}

// Describe is the reason of an event in words: HealthCheckFailed is "health check failed".
func Describe(e Event) string {
	runes := []rune(e.Reason)
	var words strings.Builder
	for i, r := range runes {
		if i > 0 && startsWord(runes, i) {
			words.WriteByte(' ')
		}
		words.WriteRune(unicode.ToLower(r))
	}
	return words.String()
}

// startsWord reports whether a word of CamelCase begins at i: a change of letters to
// digits or others, a capital after small letters, and the last of several capitals.
func startsWord(runes []rune, i int) bool {
	class := func(r rune) int {
		switch {
		case unicode.IsLower(r):
			return 1
		case unicode.IsUpper(r):
			return 2
		case unicode.IsDigit(r):
			return 3
		}
		return 4
	}
	was, is := class(runes[i-1]), class(runes[i])
	switch {
	case was == 2 && is == 1:
		return false // the capital before began it
	case was == 2 && is == 2:
		return i+1 < len(runes) && class(runes[i+1]) == 1
	}
	return was != is
}
