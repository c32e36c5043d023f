// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/git"
	builder "github.com/sluice-cd/sluice/test/make"
)

// pushed, proposed, landed and former are commits that statuses name; of others nobody is told.
const (
	pushed   = "0123456789abcdef0123456789abcdef01234567"
	proposed = "1123456789abcdef0123456789abcdef01234567"
	landed   = "2123456789abcdef0123456789abcdef01234567"
	former   = "3123456789abcdef0123456789abcdef01234567"
	others   = "4123456789abcdef0123456789abcdef01234567"
)

// commitsFunc is a function that knows commits.
type commitsFunc func(client.ObjectKey, plumbing.Hash) (*git.Changes, error)

func (f commitsFunc) Changes(
	_ context.Context, of *sourcev1.GitRepository, commit plumbing.Hash, _ git.ChangeLimits,
) (*git.Changes, error) {
	return f(client.ObjectKeyFromObject(of), commit)
}

// failing are commits that cannot be compared.
func failing(err error) Commits {
	return commitsFunc(func(client.ObjectKey, plumbing.Hash) (*git.Changes, error) { return nil, err })
}

// changed is what a commit of an image and of a Secret changed.
func changed() *git.Changes {
	file := func(name, text string) git.Change {
		of := func(tag string) []byte { return []byte(strings.ReplaceAll(text, "%s", tag)) }
		return git.Change{Path: name, Existed: true, Exists: true, Old: of("1.2.3"), New: of("1.2.4")}
	}
	return &git.Changes{
		Commit: plumbing.NewHash(pushed), Parent: plumbing.NewHash(others), Info: git.CommitInfo{Message: "Update app\n"},
		Files: []git.Change{
			file("apps/app.yaml", "image: ghcr.io/acme/app:%s # {\"$imagepolicy\": \"apps:app\"}\n"),
			file("apps/key.yaml", "kind: Secret\nstringData:\n  key: hunter2-%s\n"),
			{Path: "apps/logo.png", Exists: true, Omitted: git.OmittedBinary},
		},
	}
}

