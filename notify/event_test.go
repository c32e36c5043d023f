// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// pipelineOf is a Pipeline that is written to a repository, and one stage of it to another;
// an empty name is none.
func pipelineOf(name, source, stageSource string) *sluicev1.Pipeline {
	ref := func(name string) *imagev1.CrossNamespaceSourceReference {
		if name == "" {
			return nil
		}
		return &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: name}
	}
	return &sluicev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ours", Name: name, Labels: map[string]string{"team": "a"}},
		Spec: sluicev1.PipelineSpec{SourceRef: ref(source), Stages: []sluicev1.Stage{
			{Name: "staging"}, {Name: "production", Write: sluicev1.Write{SourceRef: ref(stageSource)}},
		}},
	}
}

// automationOf is an ImageUpdateAutomation of a repository that pushes to branch updates.
func automationOf(name, source string) *imagev1.ImageUpdateAutomation {
	return &imagev1.ImageUpdateAutomation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ours", Name: name, Labels: map[string]string{"team": "a"}},
		Spec: imagev1.ImageUpdateAutomationSpec{
			SourceRef: imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: source},
			GitSpec:   &imagev1.GitSpec{Push: &imagev1.PushSpec{Branch: "updates"}},
		},
	}
}

// signed is a request as GitHub, Gitea and Bitbucket sign it.
func signed(header, event, body string) request {
	return request{body: body}.with("X-Hub-Signature-256", "sha256="+sign(sha256.New, body)).
		with("X-Hub-Signature", "sha256="+sign(sha256.New, body)).with(header, event).with("Content-Type", "application/json")
}

func fromGitHub(event, body string) request { return signed("X-GitHub-Event", event, body) }

func TestAPullRequestWakesThePipelinesOfItsRepository(t *testing.T) {
	const all = "Pipeline/billing Pipeline/shop Pipeline/tags"
	form := url.Values{"payload": {`{"repository":{"full_name":"acme/shop"}}`}}.Encode()
	for name, tc := range map[string]struct {
		kind string
		send request
		want string
	}{
		"GitHub, a pull request": {
			notificationv1.GitHubReceiver,
			fromGitHub("pull_request", `{"action":"closed","number":7,"pull_request":{"merged":true},"repository":{"full_name":"acme/shop"}}`),
			"Pipeline/shop",
		},
		"GitHub, a check": {
			notificationv1.GitHubReceiver,
			fromGitHub("check_run", `{"action":"completed","check_run":{"conclusion":"success"},"repository":{"full_name":"acme/shop"}}`),
			"Pipeline/shop",
		},
		"GitHub, a merge queue": {
			notificationv1.GitHubReceiver,
			fromGitHub("merge_group", `{"action":"checks_requested","repository":{"full_name":"acme/shop"}}`), "Pipeline/shop",
		},
		"GitHub, a status": {
			notificationv1.GitHubReceiver,
			fromGitHub("status", `{"state":"success","sha":"9e9b","name":"acme/shop","repository":{"full_name":"acme/shop"}}`), "Pipeline/shop",
		},
		"GitHub, in a form": {
			notificationv1.GitHubReceiver,
			fromGitHub("pull_request", form).with("Content-Type", "application/x-www-form-urlencoded"), "Pipeline/shop",
		},
		"that of a stage, in another case": {
			notificationv1.GitHubReceiver, fromGitHub("pull_request", `{"repository":{"full_name":"Acme/fleet"}}`), "Pipeline/billing",
		},
		"another one of the organization": {
			notificationv1.GitHubReceiver, fromGitHub("pull_request", `{"repository":{"full_name":"acme/web-shop"}}`), "",
		},
		"a message that names none": {notificationv1.GitHubReceiver, fromGitHub("ping", `{"zen":"Keep it logically awesome."}`), all},
		"GitLab, a merge request": {
			notificationv1.GitLabReceiver,
			request{body: `{"object_kind":"merge_request","project":{"path_with_namespace":"acme/shop"},"object_attributes":{"action":"merge"}}`}.
				with("X-Gitlab-Token", secretToken).with("X-Gitlab-Event", "Merge Request Hook"), "Pipeline/shop",
		},
		"GitLab, a pipeline": {
			notificationv1.GitLabReceiver,
			request{body: `{"object_kind":"pipeline","project":{"path_with_namespace":"acme/shop"}}`}.
				with("X-Gitlab-Token", secretToken).with("X-Gitlab-Event", "Pipeline Hook"), "Pipeline/shop",
		},
		"Bitbucket Cloud": {
			notificationv1.BitbucketReceiver,
			signed("X-Event-Key", "pullrequest:fulfilled", `{"pullrequest":{"id":1},"repository":{"full_name":"acme/shop"}}`), "Pipeline/shop",
		},
		"Bitbucket Data Center, a pull request": {
			notificationv1.BitbucketReceiver,
			signed("X-Event-Key", "pr:merged", `{"eventKey":"pr:merged","pullRequest":{
				"fromRef":{"repository":{"slug":"fork","project":{"key":"~ALICE"}}},
				"toRef":{"repository":{"slug":"shop","project":{"key":"ACME"}}}}}`), "Pipeline/shop",
		},
		"Bitbucket Data Center, a push": {
			notificationv1.BitbucketReceiver,
			signed("X-Event-Key", "repo:refs_changed", `{"repository":{"slug":"shop","project":{"key":"ACME"}}}`), "Pipeline/shop",
		},
		"Azure DevOps": {
			notificationv1.GenericReceiver,
			request{body: `{"publisherId":"tfs","eventType":"git.pullrequest.merged",
				"resource":{"pullRequestId":1,"repository":{"name":"shop","project":{"name":"acme"}}}}`}, "Pipeline/shop",
		},
		"something like it, of somebody else": {
			notificationv1.GenericReceiver, request{body: `{"resource":{"repository":{"name":"shop","project":{"name":"acme"}}}}`}, all,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, func(r *notificationv1.Receiver) {
				r.Spec.Type = tc.kind
				r.Spec.Resources = []notificationv1.ReceiverResource{{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
					Kind: "Pipeline", Name: "*", MatchLabels: map[string]string{"team": "a"},
				}}}
			})
			if code := w.post(tc.send); code != http.StatusOK {
				t.Errorf("answered %d: %s", code, w.answer)
			}
			if got := w.requested(); got != tc.want {
				t.Errorf("requested %q, want %q", got, tc.want)
			}
		})
	}
}

