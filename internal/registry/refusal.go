// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// Bounds of what is read of an answer, and told of a refusal.
const (
	maxRefusal      = 64 << 10
	maxReasons      = 3
	maxReasonLength = 256
	// maxManifest bounds a manifest, an index and a list of referrers. Registries
	// refuse more than four MiB.
	maxManifest = 8 << 20
)

// manifests are the limits of what is read whole. Lists of tags and blobs are bounded by who
// reads them, and refusals here.
var manifests = outbound.Limits{
	Bytes: maxManifest, What: "a manifest", Kind: ErrBudget, Refusal: maxRefusal,
	Except: func(req *http.Request) bool { return !isManifest(req.URL.Path) },
}

// filter lets nothing of a refusal's body through but the errors that the
// distribution specification defines, and those of the registry alone that the
// object names. A body ends in errors, and so in conditions and events: whoever can
// make the controller ask a server of its choice, by a redirect or as a token
// server, must not read there what it answers.
type filter struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *filter) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := Redirects.Check(req); err != nil {
		return nil, err
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	var said []byte
	if own := callerOf(req.Context()).registry; own != "" && SameHost(req.URL.Host, own) && req.Method != http.MethodHead {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // half of it is none
		said = reasons(body, mask.New(credentialsOf(req)...))
	}
	_ = resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(said)), int64(len(said))
	resp.Header.Set("Content-Length", strconv.Itoa(len(said)))
	return resp, nil
}

// reason is an error as registries put it.
type reason struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

// credentialsOf are the texts of a request that its registry may repeat, and that
// nobody else should read.
func credentialsOf(req *http.Request) []string {
	scheme, value, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if value == "" {
		value = scheme
	}
	secrets := []string{value}
	if _, password, ok := req.BasicAuth(); ok {
		secrets = append(secrets, password)
	}
	return secrets
}

// reasons returns the first errors of a body, without secrets and cut to a shorten
// length, or nothing.
func reasons(body []byte, secrets *mask.Mask) []byte {
	var found struct {
		Errors []reason `json:"errors"`
	}
	if err := json.Unmarshal(body, &found); err != nil || len(found.Errors) == 0 {
		return nil
	}
	found.Errors = found.Errors[:min(len(found.Errors), maxReasons)]
	for i := range found.Errors {
		e := &found.Errors[i]
		e.Code, e.Message = brief(secrets.Text(e.Code)), brief(secrets.Text(e.Message))
	}
	said, err := json.Marshal(found)
	if err != nil {
		return nil
	}
	return said
}

func brief(text string) string { return shorten.Bytes(text, maxReasonLength, shorten.Dots) }

// Redirects is the policy for what a registry answers. A redirect to another host has to lead
// to the same kind of thing there, as registries send a list of tags to the registry behind
// them and a blob to where it is stored. Everything else would make the controller ask any
// server for any path.
var Redirects = outbound.Within(func(first, to *http.Request) error {
	from, path := first.URL.Path, to.URL.Path
	switch {
	case SameHost(first.URL.Host, to.URL.Host), strings.Contains(from, "/blobs/"),
		strings.HasSuffix(from, TagListPath) && strings.HasSuffix(path, TagListPath), isManifest(from) && isManifest(path):
		return nil
	}
	return fmt.Errorf("%w to %s, and to something else than was asked for", outbound.ErrRedirect, to.URL.Host)
})

// isManifest reports whether a path is that of a manifest, or of a list of them.
func isManifest(path string) bool {
	return strings.Contains(path, "/manifests/") || strings.Contains(path, "/referrers/")
}
