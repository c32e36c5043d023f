// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"net/url"
)

// build is a build status, as both Bitbuckets have them.
type build struct {
	Key         string `json:"key"`
	Name        string `json:"name"`
	State       string `json:"state"`
	Description string `json:"description"`
	URL         string `json:"url"` // required
}

var buildStates = map[CheckState]string{CheckPending: "INPROGRESS", CheckSuccess: "SUCCESSFUL", CheckFailure: "FAILED"}

// bitbucketStates are the states of builds; stopped, cancelled and unknown are failures.
var bitbucketStates = map[string]CheckState{"INPROGRESS": CheckPending, "SUCCESSFUL": CheckSuccess}

// buildStatus translates a status. A page of the server stands in for a URL that is missing.
func (s *session) buildStatus(status Status, key string) build {
	elsewhere := s.repository.api.Scheme + "://" + s.repository.api.Host
	return build{
		Key: key, Name: status.Context, State: buildStates[status.State], Description: status.Description, URL: orElse(status.URL, elsewhere),
	}
}

// buildStatuses reads the first page of the builds of a commit.
func (s *session) buildStatuses(ctx context.Context, u *url.URL) (found []Status, complete bool, err error) {
	var page struct{ Values []build }
	err = s.ask(ctx, http.MethodGet, u, nil, &page)
	for _, b := range page.Values {
		found = append(found, Status{
			Context: orElse(b.Name, b.Key), State: checkState(bitbucketStates, b.State), Description: b.Description, URL: b.URL,
		})
	}
	return found, len(page.Values) < maxStatuses, err
}
