// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
)

// browser is somebody who has signed in to the pages.
type browser struct {
	http.Client
	forge string // its URL
}

func signIn(t *testing.T, f *forge, p *gitea.Person) *browser {
	t.Helper()
	b := &browser{Client: http.Client{Jar: get(cookiejar.New(nil)).or(t)}, forge: f.URL}
	b.submit(t, f.URL+"/user/login", url.Values{"user_name": {p.Name}, "password": {p.Password}})
	return b
}

// submit sends a form as a page of the server does.
func (b *browser) submit(t *testing.T, to string, form url.Values) string {
	t.Helper()
	req := get(http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(form.Encode()))).or(t)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", b.forge)
	return b.do(t, req)
}

func (b *browser) read(t *testing.T, page string) string {
	t.Helper()
	return b.do(t, get(http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)).or(t))
}

func (b *browser) do(t *testing.T, req *http.Request) string {
	t.Helper()
	resp, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := string(get(io.ReadAll(resp.Body)).or(t))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", req.Method, req.URL, resp.Status, body)
	}
	return body
}

// pressed does what web/index.js does with the page of a pull request: if Gitea changed
// what either says to the other, the button of the demo would be dead.
func pressed(t *testing.T, f *forge) {
	ctx, r := t.Context(), f.repo(t, "pressed")
	must(t, r.Allow(ctx, gitea.StyleSquash))
	pull := f.propose(t, r, "promote", "1.1.0")
	b := signIn(t, f, f.reviewer)
	var page string
	get(harness.Eventually(ctx, "a page that can be merged", harness.Patience, func(context.Context) (bool, string) {
		page = strings.Join(strings.Fields(b.read(t, pull.URL)), " ")
		return strings.Contains(page, "pullRequestMergeForm"), "no form to merge"
	})).or(t)
	for _, want := range []string{`id="pull-request-merge-form"`, `'canMergeNow': true`, `'allOverridableChecksOk': true`,
		fmt.Sprintf("'pullHeadCommitID': %q", pull.Head.SHA), `'name': 'squash'`, `'textDoMerge':`, `'baseLink':`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of the pull request lacks %s", want)
		}
	}
	for asset, want := range map[string]string{
		"/assets/js/index.js": "function mergeForm", "/assets/js/iife.js": "localUserSettings", "/assets/css/forge.css": ".tw-flex",
		"/assets/css/index.css": "@import", "/assets/css/theme-gitea-auto.css": "@import",
	} {
		if !strings.Contains(page, asset) || !strings.Contains(b.read(t, f.URL+asset), want) {
			t.Errorf("the page does not use %s, or that has no %s", asset, want)
		}
	}
	var answer struct{ Redirect string }
	must(t, json.Unmarshal([]byte(b.submit(t, pull.URL+"/merge", url.Values{"do": {"squash"}, "head_commit_id": {pull.Head.SHA}})), &answer))
	merged := get(r.Pull(ctx, pull.Number)).or(t)
	if answer.Redirect == "" || !merged.Merged || merged.MergedBy.Name != "reviewer" {
		t.Errorf("the button leads to %q, and the pull request is %+v", answer.Redirect, merged)
	}
}
