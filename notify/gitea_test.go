// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestGiteaWakesPipelines: a real Gitea signs as GitHub does, names its events as GitHub
// does, and says the repository where GitHub says it.
func TestGiteaWakesPipelines(t *testing.T) {
	at := gitea.RequireTeam(t)
	for name, tc := range map[string]struct {
		event  string // as a webhook subscribes to it
		events []string
		do     func(*testing.T, *gitea.Repo, *gitea.Pull) error
	}{
		"somebody merges": {
			"pull_request", []string{"pull_request"},
			func(t *testing.T, r *gitea.Repo, pr *gitea.Pull) error {
				return at.Alice.Merge(t.Context(), r, pr.Number, gitea.StyleMerge)
			},
		},
		"somebody approves": {
			"pull_request_review", []string{"pull_request_approved"},
			func(t *testing.T, r *gitea.Repo, pr *gitea.Pull) error {
				return at.Alice.Approve(t.Context(), r, pr.Number)
			},
		},
		"a check ends": {
			"status", []string{"status"},
			func(t *testing.T, r *gitea.Repo, pr *gitea.Pull) error {
				return at.Alice.SetStatus(t.Context(), r, pr.Head.SHA, "ci/test", "success")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, func(r *notificationv1.Receiver) {
				r.Spec.Type, r.Spec.Events = notificationv1.GitHubReceiver, tc.events
				r.Spec.Resources[0].Kind, r.Spec.Resources[0].Name = "Pipeline", "*"
				r.Spec.Resources[0].MatchLabels = map[string]string{"team": "a"}
			})
			receiver := httptest.NewServer(w.hooks)
			t.Cleanup(receiver.Close)
			repo := at.TeamRepo(t, map[string]string{"a": "b"})
			_, err := at.Robot.Commit(t.Context(), repo, gitea.Commit{
				Branch: "sluice/ours.shop.production", From: gitea.Branch, Message: "Promote", Files: map[string]string{"a": "c"}})
			must(t, err)
			pr, err := at.Robot.Open(t.Context(), repo, "sluice/ours.shop.production", gitea.Branch, "Promote")
			must(t, err)
			var source sourcev1.GitRepository
			must(t, w.api.Get(t.Context(), client.ObjectKey{Namespace: "ours", Name: "repo"}, &source))
			source.Spec.URL = repo.URL
			must(t, w.api.Update(t.Context(), &source))

			must(t, repo.AddWebhook(t.Context(), receiver.URL+w.path, "a wrong secret", tc.event))
			must(t, repo.AddWebhook(t.Context(), receiver.URL+w.path, secretToken, tc.event))
			must(t, tc.do(t, repo, pr))
			_, err = harness.Eventually(t.Context(), "waking the Pipeline", 30*time.Second, func(context.Context) (bool, string) {
				got := w.requested()
				return got == "Pipeline/shop", fmt.Sprintf("requested %q", got)
			})
			must(t, err)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
