// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"crypto/sha1" //nolint:gosec // what Nexus signs with
	"encoding/base64"
	"encoding/json"
)

// harborToken is the Authorization header as it is.
func harborToken(_ context.Context, _ *Hooks, m message) (map[string]any, error) {
	if !same([]byte(m.header.Get("Authorization")), m.token()) {
		return nil, refusal("Authorization is not the token of the receiver")
	}
	return nil, nil
}

func harbor(_ context.Context, _ *Hooks, m message) (notice, error) {
	type event struct {
		Resources []struct {
			ResourceURL string `json:"resource_url"`
		} `json:"resources"`
	}
	var body struct {
		EventData event `json:"event_data"`
		Data      event `json:"data"` // in the format of CloudEvents
	}
	_ = decode(m, &body) // the token has proved it; images are a convenience
	var n notice
	for _, resource := range append(body.EventData.Resources, body.Data.Resources...) {
		n.add(resource.ResourceURL)
	}
	return n, nil
}

// dockerHub signs nothing.
func dockerHub(_ context.Context, _ *Hooks, m message) (notice, error) {
	var body struct {
		Repository struct {
			Name string `json:"repo_name"`
		} `json:"repository"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n notice
	n.add(body.Repository.Name)
	return n, nil
}

// quay signs nothing.
func quay(_ context.Context, _ *Hooks, m message) (notice, error) {
	var body struct {
		DockerURL string `json:"docker_url"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n notice
	n.add(body.DockerURL)
	return n, nil
}

// acr signs nothing.
func acr(_ context.Context, _ *Hooks, m message) (notice, error) {
	var body struct {
		Target struct {
			Repository string `json:"repository"`
		} `json:"target"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n notice
	n.add(body.Target.Repository)
	return n, nil
}

// nexus signs the body with HMAC-SHA1, without a prefix.
func nexus(_ context.Context, _ *Hooks, m message) (notice, error) {
	if err := hmacIs(sha1.New, m.header.Get("X-Nexus-Webhook-Signature"), m); err != nil {
		return refuse("X-Nexus-Webhook-Signature: %v", err)
	}
	var body struct {
		Component struct {
			Format string `json:"format"`
			Name   string `json:"name"`
		} `json:"component"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n notice
	if body.Component.Format == "docker" {
		n.add(body.Component.Name)
	}
	return n, nil
}

// gcr is a push of Pub/Sub, which proves itself by an OIDC token of Google's for
// the service account and the audience that the Secret names. It wraps the event
// of the registry.
func gcr(_ context.Context, _ *Hooks, m message) (notice, error) {
	var body struct {
		Message struct {
			Data string `json:"data"`
		} `json:"message"`
	}
	var pushed struct {
		Action string `json:"action"`
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	raw, err := base64.StdEncoding.DecodeString(body.Message.Data)
	if err != nil || json.Unmarshal(raw, &pushed) != nil {
		return refuse("message.data is not what a registry publishes")
	}
	var n notice
	n.add(pushed.Tag)
	n.add(pushed.Digest)
	n.body, err = json.Marshal(pushed) // filters see the event, not its envelope
	return n, err
}
