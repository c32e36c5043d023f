// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v87/github"
)

// gitHubAPI is the connection to GitHub or GitHub Enterprise: REST, and GraphQL for what
// only that has, which is drafts, auto-merge, the merge queue, and reviews in one answer.
//
// What is peculiar: a list is filtered by owner:branch, a branch alone is ignored and
// gives all; merge_commit_sha is a test merge until the merge; 405 is every reason not
// to merge, told apart by text; enabling auto-merge on what could be merged is refused;
// merging by REST with the right to bypass would skip the queue, so that a queue is
// used only by name; who closed it is in the issue.
type gitHubAPI struct {
	*session
	rest *github.Client
}

func connectGitHub(s *session) (driver, error) {
	rest, err := github.NewClient(github.WithHTTPClient(s.client()), github.WithDisableRateLimitCheck(),
		github.WithEnterpriseURLs(s.repository.api.String(), s.repository.api.String()))
	if err != nil {
		return driver{}, err
	}
	api := &gitHubAPI{s, rest}
	pulls := &gitHubPulls{api}
	return driver{
		identity: api.identity, pulls: pulls, commits: &gitHubCommits{api}, reopening: pulls, autoMerge: pulls, queue: pulls,
		comments: pulls, workflows: api,
	}, nil
}

// locateGitHub finds the API: api.github.com, api.NAME.ghe.com for what has data
// residency, and below /api/v3 of an Enterprise server.
func locateGitHub(u *url.URL) (repository, error) {
	host := strings.TrimPrefix(strings.ToLower(u.Hostname()), "ssh.")
	if host == "github.com" || strings.HasSuffix(host, ".ghe.com") {
		return ownerAndName(u, &url.URL{Scheme: "https", Host: "api." + host, Path: "/"})
	}
	return ownerAndName(u, apiURL(u, "api", "v3"))
}

// identity asks by GraphQL: an App has no user that REST would tell of.
func (g *gitHubAPI) identity(ctx context.Context) (User, error) {
	var found struct{ Viewer struct{ Login string } }
	err := g.query(ctx, `query { viewer { login } }`, nil, &found)
	return User{Login: found.Viewer.Login}, err
}

// mutate sends a mutation whose input type is named after it, and asks for nothing back.
func (g *gitHubAPI) mutate(ctx context.Context, name string, input map[string]any) error {
	kind := strings.ToUpper(name[:1]) + name[1:] + "Input"
	text := "mutation($input: " + kind + "!) { " + name + "(input: $input) { clientMutationId } }"
	return g.graphQL(ctx, text, map[string]any{"input": input}, nil)
}

// query is GraphQL that reads.
func (g *gitHubAPI) query(ctx context.Context, text string, variables map[string]any, into any) error {
	return g.graphQL(reading(ctx), text, variables, into)
}

// graphQL sends a document. Errors are in answers that succeed by HTTP.
func (g *gitHubAPI) graphQL(ctx context.Context, text string, variables map[string]any, into any) error {
	at := url.URL{Scheme: g.repository.api.Scheme, Host: g.repository.api.Host, Path: "/graphql"}
	if strings.HasSuffix(g.repository.api.Path, "/api/v3") {
		at.Path = strings.TrimSuffix(g.repository.api.Path, "/v3") + "/graphql"
	}
	req, err := g.rest.NewRequest(ctx, http.MethodPost, at.String(), map[string]any{"query": text, "variables": variables})
	if err != nil {
		return err
	}
	var answered struct {
		Data   json.RawMessage
		Errors []struct{ Type, Message string }
	}
	if _, err := g.rest.Do(req, &answered); err != nil {
		return err
	}
	if len(answered.Errors) > 0 {
		return g.graphQLError(answered.Errors[0].Type, g.masked(ctx, answered.Errors[0].Message))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answered.Data, into)
}

// graphQLError translates the first error of an answer.
func (g *gitHubAPI) graphQLError(kind, message string) error {
	host := g.repository.api.Host
	refused := &statusError{host: host, code: http.StatusUnprocessableEntity, message: fitted(message, maxMessage)}
	switch {
	case kind == "RATE_LIMITED":
		return &RateLimited{Host: host, Until: g.clock.Now().Add(defaultPause)}
	case kind == "NOT_FOUND":
		return ErrNotFound
	case kind == "FORBIDDEN", kind == "INSUFFICIENT_SCOPES":
		return g.unauthorized(refused.message)
	case refused.mentions("clean status"):
		return ErrMergeableNow
	case refused.mentions("auto merge is not allowed", "auto-merge is not allowed"):
		return g.unsupported("auto-merge in this repository until its settings allow it")
	case refused.mentions("head") && refused.mentions("expected", "did not match", "modified"):
		return ErrHeadMoved
	case refused.mentions("not mergeable", "unstable status", "blocked"):
		return &NotMergeable{Reason: refused.message}
	}
	return refused
}
