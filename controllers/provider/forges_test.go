// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/make"
)

func TestALongDescriptionIsComparedAsForgesKeepIt(t *testing.T) {
	kept := forge.Status{Description: strings.Repeat("x", 141)}.Shortened()
	if len(kept.Description) != 140 || kept.Shortened() != kept {
		t.Errorf("kept %q", kept.Description)
	}
}

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// gitea is the part of a Gitea that statuses of commits are set at.
type gitea struct {
	*httptest.Server
	statuses []map[string]string
	set      []string // what was asked for
	refuses  func(http.ResponseWriter)
	token    string // of the last request
}

func newGitea(t *testing.T) *gitea {
	g := &gitea{}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, code int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if err := json.NewEncoder(w).Encode(body); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /api/v1/repos/acme/fleet/commits/{sha}/status", func(w http.ResponseWriter, r *http.Request) {
		g.token = r.Header.Get("Authorization")
		reply(w, http.StatusOK, map[string]any{"statuses": g.statuses, "total_count": len(g.statuses)})
	})
	mux.HandleFunc("POST /api/v1/repos/acme/fleet/statuses/{sha}", func(w http.ResponseWriter, r *http.Request) {
		if g.refuses != nil {
			g.refuses(w)
			return
		}
		var status map[string]string
		if err := json.NewDecoder(r.Body).Decode(&status); err != nil {
			t.Error(err)
		}
		g.set = append(g.set, r.PathValue("sha")+" "+status["context"]+" "+status["state"]+" "+status["description"])
		reply(w, http.StatusCreated, status)
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

func (g *gitea) repository() dispatch.Repository {
	return dispatch.Repository{
		Forge: forge.Gitea, URL: g.URL + "/acme/fleet", Secret: make.Secret("", "token", map[string]string{"token": "of-the-provider"}),
		Provider: types.NamespacedName{Namespace: "shop", Name: "statuses"},
	}
}

func forges() Forges {
	clock := testclock.NewFakePassiveClock(now)
	return Forges{Clients: forge.NewClients(forge.Options{Clock: clock}), Clock: clock}
}

var applied = dispatch.Status{
	Commit: "abc", Context: "kustomization/app", State: "success", Description: "applied", URL: "https://ci.example.com/1",
}

func TestAStatusThatACommitHasIsNotSetAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		has  map[string]string
		sets bool
	}{
		"it has none":         {sets: true},
		"it has the same":     {has: map[string]string{}},
		"another context":     {has: map[string]string{"context": "kustomization/other"}, sets: true},
		"another state":       {has: map[string]string{"status": "failure"}, sets: true},
		"another text":        {has: map[string]string{"description": "building"}, sets: true},
		"another URL":         {has: map[string]string{"target_url": "https://ci.example.com/2"}, sets: true},
		"with a genre before": {has: map[string]string{"context": "flux/kustomization/app"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGitea(t)
			if tc.has != nil {
				has := map[string]string{
					"context": applied.Context, "status": applied.State, "description": applied.Description, "target_url": applied.URL,
				}
				for key, value := range tc.has {
					has[key] = value
				}
				g.statuses = []map[string]string{has}
			}
			want := applied
			want.Genre = "flux"
			if err := forges().SetStatus(t.Context(), g.repository(), want); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(g.set, "\n"); (got != "") != tc.sets || tc.sets && got != "abc kustomization/app success applied" {
				t.Errorf("set %q", got)
			}
			if g.token != "token of-the-provider" {
				t.Errorf("the forge was told %q", g.token)
			}
		})
	}
}

func TestWhatTimeMayCureIsTriedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		answers   func(http.ResponseWriter)
		temporary bool
		after     time.Duration
	}{
		"a forge that is overloaded": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, true, 0},
		"a forge that limits requests": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
		}, true, 2 * time.Minute},
		"a token that is not valid":       {func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }, false, 0},
		"a commit that there is not":      {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, false, 0},
		"a status that the forge refuses": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnprocessableEntity) }, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGitea(t)
			g.refuses = tc.answers
			err := forges().SetStatus(t.Context(), g.repository(), applied)
			var again *outbox.Temporary
			if err == nil || errors.As(err, &again) != tc.temporary || again != nil && again.After != tc.after ||
				again != nil && again.Limited != (tc.after > 0) {
				t.Errorf("it fails with %v (%+v), want one that is temporary: %v, after %s", err, again, tc.temporary, tc.after)
			}
		})
	}
}

func TestWhatIsWrongWithARepositoryIsSaidWithoutAskingIt(t *testing.T) {
	secret := func() *corev1.Secret { return make.Secret("", "token", map[string]string{"token": "t"}) }
	const fleet = "https://github.com/acme/fleet"
	for name, tc := range map[string]struct {
		repository dispatch.Repository
		want       string // "" is nothing
	}{
		"a repository and a token": {dispatch.Repository{Forge: forge.GitHub, URL: fleet, Secret: secret()}, ""},
		"no address":               {dispatch.Repository{Forge: forge.GitHub, Secret: secret()}, "spec.address"},
		"no token":                 {dispatch.Repository{Forge: forge.GitHub, URL: fleet}, "spec.secretRef: a Secret with a token is needed"},
		"an identity in the place of a token": {
			dispatch.Repository{Forge: forge.AzureDevOps, URL: "https://dev.azure.com/acme/fleet/_git/fleet"}, "",
		},
		"an address that is no repository": {
			dispatch.Repository{Forge: forge.GitHub, URL: "https://github.com/", Secret: secret()}, "spec.address or the Secret of spec.secretRef: ",
		},
		"a Secret without a token": {
			dispatch.Repository{Forge: forge.GitHub, URL: fleet, Secret: make.Secret("", "token", map[string]string{"t": "t"})},
			"spec.address or the Secret of spec.secretRef: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := forges().Check(tc.repository)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// The certificates and tokens of one namespace are not those of another.
func TestASecretIsOfTheNamespaceOfItsProvider(t *testing.T) {
	for name, tc := range map[string]struct{ has, want string }{
		"one that was put together": {"", "shop"},
		"one that was read":         {"lab", "lab"},
	} {
		secret := make.Secret(tc.has, "token", map[string]string{"token": "t"})
		remote := remoteOf(dispatch.Repository{Secret: secret, Provider: types.NamespacedName{Namespace: "shop", Name: "statuses"}})
		if remote.Secret.Namespace != tc.want || secret.Namespace != tc.has || string(remote.Secret.Data["token"]) != "t" {
			t.Errorf("%s: of %q, and the one that was given of %q", name, remote.Secret.Namespace, secret.Namespace)
		}
	}
	if remote := remoteOf(dispatch.Repository{}); remote.Secret != nil {
		t.Errorf("nobody is %+v", remote.Secret)
	}
}

func TestWhatAForgeCannotDoIsNotTriedAgain(t *testing.T) {
	g := newGitea(t)
	var again *outbox.Temporary
	for name, err := range map[string]error{
		"a dispatch":             forges().Dispatch(t.Context(), g.repository(), message.Event{}),
		"a repository of no one": forges().Comment(t.Context(), dispatch.Repository{Forge: forge.Gitea, URL: "x"}, 1, "m", "text"),
	} {
		if err == nil || errors.As(err, &again) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
