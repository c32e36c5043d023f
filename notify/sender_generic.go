package notify

import (
	"context"
)

// anything trusts the path alone.
func anything(context.Context, *Hooks, message) (notice, error) { return notice{}, nil }

// signedBody trusts an HMAC of the body in a header.
func signedBody(header string) func(context.Context, *Hooks, message) (notice, error) {
	return func(_ context.Context, _ *Hooks, m message) (notice, error) {
		if err := signed(m.header.Get(header), m); err != nil {
			return refuse("%s: %v", header, err)
		}
		return notice{}, nil
	}
}

// cdEvent takes a CDEvents message (https://cdevents.dev) over the HTTP binding of
// CloudEvents: the type is in the header Ce-Type and in the body's context.
func cdEvent(_ context.Context, _ *Hooks, m message) (notice, error) {
	event := m.header.Get("Ce-Type")
	if event == "" {
		return refuse("the header Ce-Type is missing")
	}
	var body struct {
		Context struct {
			ID, Source, Type string
		}
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	if body.Context.ID == "" || body.Context.Source == "" || body.Context.Type != event {
		return refuse("context.id, context.source and a context.type that is the header Ce-Type are required")
	}
	return notice{event: event}, nil
}
