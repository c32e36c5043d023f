// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// dataCenterCommits are the build statuses and settings of a repository at Bitbucket Data
// Center.
type dataCenterCommits struct{ *dataCenterAPI }

func (b *dataCenterCommits) builds(sha string) *url.URL {
	return b.url("build-status", "1.0", "commits", sha)
}

func (b *dataCenterCommits) setStatus(ctx context.Context, sha string, s Status) error {
	return b.ask(ctx, http.MethodPost, b.builds(sha), b.buildStatus(s, orElse(s.Key, s.Context)), nil)
}

func (b *dataCenterCommits) statuses(ctx context.Context, sha string) (found []Status, complete bool, err error) {
	return b.buildStatuses(ctx, withQuery(b.builds(sha), "limit", strconv.Itoa(maxStatuses)))
}

// rules are never complete: permissions of branches and hooks of plugins are not in the
// settings.
func (b *dataCenterCommits) rules(ctx context.Context, _ string) (Rules, error) {
	var settings struct {
		Approvers int `json:"requiredApprovers"`
		Builds    int `json:"requiredSuccessfulBuilds"`
		Merge     struct {
			Strategies []struct {
				ID      string `json:"id"`
				Enabled bool   `json:"enabled"`
			} `json:"strategies"`
		} `json:"mergeConfig"`
	}
	if err := b.ask(ctx, http.MethodGet, b.resource("settings", "pull-requests"), nil, &settings); err != nil {
		return Rules{}, err
	}
	enabled := map[Method]bool{}
	for _, strategy := range settings.Merge.Strategies {
		for method, id := range dataCenterMethods {
			if strategy.ID == id {
				enabled[method] = strategy.Enabled
			}
		}
	}
	return Rules{
		Protected: settings.Approvers > 0 || settings.Builds > 0, Approvals: settings.Approvers, AllChecks: settings.Builds > 0,
		Methods: allowed(enabled),
	}, nil
}
