// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/contract/pullrequest"
)

// proposed is a forge whose pull request 1 is ours.
func proposed(t *testing.T, name string) (*fakeForge, *forge.PullRequest) {
	t.Helper()
	fake := newFakeForge(t, name)
	fake.Push(pullrequest.Branch)
	proposed := forge.NewPullRequest{Base: pullrequest.Base, Branch: pullrequest.Branch, Text: forge.Text{Title: "t"}}
	pr, err := fake.Forge().Open(t.Context(), proposed)
	if err != nil {
		t.Fatal(err)
	}
	return fake, pr
}

// A program that closes what is old was taken for a person who does not want it.
func TestAProgramThatClosesWhatIsOldDecidesNothing(t *testing.T) {
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		provider, by string
		openFor      time.Duration
		stale        bool
	}{
		"a program of GitHub, after a while":  {forge.GitHub, "stale[bot]", 30 * day, true},
		"a program of GitHub, at once":        {forge.GitHub, "policy[bot]", time.Minute, false},
		"a person at GitHub":                  {forge.GitHub, person, 30 * day, false},
		"a token of GitLab, after a while":    {forge.GitLab, "project_17_bot_0af3", 30 * day, true},
		"a person at GitLab":                  {forge.GitLab, "project_bot_fan", 30 * day, false},
		"somebody at a forge that tells none": {forge.Gitea, "stale[bot]", 30 * day, false},
	} {
		t.Run(name, func(t *testing.T) {
			fake, pr := proposed(t, tc.provider)
			c := fake.pull(1)
			c.state, c.closedBy, c.openFor = forge.Closed, tc.by, tc.openFor
			got, err := fake.Forge().Get(t.Context(), pr.Number)
			if err != nil || got.ClosedAsStale != tc.stale {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAQueueTakesAPullRequestOnce(t *testing.T) {
	fake, pr := proposed(t, forge.GitHub)
	if err := fake.Forge().Enqueue(t.Context(), pr.Number, strings.Repeat("0", 40)); !errors.Is(err, forge.ErrHeadMoved) {
		t.Errorf("queueing a head that moved: %v", err)
	}
	for range 2 {
		if err := fake.Forge().Enqueue(t.Context(), pr.Number, pr.HeadSHA); err != nil {
			t.Fatal(err)
		}
	}
	queued, err := fake.Forge().Get(t.Context(), pr.Number)
	if err != nil || !queued.Queued || queued.State != forge.Open || fake.pull(1).version != 2 {
		t.Errorf("queued as %+v, %v, after %d changes", queued, err, fake.pull(1).version)
	}
}

func TestWhatIsNotComputedYetIsNotARefusal(t *testing.T) {
	for _, name := range forge.Providers() {
		t.Run(name, func(t *testing.T) {
			if name == forge.Bitbucket {
				t.Skip("it has no call for mergeability")
			}
			fake, pr := proposed(t, name)
			fake.checking = 3
			got, err := fake.Forge().Get(t.Context(), pr.Number)
			if err != nil || got.Mergeable != forge.Unknown {
				t.Errorf("while it is computed: %+v, %v", got, err)
			}
			_, err = fake.Forge().Merge(t.Context(), pr.Number, forge.Merge{HeadSHA: pr.HeadSHA, Method: forge.MergeCommit})
			var not *forge.NotMergeable
			if !errors.As(err, &not) || !not.Transient {
				t.Errorf("merging while it is computed: %v", err)
			}
		})
	}
}

func TestAHeadThatMovedWasToldAsARefusalThatPasses(t *testing.T) {
	for _, name := range forge.Providers() {
		t.Run(name, func(t *testing.T) {
			fake, pr := proposed(t, name)
			fake.Push(pullrequest.Branch)
			fake.checking = 100 // and the forge does not know yet whether it can be merged
			_, err := fake.Forge().Merge(t.Context(), pr.Number, forge.Merge{HeadSHA: pr.HeadSHA, Method: forge.MergeCommit})
			if !errors.Is(err, forge.ErrHeadMoved) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestATitleThatLooksLikeADraftWasWrittenEachTime(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		text := forge.Text{Title: "Draft: [WIP] Promote", Body: "b"}
		if _, err := f.Update(t.Context(), 1, text); err != nil {
			t.Fatal(err)
		}
		version := fake.pull(1).version
		if _, err := f.Update(t.Context(), 1, text); err != nil || fake.pull(1).version != version {
			t.Errorf("written again: %v", err)
		}
	})
}

func TestAStatusDidNotReachAnOlderPullRequestOfAzureDevOps(t *testing.T) {
	fake, pr := proposed(t, forge.AzureDevOps)
	for n := range 60 {
		fake.close(fake.add("done", "", pullrequest.Base, "done-"+strconv.Itoa(n)), us)
	}
	if err := fake.Forge().SetStatus(t.Context(), pr.HeadSHA, forge.Status{Context: "ci", State: forge.CheckSuccess}); err != nil {
		t.Fatal(err)
	}
	if len(fake.statuses[pr.HeadSHA]) != 1 {
		t.Error("policies do not see the status")
	}
}

// A token of the scope Code (status), which is all that Flux uses, set the status, and failed each time
// since it may not list pull requests.
func TestATokenOfAzureDevOpsForStatusesAloneSetsThem(t *testing.T) {
	for _, code := range []int{http.StatusUnauthorized, http.StatusNonAuthoritativeInfo, http.StatusForbidden, http.StatusNotFound} {
		fake, pr := proposed(t, forge.AzureDevOps)
		fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet {
				return false
			}
			rw.WriteHeader(code)
			return true
		}
		if err := fake.Forge().SetStatus(t.Context(), pr.HeadSHA, forge.Status{Context: "ci", State: forge.CheckSuccess}); err != nil {
			t.Errorf("with %d: %v", code, err)
		}
		if len(fake.commitStatuses) != 1 {
			t.Errorf("with %d the commit has %v", code, fake.commitStatuses)
		}
	}
}

func TestAStatusWithoutAStateIsRefusedBeforeItIsSent(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		asked := fake.asked()
		err := f.SetStatus(t.Context(), "0123", forge.Status{Context: "ci", State: forge.CheckNone})
		if err == nil || !strings.Contains(err.Error(), `"none"`) || fake.asked() != asked {
			t.Errorf("got %v after %d requests", err, fake.asked()-asked)
		}
	})
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
			fake, pr := proposed(t, forge.GitHub)
			fake.checkRuns = []object{tc.run}
			if err := fake.Forge().SetStatus(t.Context(), pr.HeadSHA, forge.Status{Context: "ci", State: forge.CheckSuccess}); err != nil {
				t.Fatal(err)
			}
			got, err := fake.Forge().Checks(t.Context(), pr.HeadSHA)
			if err != nil || got.State != tc.want || len(got.Statuses) != 2 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestChecksThatMayNotBeReadAreIncomplete(t *testing.T) {
	fake, pr := proposed(t, forge.GitHub)
	fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/check-runs") {
			fail(rw, 403, "Resource not accessible by personal access token")
			return true
		}
		return false
	}
	if got, err := fake.Forge().Checks(t.Context(), pr.HeadSHA); err != nil || !got.Incomplete {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRulesOfGitHub(t *testing.T) {
	fake, _ := proposed(t, forge.GitHub)
	fake.Require("ci")
	got, err := fake.Forge().Rules(t.Context(), pullrequest.Base)
	want := forge.Rules{
		Complete: true, Protected: true, RequiredChecks: []string{"ci"}, Approvals: 1, Queue: true, UpToDate: true,
		Methods: []forge.Method{forge.MergeCommit},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

func TestAnAppOfGitHubMakesItsTokens(t *testing.T) {
	fake, _ := proposed(t, forge.GitHub)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
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
	fake.remote.Secret.Data = map[string][]byte{
		"githubAppID": []byte("7"), "githubAppInstallationID": []byte("42"), "githubAppBaseURL": []byte(fake.server.URL + "/api/v3"),
		"githubAppPrivateKey": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	}
	if _, err := fake.Forge().Get(t.Context(), 1); err != nil || made == 0 {
		t.Fatalf("got %v after %d tokens", err, made)
	}
	fake.answers(http.StatusUnauthorized, nil, `{"message":"Bad credentials"}`)
	fake.mu.Lock()
	refuse := fake.intercept
	fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/access_tokens") {
			reply(rw, 201, object{"token": "made-token", "expires_at": start.Add(time.Hour).Format(time.RFC3339)})
			return true
		}
		return refuse(rw, r)
	}
	fake.mu.Unlock()
	if _, err := fake.Forge().Get(t.Context(), 1); err == nil || forge.Terminal(err) {
		t.Errorf("a token that is not known everywhere yet is final: %v", err)
	}
	delete(fake.remote.Secret.Data, "githubAppInstallationID")
	if _, err := fake.clients.For(fake.remote); !forge.Terminal(err) || !strings.Contains(err.Error(), "githubAppInstallationID") {
		t.Errorf("half of an App: %v", err)
	}
}
