// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"crypto/sha1" // what Nexus signs with
	"encoding/base64"
	"encoding/json"
)

// harborToken compares the whole Authorization header with the token.
func harborToken(_ context.Context, _ *Hooks, m message) (map[string]any, error) {
	if !equalSecrets([]byte(m.header.Get("Authorization")), m.token()) {
		return nil, refusal("Authorization is not the token of the receiver")
	}
	return nil, nil
}

func harbor(_ context.Context, _ *Hooks, m message) (payload, error) {
	type event struct {
		Resources []struct {
			ResourceURL string `json:"resource_url"`
		} `json:"resources"`
	}
	var body struct {
		EventData event `json:"event_data"`
		Data      event `json:"data"` // in the format of CloudEvents
	}
	_ = decode(m, &body) // the message is verified by its token; images only narrow the targets
	var n payload
	for _, resource := range append(body.EventData.Resources, body.Data.Resources...) {
		n.add(resource.ResourceURL)
	}
	return n, nil
}

// dockerHub reads an unsigned message: the path is the only secret.
func dockerHub(_ context.Context, _ *Hooks, m message) (payload, error) {
	var body struct {
		Repository struct {
			Name string `json:"repo_name"`
		} `json:"repository"`
		PushData struct {
			Tag string `json:"tag"`
		} `json:"push_data"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n payload
	n.add(body.Repository.Name, body.PushData.Tag)
	return n, nil
}

// quay reads an unsigned message: the path is the only secret.
func quay(_ context.Context, _ *Hooks, m message) (payload, error) {
	var body struct {
		DockerURL   string          `json:"docker_url"`
		UpdatedTags json.RawMessage `json:"updated_tags"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n payload
	var tags []string
	_ = json.Unmarshal(body.UpdatedTags, &tags) // what is no list narrows nothing
	n.add(body.DockerURL, tags...)
	return n, nil
}

// acr reads an unsigned message: the path is the only secret.
func acr(_ context.Context, _ *Hooks, m message) (payload, error) {
	var body struct {
		Target struct {
			Repository string `json:"repository"`
			Tag        string `json:"tag"`
		} `json:"target"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n payload
	n.add(body.Target.Repository, body.Target.Tag)
	return n, nil
}

// nexus signs the body with HMAC-SHA1, without a prefix.
func nexus(_ context.Context, _ *Hooks, m message) (payload, error) {
	if err := verifyHMAC(sha1.New, m.header.Get("X-Nexus-Webhook-Signature"), m); err != nil {
		return refuse("X-Nexus-Webhook-Signature: %v", err)
	}
	var body struct {
		Component struct {
			Format string `json:"format"`
			Name   string `json:"name"`
			// Version of a Docker image is its tag.
			Version string `json:"version"`
		} `json:"component"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n payload
	if body.Component.Format == "docker" {
		n.add(body.Component.Name, body.Component.Version)
	}
	return n, nil
}

// gcr reads a push of Pub/Sub, which wraps the event of the registry. googleToken has
// verified its OIDC token.
func gcr(_ context.Context, _ *Hooks, m message) (payload, error) {
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
	var n payload
	n.add(pushed.Tag)
	n.add(pushed.Digest)
	n.body, err = json.Marshal(pushed) // filters see the event, not its envelope
	return n, err
}
