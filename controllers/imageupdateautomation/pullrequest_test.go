// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
)

func TestAPullRequestThatThereCannotBeIsRefusedByItsField(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*imagev1.ImageUpdateAutomation)
		want   string
	}{
		"the branch that is checked out": {
			change: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.Branch = "main" },
			want:   "spec.git.push.branch: spec.git.push.pullRequest needs another branch than 'main', which is checked out"},
		"no push branch": {
			change: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.Branch = "" },
			want:   "spec.git.push.branch: spec.git.push.pullRequest needs another branch"},
		"no branch to propose to": {
			change: func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.GitSpec.Checkout = &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Tag: "v1"}}
			},
			want: "spec.git.checkout.ref, or else spec.ref of the GitRepository: spec.git.push.pullRequest needs a branch to propose to"},
		"a refspec as well": {
			change: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.Refspec = "HEAD:refs/heads/other" },
			want:   "spec.git.push.refspec: it cannot be combined with spec.git.push.pullRequest"},
		"a forge that nobody names": {
			change: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.PullRequest.Provider = "" },
			want:   "spec.git.push.pullRequest.provider: "},
		"a forge that there is not": {
			change: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.PullRequest.Provider = "sourceforge" },
			want:   `spec.git.push.pullRequest: invalid configuration: provider "sourceforge" is none of`},
		"somebody who merges whom there is not": {
			change: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.PullRequest.AutoMerge = "always" },
			want:   `spec.git.push.pullRequest.autoMerge: "always" is none of never, self, platform`},
		"labels where there are none": {
			change: func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.GitSpec.Push.PullRequest.Provider, a.Spec.GitSpec.Push.PullRequest.Labels = "bitbucket", []string{"images"}
			},
			want: "spec.git.push.pullRequest: provider bitbucket does not support labels"},
		"a merge by the forge where there is none": {
			change: func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.GitSpec.Push.PullRequest.Provider, a.Spec.GitSpec.Push.PullRequest.AutoMerge = "bitbucket", imagev1.AutoMergePlatform
			},
			want: "spec.git.push.pullRequest: provider bitbucket does not support autoMerge: platform"},
		"a method that the forge does not know": {
			change: func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.GitSpec.Push.PullRequest.Provider, a.Spec.GitSpec.Push.PullRequest.MergeMethod = "github", imagev1.MergeMethodFastForward
			},
			want: "spec.git.push.pullRequest: provider github does not support mergeMethod: fast-forward"},
		"a title that is no template": {
			change: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.PullRequest.TitleTemplate = "{{ .Changed" },
			want:   "spec.git.push.pullRequest.titleTemplate"},
		"a body that names a field that there is not": {
			change: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.PullRequest.BodyTemplate = "{{ .Bundle }}" },
			want:   "spec.git.push.pullRequest.bodyTemplate:1:3: there is no field .Bundle here: there are .AutomationObject, .Changed, .Values"},
		"an API elsewhere with the credential of the GitRepository": {
			change: func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.GitSpec.Push.PullRequest.URL = "https://elsewhere.example.com/api/v1"
			},
			want: "spec.git.push.pullRequest.secretRef: spec.git.push.pullRequest.url needs a Secret of the automation"},
	} {
		t.Run(name, func(t *testing.T) {
			f := proposingFixture(t)
			_, err := f.Reconcile(t.Context(), automation(proposes(), tc.change))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("got %v, want a terminal error with %q", err, tc.want)
			}
			if f.repo.Has("updates") {
				t.Error("something was pushed")
			}
		})
	}
}

// api is a forge that answers everything alike.
type api struct {
	*httptest.Server
	mu   sync.Mutex
	said map[string]bool // Authorization headers
}

