// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"mime"
	"net/url"
)

// gitHub verifies the SHA-256 signature of the body, or the SHA-1 signature if an old
// server sends no other. Gitea and Forgejo send the same headers, and bodies that have the
// repository at the same place.
func gitHub(_ context.Context, _ *Hooks, m message) (payload, error) {
	header := "X-Hub-Signature-256"
	if m.header.Get(header) == "" && m.header.Get("X-Hub-Signature") != "" {
		header = "X-Hub-Signature"
	}
	if err := verifySignature(m.header.Get(header), m); err != nil {
		return refuse("%s: %v", header, err)
	}
	n := payload{event: m.header.Get("X-GitHub-Event"), body: formPayload(m)}
	raw := m.body
	if n.body != nil {
		raw = n.body
	}
	n.git = gitHubEvent(raw)
	n.addPackage(raw)
	return n, nil
}

// formPayload is the JSON in a form, which is GitHub's default; nil if the body is no form.
func formPayload(m message) []byte {
	kind, _, err := mime.ParseMediaType(m.header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil
	}
	form, err := url.ParseQuery(string(m.body))
	if err != nil || !form.Has("payload") {
		return nil
	}
	return []byte(form.Get("payload"))
}

// addPackage adds the image of GitHub's events package and registry_package,
// which are about pushes to ghcr.io.
func (n *payload) addPackage(raw []byte) {
	if n.event != "package" && n.event != "registry_package" {
		return
	}
	type published struct {
		Version struct {
			URL string `json:"package_url"`
		} `json:"package_version"`
	}
	var body struct {
		Package  published `json:"package"`
		Registry published `json:"registry_package"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return // the message is verified by its signature; images only narrow the targets
	}
	n.add(body.Package.Version.URL)
	n.add(body.Registry.Version.URL)
}

// gitLabToken compares a header with the token.
func gitLabToken(_ context.Context, _ *Hooks, m message) (map[string]any, error) {
	if !equalSecrets([]byte(m.header.Get("X-Gitlab-Token")), m.token()) {
		return nil, refusal("X-Gitlab-Token is not the token of the receiver")
	}
	return nil, nil
}

func gitLab(_ context.Context, _ *Hooks, m message) (payload, error) {
	return payload{event: m.header.Get("X-Gitlab-Event"), git: gitLabEvent(m.body)}, nil
}

// bitbucket is Bitbucket Data Center or Cloud, which sign as GitHub does.
func bitbucket(_ context.Context, _ *Hooks, m message) (payload, error) {
	if err := verifySignature(m.header.Get("X-Hub-Signature"), m); err != nil {
		return refuse("X-Hub-Signature: %v", err)
	}
	return payload{event: m.header.Get("X-Event-Key"), git: bitbucketEvent(m.body)}, nil
}