// A wildcard for automations woke all of them for every message, and each that proposes by
// pull request asked its forge.
func TestAMessageWakesTheAutomationsOfItsRepository(t *testing.T) {
	const all = "ImageUpdateAutomation/images ImageUpdateAutomation/infra ImageUpdateAutomation/lost"
	for name, tc := range map[string]struct {
		event, body, want string
	}{
		"a pull request": {"pull_request", `{"action":"closed","repository":{"full_name":"acme/shop"},"pull_request":{"head":{"ref":"updates"}}}`,
			"ImageUpdateAutomation/images"},
		"somebody else's": {"pull_request", `{"repository":{"full_name":"acme/shop"},"pull_request":{"head":{"ref":"feature"}}}`, ""},
		"a check": {"check_run", `{"check_run":{"check_suite":{"head_branch":"updates"}},"repository":{"full_name":"acme/fleet"}}`,
			"ImageUpdateAutomation/infra"},
		"a push to what is checked out": {"push", `{"ref":"refs/heads/master","repository":{"full_name":"acme/shop"}}`,
			"ImageUpdateAutomation/images"},
		"another repository":        {"push", `{"ref":"refs/heads/master","repository":{"full_name":"acme/api"}}`, ""},
		"a message that names none": {"ping", `{"zen":"Keep it logically awesome."}`, all},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, func(r *notificationv1.Receiver) {
				r.Spec.Type = notificationv1.GitHubReceiver
				r.Spec.Resources = []notificationv1.ReceiverResource{{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
					Kind: "ImageUpdateAutomation", Name: "*", MatchLabels: map[string]string{"team": "a"},
				}}}
			})
			if code := w.post(fromGitHub(tc.event, tc.body)); code != http.StatusOK || w.requested() != tc.want {
				t.Errorf("answered %d %s, requested %q, want %q", code, w.answer, w.requested(), tc.want)
			}
		})
	}
}