func newAPI(t *testing.T, answer http.HandlerFunc) *api {
	t.Helper()
	a := &api{said: map[string]bool{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.said[r.Header.Get("Authorization")] = true
		a.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

// at has the pull request be at an API, as the automation's own identity.
func (a *api) at(spec *imagev1.PullRequestSpec) {
	spec.URL, spec.SecretRef = a.URL+"/api/v1", &meta.LocalObjectReference{Name: "own"}
}

// proposingFixture is one whose repository has an owner, as those of a forge have.
func proposingFixture(t *testing.T) fixture {
	t.Helper()
	f := newFixture(t, credentials(), source(), policy("2"), make.Secret("apps", "own", map[string]string{"token": "of-the-automation"}))
	f.Forges = forge.NewClients(forge.Options{})
	f.repo = f.server.Repo("acme/fleet")
	f.repo.Commit("main", gitserver.Files{"a.yaml": markedFile})
	var repo sourcev1.GitRepository
	must(t, f.Client.Get(t.Context(), client.ObjectKey{Namespace: "apps", Name: "app"}, &repo))
	repo.Spec.URL = f.repo.URL
	must(t, f.Client.Update(t.Context(), &repo))
	return f
}

func TestAnAPIElsewhereGetsTheAutomationsOwnCredentialAlone(t *testing.T) {
	server := newAPI(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	f := proposingFixture(t)
	_, err := f.Reconcile(t.Context(), automation(proposes(server.at)))
	if err == nil || len(server.said) != 1 || !server.said["token of-the-automation"] {
		t.Errorf("the API was told %v: %v", server.said, err)
	}
}

func TestAForgeThatIsOutStopsNothingForGood(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"an outage": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, want: "status 502"},
		"a limit of requests": {
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "600")
				w.WriteHeader(http.StatusTooManyRequests)
			},
			want: "limits the rate of requests, and is asked again when it allows, which is at 20"},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPI(t, tc.answer)
			f := proposingFixture(t)
			a := automation(proposes(server.at))
			_, err := f.Reconcile(t.Context(), a)
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("got %v, want %q, which passes", err, tc.want)
			}
			if reason := reconciler.ReasonOf(err, f.Reason); reason != imagev1.ForgeFailedReason {
				t.Errorf("the reason is %s", reason)
			}
			if len(a.Status.Declined) != 0 || f.repo.Has("updates") {
				t.Errorf("declined is %v, and something was pushed: %t", a.Status.Declined, f.repo.Has("updates"))
			}
		})
	}
}

func TestACredentialThatTheForgeRefusesIsTriedAgainWithTheInterval(t *testing.T) {
	server := newAPI(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	f := proposingFixture(t)
	_, err := f.Reconcile(t.Context(), automation(proposes(server.at)))
	if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "refuses the credential from token of the Secret") {
		t.Errorf("got %v", err)
	}
	if !strings.HasPrefix(reconciler.ConditionMessage(err), "spec.git.push.pullRequest: ") || f.repo.Has("updates") {
		t.Errorf("the condition says %q, and something was pushed: %t", reconciler.ConditionMessage(err), f.repo.Has("updates"))
	}
}

func TestAPullRequestThatTheSpecDoesNotAskForAnyMoreIsLeftOpenAndTold(t *testing.T) {
	for name, change := range map[string]func(*imagev1.ImageUpdateAutomation){
		"no pull request": func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push = nil },
		"other branches":  proposes(),
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPI(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
			f := proposingFixture(t)
			a := automation(change)
			if pr := pullRequestOf(a); pr != nil {
				server.at(pr)
			}
			a.Status.PullRequest = &imagev1.PullRequestStatus{Number: 3, State: imagev1.PullRequestOpen, Base: "release", Branch: "old"}
			result, _ := f.Reconcile(t.Context(), a)
			told := 0
			for _, e := range result.Events {
				if e.Reason == imagev1.PullRequestAbandonedReason &&
					strings.Contains(e.Message, "pull request #3 from branch 'old' into 'release' is left open") {
					told++
				}
			}
			if told != 1 {
				t.Errorf("it was told %d times: %+v", told, result.Events)
			}
		})
	}
}
