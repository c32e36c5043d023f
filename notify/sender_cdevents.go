// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"regexp"
	"time"
)

// cdEventType is the type of an event of CDEvents, or of a tool's own.
var cdEventType = regexp.MustCompile(`^dev\.cdevents(x\.[a-z0-9-]+)?\.[a-z]+\.[a-z]+(\.[a-z]+)?\.\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// cdEvent reads a CDEvents message (https://cdevents.dev) over the HTTP binding of
// CloudEvents: the type is in the header Ce-Type and in the body's context. The
// required fields are those of the specification, version 0.4; the schema of each
// subject's content is not checked.
func cdEvent(_ context.Context, _ *Hooks, m message) (payload, error) {
	var body struct {
		Context struct {
			Version, ID, Source, Type string
			Timestamp                 time.Time
		}
		Subject struct {
			ID      string
			Content map[string]any
		}
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	switch eventContext := body.Context; {
	case eventContext.Version == "" || eventContext.ID == "" || eventContext.Source == "" || eventContext.Timestamp.IsZero():
		return refuse("context.version, context.id, context.source and context.timestamp are required")
	case !cdEventType.MatchString(eventContext.Type):
		return refuse("context.type is not the type of a CDEvents message")
	case body.Subject.ID == "" || body.Subject.Content == nil:
		return refuse("subject.id and subject.content are required")
	}
	event := m.header.Get("Ce-Type")
	if event == "" {
		event = body.Context.Type
	}
	return payload{event: event}, nil
}
