// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/contract/pullrequest"
)

// proposed is a world with our pull request 1.
func proposed(t *testing.T, name string) (*world, *forge.PullRequest) {
	t.Helper()
	w := newWorld(t, name)
	w.Push(pullrequest.Branch)
	pr, err := w.Forge().Open(t.Context(), forge.Proposal{Base: pullrequest.Base, Branch: pullrequest.Branch, Text: forge.Text{Title: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	return w, pr
}

func TestAQueueTakesAPullRequestOnce(t *testing.T) {
	w, pr := proposed(t, forge.GitHub)
	if err := w.Forge().Enqueue(t.Context(), pr.Number, strings.Repeat("0", 40)); !errors.Is(err, forge.ErrHeadMoved) {
		t.Errorf("queueing a head that moved: %v", err)
	}
	for range 2 {
		if err := w.Forge().Enqueue(t.Context(), pr.Number, pr.HeadSHA); err != nil {
			t.Fatal(err)
		}
	}
	queued, err := w.Forge().Get(t.Context(), pr.Number)
	if err != nil || !queued.Queued || queued.State != forge.Open || w.change(1).version != 2 {
		t.Errorf("queued as %+v, %v, after %d changes", queued, err, w.change(1).version)
	}
}

func TestWhatIsNotComputedYetIsNotARefusal(t *testing.T) {
	for _, name := range forge.Providers() {
		t.Run(name, func(t *testing.T) {
			if name == forge.Bitbucket {
				t.Skip("it has no call for mergeability")
			}
			w, pr := proposed(t, name)
			w.checking = 3
			got, err := w.Forge().Get(t.Context(), pr.Number)
			if err != nil || got.Mergeable != forge.Unknown {
				t.Errorf("while it is computed: %+v, %v", got, err)
			}
			_, err = w.Forge().Merge(t.Context(), pr.Number, forge.Merge{HeadSHA: pr.HeadSHA, Method: forge.MergeCommit})
			var not *forge.NotMergeable
			if !errors.As(err, &not) || !not.Transient {
				t.Errorf("merging while it is computed: %v", err)
			}
		})
	}
}

func TestCheckRunsOfGitHubCount(t *testing.T) {
	for name, tc := range map[string]struct {
		run  object
		want forge.CheckState
	}{
		"in progress": {object{"name": "build", "status": "in_progress"}, forge.CheckPending},
		"skipped":     {object{"name": "build", "status": "completed", "conclusion": "skipped"}, forge.CheckSuccess},
		"timed out":   {object{"name": "build", "status": "completed", "conclusion": "timed_out"}, forge.CheckFailure},
		"a new word":  {object{"name": "build", "status": "completed", "conclusion": "pondered"}, forge.CheckFailure},
	} {
		t.Run(name, func(t *testing.T) {
			w, pr := proposed(t, forge.GitHub)
			w.checkRuns = []object{tc.run}
			if err := w.Forge().SetStatus(t.Context(), pr.HeadSHA, forge.Status{Context: "ci", State: forge.CheckSuccess}); err != nil {
				t.Fatal(err)
			}
			got, err := w.Forge().Checks(t.Context(), pr.HeadSHA)
			if err != nil || got.State != tc.want || len(got.Statuses) != 2 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestChecksThatMayNotBeReadAreIncomplete(t *testing.T) {
	w, pr := proposed(t, forge.GitHub)
	w.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/check-runs") {
			fail(rw, 403, "Resource not accessible by personal access token")
			return true
		}
		return false
	}
	if got, err := w.Forge().Checks(t.Context(), pr.HeadSHA); err != nil || !got.Incomplete {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRulesOfGitHub(t *testing.T) {
	w, _ := proposed(t, forge.GitHub)
	w.Require("ci")
	got, err := w.Forge().Rules(t.Context(), pullrequest.Base)
	want := forge.Rules{
		Complete: true, Protected: true, RequiredChecks: []string{"ci"}, Approvals: 1, Queue: true, UpToDate: true,
		Methods: []forge.Method{forge.MergeCommit},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestAnAppOfGitHubMakesItsTokens(t *testing.T) {
	w, _ := proposed(t, forge.GitHub)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	w.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/app/installations/42/access_tokens"):
			made++
			reply(rw, 201, object{"token": "made-token", "expires_at": start.Add(time.Hour).Format(time.RFC3339)})
		case r.Header.Get("Authorization") != "Bearer made-token":
			fail(rw, 401, "Bad credentials")
		default:
			return false
		}
		return true
	}
	w.remote.Secret.Data = map[string][]byte{
		"githubAppID": []byte("7"), "githubAppInstallationID": []byte("42"), "githubAppBaseURL": []byte(w.server.URL + "/api/v3"),
		"githubAppPrivateKey": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	}
	if _, err := w.Forge().Get(t.Context(), 1); err != nil || made == 0 {
		t.Fatalf("got %v after %d tokens", err, made)
	}
	w.answers(http.StatusUnauthorized, nil, `{"message":"Bad credentials"}`)
	w.mu.Lock()
	refuse := w.intercept
	w.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/access_tokens") {
			reply(rw, 201, object{"token": "made-token", "expires_at": start.Add(time.Hour).Format(time.RFC3339)})
			return true
		}
		return refuse(rw, r)
	}
	w.mu.Unlock()
	if _, err := w.Forge().Get(t.Context(), 1); err == nil || forge.Terminal(err) {
		t.Errorf("a token that is not known everywhere yet is final: %v", err)
	}
	delete(w.remote.Secret.Data, "githubAppInstallationID")
	if _, err := w.clients.For(w.remote); !forge.Terminal(err) || !strings.Contains(err.Error(), "githubAppInstallationID") {
		t.Errorf("half of an App: %v", err)
	}
}
