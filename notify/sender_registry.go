package notify

import (
	"context"
	"crypto/sha1" //nolint:gosec // what Nexus signs with
	"encoding/base64"
	"encoding/json"
	"strings"
)

// harbor sends the token as its Authorization header.
func harbor(_ context.Context, _ *Hooks, m message) (notice, error) {
	if !same([]byte(m.header.Get("Authorization")), m.token()) {
		return refuse("Authorization is not the token of the receiver")
	}
	var body struct {
		EventData struct {
			Resources []struct {
				ResourceURL string `json:"resource_url"`
			} `json:"resources"`
		} `json:"event_data"`
	}
	_ = decode(m, &body) // the token has proved it; images are a convenience
	var n notice
	for _, resource := range body.EventData.Resources {
		n.add(resource.ResourceURL)
	}
	return n, nil
}

// dockerHub signs nothing.
func dockerHub(_ context.Context, _ *Hooks, m message) (notice, error) {
	var body struct {
		PushData struct {
			Tag string `json:"tag"`
		} `json:"push_data"`
		Repository struct {
			URL  string `json:"repo_url"`
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
		DockerURL   string   `json:"docker_url"`
		UpdatedTags []string `json:"updated_tags"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n notice
	n.add(body.DockerURL)
	return n, nil
}

// acr signs nothing. The host of the registry is in the request part.
func acr(_ context.Context, _ *Hooks, m message) (notice, error) {
	var body struct {
		Target struct {
			Repository string `json:"repository"`
			Tag        string `json:"tag"`
		} `json:"target"`
		Request struct {
			Host string `json:"host"`
		} `json:"request"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	var n notice
	if body.Request.Host != "" && body.Target.Repository != "" {
		n.add(body.Request.Host + "/" + body.Target.Repository)
	}
	return n, nil
}

// nexus signs the body with HMAC-SHA1, without a prefix.
func nexus(_ context.Context, _ *Hooks, m message) (notice, error) {
	if err := hmacIs(sha1.New, m.header.Get("X-Nexus-Webhook-Signature"), m); err != nil {
		return refuse("X-Nexus-Webhook-Signature: %v", err)
	}
	var body struct {
		RepositoryName string `json:"repositoryName"`
	}
	if err := decode(m, &body); err != nil {
		return refuse("%v", err)
	}
	return notice{}, nil
}

// gcr is a push of Pub/Sub, which proves itself by an OIDC token of Google's for
// the service account and the audience that the Secret names.
func gcr(ctx context.Context, h *Hooks, m message) (notice, error) {
	if err := h.googleToken(ctx, m); err != nil {
		return refuse("%v", err)
	}
	var body struct {
		Message struct {
			Data string `json:"data"`
		} `json:"message"`
	}
	var pushed struct {
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
	return n, nil
}

// add notes the repository of an image reference.
func (n *notice) add(image string) {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		image = image[:colon]
	}
	if image != "" {
		n.images = append(n.images, image)
	}
}