func TestAnAutomationIsWokenByItsOwnBranchesAlone(t *testing.T) {
	type change = func(*imagev1.ImageUpdateAutomation, *sourcev1.GitRepository)
	for name, tc := range map[string]struct {
		change   change
		branches []string
		want     bool
	}{
		"no branch is every branch": {nil, nil, true},
		"that of the repository":    {nil, []string{"main"}, true},
		"that it pushes to":         {nil, []string{"feature", "updates"}, true},
		"somebody's":                {nil, []string{"feature"}, false},
		"that of the repository, where another one is checked out": {func(a *imagev1.ImageUpdateAutomation, _ *sourcev1.GitRepository) {
			a.Spec.GitSpec.Checkout = &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Branch: "dev"}}
		}, []string{"main"}, false},
		"the one that is checked out": {func(a *imagev1.ImageUpdateAutomation, _ *sourcev1.GitRepository) {
			a.Spec.GitSpec.Checkout = &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Branch: "dev"}}
		}, []string{"dev"}, true},
		"one that is at a tag may be at any": {func(_ *imagev1.ImageUpdateAutomation, r *sourcev1.GitRepository) {
			r.Spec.Reference = &sourcev1.GitRepositoryRef{Tag: "v1"}
		}, []string{"feature"}, true},
		"without a spec of Git": {func(a *imagev1.ImageUpdateAutomation, _ *sourcev1.GitRepository) {
			a.Spec.GitSpec = nil
		}, []string{"main"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a, repo := automationOf("images", "repo"), &sourcev1.GitRepository{}
			repo.Spec.Reference = &sourcev1.GitRepositoryRef{Branch: "main"}
			if tc.change != nil {
				tc.change(a, repo)
			}
			of := automation{a}
			if got := (gitEvent{branches: tc.branches}).isFor(of, of.sources()[0], repo); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestAPipelineThatIsNamedIsWokenByAnyRepository(t *testing.T) {
	w := newTestServer(t, func(r *notificationv1.Receiver) {
		r.Spec.Type = notificationv1.GitHubReceiver
		r.Spec.Resources[0].Kind, r.Spec.Resources[0].Name = "Pipeline", "shop"
	})
	forged := fromGitHub("pull_request", `{"repository":{"full_name":"acme/other"}}`).
		with("X-Hub-Signature-256", "sha256="+sign(sha256.New, "other"))
	if code := w.post(forged); code != http.StatusBadRequest || w.requested() != "" {
		t.Errorf("a forged request: answered %d, requested %q", code, w.requested())
	}
	if code := w.post(fromGitHub("pull_request", `{"repository":{"full_name":"acme/other"}}`)); code != http.StatusOK ||
		w.requested() != "Pipeline/shop" {
		t.Errorf("answered %d, requested %q", code, w.requested())
	}
}

// What GitHub and Bitbucket Data Center send of a pull request, as far as it is read.
const (
	pullOfGitHub    = `{"repository":{"full_name":"acme/shop"},"pull_request":{"head":{"ref":"feature"}},"branches":[{"name":"a"}]}`
	pullOfBitbucket = `{"pullRequest":{"fromRef":{"displayId":"feature"},"toRef":{"repository":{"slug":"shop","project":{"key":"ACME"}}}}}`
)

func TestAPipelineIsWokenByItsOwnBranchesAlone(t *testing.T) {
	source := types.NamespacedName{Namespace: "ours", Name: "repo"}
	own := func(p *sluicev1.Pipeline, _ *sourcev1.GitRepository) {
		p.Spec.Stages[1].Write.PullRequest = &sluicev1.PullRequest{BranchPrefix: "promote-"}
	}
	for name, tc := range map[string]struct {
		change   func(*sluicev1.Pipeline, *sourcev1.GitRepository)
		branches []string
		want     bool
	}{
		"no branch is every branch":                {nil, nil, true},
		"that of the repository":                   {nil, []string{"main"}, true},
		"somebody's":                               {nil, []string{"feature"}, false},
		"one of several":                           {nil, []string{"feature", "main"}, true},
		"one that a Pipeline proposes from":        {nil, []string{"sluice/apps.shop.production"}, true},
		"that of its decisions":                    {nil, []string{"sluice/state/apps.shop"}, true},
		"with a prefix of its own":                 {own, []string{"promote-apps.shop.production"}, true},
		"somebody's, where there is such a prefix": {own, []string{"feature"}, false},
		"a tag": {nil, []string{"refs/tags/v1"}, false},
		"that of a stage": {func(p *sluicev1.Pipeline, _ *sourcev1.GitRepository) {
			p.Spec.Stages[1].Write.Branch = "live"
		}, []string{"live"}, true},
		"a repository without a branch is at master": {func(_ *sluicev1.Pipeline, r *sourcev1.GitRepository) {
			r.Spec.Reference = nil
		}, []string{"master"}, true},
		"one that is at a tag may be at any": {func(_ *sluicev1.Pipeline, r *sourcev1.GitRepository) {
			r.Spec.Reference = &sourcev1.GitRepositoryRef{Tag: "v1"}
		}, []string{"feature"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, repo := pipelineOf("shop", "repo", ""), &sourcev1.GitRepository{}
			repo.Spec.Reference = &sourcev1.GitRepositoryRef{Branch: "main"}
			if tc.change != nil {
				tc.change(p, repo)
			}
			if got := (gitEvent{branches: tc.branches}).isFor(pipeline{p}, source, repo); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestWhichBranchesAMessageIsAbout(t *testing.T) {
	many := strings.Repeat(`{"name":"b"},`, maxBranches) + `{"name":"b"}`
	for name, tc := range map[string]struct {
		read func([]byte) gitEvent
		body string
		want []string
	}{
		"GitHub, a pull request":      {gitHubEvent, `{"pull_request":{"head":{"ref":"feature"},"base":{"ref":"main"}}}`, []string{"feature"}},
		"GitHub, a push":              {gitHubEvent, `{"ref":"refs/heads/main"}`, []string{"main"}},
		"GitHub, a check":             {gitHubEvent, `{"check_run":{"check_suite":{"head_branch":"feature"}}}`, []string{"feature"}},
		"GitHub, a suite":             {gitHubEvent, `{"check_suite":{"head_branch":"feature"}}`, []string{"feature"}},
		"GitHub, a check of a fork":   {gitHubEvent, `{"check_run":{"check_suite":{"head_branch":null}}}`, nil},
		"GitHub, a status":            {gitHubEvent, `{"branches":[{"name":"main"},{"name":"feature"}]}`, []string{"main", "feature"}},
		"GitHub, a merge queue":       {gitHubEvent, `{"merge_group":{"base_ref":"refs/heads/main"}}`, []string{"main"}},
		"more branches than are read": {gitHubEvent, `{"branches":[` + many + `]}`, nil},
		"what has another shape": {gitHubEvent,
			`{"ref":1,"branches":"none","pull_request":{"head":{"ref":"feature"}}}`, []string{"feature"}},
		"GitLab, a merge request": {gitLabEvent,
			`{"object_attributes":{"source_branch":"feature","target_branch":"main"}}`, []string{"feature"}},
		"GitLab, a pipeline": {gitLabEvent, `{"object_attributes":{"ref":"feature"}}`, []string{"feature"}},
		"GitLab, one of a merge request": {gitLabEvent,
			`{"object_attributes":{"ref":"refs/merge-requests/1/head"},"merge_request":{"source_branch":"feature"}}`,
			[]string{"refs/merge-requests/1/head", "feature"}},
		"Bitbucket Cloud":       {bitbucketEvent, `{"pullrequest":{"source":{"branch":{"name":"feature"}}}}`, []string{"feature"}},
		"Bitbucket Data Center": {bitbucketEvent, pullOfBitbucket, []string{"feature"}},
		"Azure DevOps":          {azureEvent, `{"publisherId":"tfs","resource":{"sourceRefName":"refs/heads/feature"}}`, []string{"feature"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.read([]byte(tc.body)).branches); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRepositoriesByTheirURLs(t *testing.T) {
	for name, tc := range map[string]struct {
		url, name string
		want      bool
	}{
		"HTTPS":                             {"https://github.com/acme/shop.git", "acme/shop", true},
		"SSH, at a port":                    {"ssh://git@git.example.com:7999/acme/shop.git", "ACME/shop", true},
		"groups of any depth":               {"https://gitlab.com/acme/apps/shop", "acme/apps/shop", true},
		"a subgroup by the same name":       {"https://gitlab.com/acme/apps/shop", "acme/shop", false},
		"a name that ends alike":            {"https://github.com/acme/web-shop", "acme/shop", false},
		"a forge below a path":              {"https://example.com/git/acme/shop", "acme/shop", true},
		"Bitbucket Data Center":             {"https://git.example.com/scm/acme/shop.git", "ACME/shop", true},
		"Azure DevOps":                      {"https://dev.azure.com/org/My%20Apps/_git/shop", "My Apps/shop", true},
		"Azure DevOps by SSH":               {"ssh://git@ssh.dev.azure.com/v3/org/apps/shop", "apps/shop", true},
		"Azure DevOps, called as a project": {"https://dev.azure.com/org/_git/shop", "shop/shop", true},
		"so at a host of its own":           {"https://org.visualstudio.com/_git/shop", "shop/shop", true},
		"no URL":                            {"https://%zz", "acme/shop", false},
		"a URL without a path":              {"https://github.com", "acme/shop", false},
		"an unfinished one of Azure DevOps": {"https://dev.azure.com/org/_git", "org/_git", false},
	} {
		if got := isRepository(tc.url, tc.name); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