// TestWhoIsToldWhatACommitChanged: who may read the object whose status names it, and the GitRepository.
func TestWhoIsToldWhatACommitChanged(t *testing.T) {
	automation := &imagev1.ImageUpdateAutomation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "fleet"},
		Spec:       imagev1.ImageUpdateAutomationSpec{SourceRef: imagev1.CrossNamespaceSourceReference{Name: "fleet", Namespace: "git"}},
		Status: imagev1.ImageUpdateAutomationStatus{
			LastPushCommit: pushed, PullRequest: &imagev1.PullRequestStatus{Head: proposed}, ObservedSourceRevision: "main@sha1:" + others,
		},
	}
	pipeline := builder.Pipeline(time.Now(), func(p *sluicev1.Pipeline) {
		p.Spec.Stages[1].Write.SourceRef = &imagev1.CrossNamespaceSourceReference{Name: "fleet", Namespace: "git"}
		p.Status.Stages[1].Commit, p.Status.Stages[1].Landings[0].Commit = landed, former
		p.Status.StateCommit = others
	})
	repository := builder.GitRepository("git", "fleet", func(g *sourcev1.GitRepository) { g.Spec.URL = "https://github.com/acme/fleet" })
	const ofAutomation, ofPipeline = "ImageUpdateAutomation/apps/fleet/", "Pipeline/apps/shop/"
	for name, tc := range map[string]struct {
		path      string
		forbidden client.Object // to the user
		commits   Commits       // instead of those that are there
		none      bool
		unread    bool // the user may not read what commits changed
		want      int
		says      string
		asks      bool // the mirrors
	}{
		"the last that an automation pushed": {path: ofAutomation + pushed, want: http.StatusOK, says: `"old":"ghcr.io/acme/app:1.2.3"`,
			asks: true},
		"the head of its pull request":    {path: ofAutomation + proposed, want: http.StatusOK, says: `"hunks"`, asks: true},
		"that of a stage":                 {path: ofPipeline + landed, want: http.StatusOK, says: `"it is no text in UTF-8"`, asks: true},
		"one that a stage had before":     {path: ofPipeline + former, want: http.StatusOK, says: `"message":"Update app\n"`, asks: true},
		"one that an automation read":     {path: ofAutomation + others, want: http.StatusNotFound, says: "none that the status"},
		"one of a state branch":           {path: ofPipeline + others, want: http.StatusNotFound, says: "none that the status"},
		"one of another object":           {path: ofAutomation + landed, want: http.StatusNotFound, says: "none that the status"},
		"a part of a hash":                {path: ofAutomation + pushed[:12], want: http.StatusNotFound, says: "none that the status"},
		"of a kind that makes none":       {path: "GitRepository/git/fleet/" + pushed, want: http.StatusNotFound, says: "is not shown"},
		"who may not read the automation": {path: ofAutomation + pushed, forbidden: automation, want: http.StatusForbidden, says: "forbidden"},
		"who may not read the pipeline":   {path: ofPipeline + landed, forbidden: pipeline, want: http.StatusForbidden, says: "forbidden"},
		"who may not read the repository": {path: ofAutomation + pushed, forbidden: repository, want: http.StatusForbidden, says: "forbidden"},
		"who may not read what its commits changed": {path: ofAutomation + pushed, unread: true, want: http.StatusOK,
			says: `"problem":"You may not see what it changed: that needs the verb get on gitrepositories/commits`},
		"without mirrors": {path: ofAutomation + pushed, none: true, want: http.StatusOK,
			says: `"url":"https://github.com/acme/fleet/commit/` + pushed + `",` +
				`"command":"git show ` + pushed + `","problem":"What it changed is shown where`},
		"one that takes long to fetch": {path: ofAutomation + pushed, want: http.StatusOK,
			says: `"problem":"` + onItsWay + `","pending":true`, commits: failing(background.ErrPending)},
		"one of too many that are fetched": {path: ofAutomation + pushed, want: http.StatusOK, says: `"pending":true`,
			commits: failing(background.ErrBusy)},
		"one that cannot be fetched": {path: ofAutomation + pushed, want: http.StatusOK,
			says:    `"problem":"What it changed is not known here: the commit could not be fetched: it is too large"}`,
			commits: failing(fmt.Errorf("%w: it is too large", ErrNotFetched))},
		"one of a server that is away": {path: ofAutomation + pushed, want: http.StatusOK, says: `the remote cannot be reached","pending":true`,
			commits: failing(fmt.Errorf("%w: %w", ErrNotFetched, git.ErrUnreachable))},
		"a mirror that is damaged": {path: ofAutomation + pushed, want: http.StatusBadGateway, says: "damaged",
			commits: failing(errors.New("damaged"))},
	} {
		t.Run(name, func(t *testing.T) {
			s := withObjects(t, automation.DeepCopy(), pipeline.DeepCopy(), repository.DeepCopy())
			known, ok := s.Cluster.client.(client.WithWatch)
			if !ok {
				t.Fatal("no client to forbid anything")
			}
			s.Cluster.client = interceptor.NewClient(known, interceptor.Funcs{
				Create: func(_ context.Context, _ client.WithWatch, asked client.Object, _ ...client.CreateOption) error {
					if review, ok := asked.(*authorizationv1.SelfSubjectAccessReview); ok {
						of := review.Spec.ResourceAttributes
						review.Status.Allowed = !tc.unread && of.Verb+" "+of.Resource+"/"+of.Subresource == "get gitrepositories/commits" &&
							of.Namespace+"/"+of.Name == "git/fleet"
					}
					return nil
				},
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
					if tc.forbidden != nil && fmt.Sprintf("%T", into) == fmt.Sprintf("%T", tc.forbidden) {
						return apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, key.Name, nil)
					}
					return c.Get(ctx, key, into, o...)
				}})
			asked := ""
			s.Commits = commitsFunc(func(of client.ObjectKey, commit plumbing.Hash) (*git.Changes, error) {
				asked = of.String() + "/" + commit.String()
				return changed(), nil
			})
			if tc.commits != nil || tc.none {
				s.Commits = tc.commits
			}
			r := httptest.NewRequest(http.MethodGet, "http://localhost:8080/api/v1/commits/"+tc.path, http.NoBody)
			r.Header.Set("Authorization", "Bearer secret")
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code != tc.want || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("a Secret is shown: %s", w.Body)
			}
			if want := "git/fleet/" + tc.path[strings.LastIndex(tc.path, "/")+1:]; tc.asks && asked != want || !tc.asks && asked != "" {
				t.Errorf("the mirrors were asked for %q", asked)
			}
		})
	}
}
