// SPDX-License-Identifier: Apache-2.0

package forge

import "net/url"

// providers is the table of forges: a new one is its files and a row.
var providers = map[string]provider{
	GitHub: {
		Capabilities: Capabilities{
			Draft: true, Labels: true, Reviewers: true, Assignees: true,
			AutoMerge: true, Mergeability: true, Queue: true, Statuses: true, Reopen: true,
			Methods:    []Method{MergeCommit, Squash, Rebase},
			TitleBytes: 256, BodyBytes: 60000,
		},
		hosts: []string{"github.com", "ssh.github.com", ".ghe.com"},
		token: bearer, app: true,
		apiPath: "/api/v3",
		locate:  locateGitHub,
		needs:   "to write contents, pull requests and commit statuses, and to read checks and administration",
		// 900 points a minute, of which a write costs five and a read one, and 5,000 requests an hour; one
		// second between writes. The 80 writes a minute and 500 an hour are for what generates content, as
		// the reference says of such endpoints, and not of that for statuses:
		// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
		// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
		// https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
		statuses: rateLimit{perMinute: 60, perHour: 800},
		connect:  connectGitHub,
	},
	GitLab: {
		Capabilities: Capabilities{
			Draft: true, Labels: true, Reviewers: true, Assignees: true, AutoMerge: true, Mergeability: true, Statuses: true, Reopen: true,
			Methods:    []Method{MergeCommit, Squash, FastForward},
			TitleBytes: 255, BodyBytes: 1 << 20,
		},
		hosts:         []string{"gitlab.com", "altssh.gitlab.com"},
		token:         bearer,
		draftPrefixes: []string{"Draft:", "[Draft]", "(Draft)"},
		apiPath:       "/api/v4",
		locate:        locateGitLab,
		needs:         "scope api and the role Developer, or Maintainer where the base is protected",
		// 2,000 API requests of a user a minute at gitlab.com, of which a status takes three. Limits by plan, from
		// 100 a minute and 5,000 an hour on, are announced without a date:
		// https://docs.gitlab.com/user/gitlab_com/rate_limits/#current-rate-limits
		statuses: rateLimit{perMinute: 300},
		connect:  connectGitLab,
	},
	Gitea: {
		Capabilities: Capabilities{
			Draft: true, Labels: true, Reviewers: true, Assignees: true, AutoMerge: true, Mergeability: true, Statuses: true, Reopen: true,
			Methods:    []Method{MergeCommit, Squash, Rebase, FastForward},
			TitleBytes: 255, BodyBytes: 65000,
		},
		hosts: []string{"gitea.com", "codeberg.org"},
		token: func(token string) string { return "token " + token }, basic: true,
		draftPrefixes: []string{"WIP:", "[WIP]"},
		apiPath:       "/api/v1",
		locate:        func(u *url.URL) (repository, error) { return locateBelow(u, "api/v1") },
		needs:         "scopes write:repository, write:issue and read:user, and the right to write to the repository",
		// Its settings have no such limit: https://docs.gitea.com/administration/config-cheat-sheet
		connect: connectGitea,
	},
	AzureDevOps: {
		Capabilities: Capabilities{
			Draft: true, Labels: true, AutoMerge: true, Mergeability: true, Statuses: true, Reopen: true,
			Methods:    []Method{MergeCommit, Squash, Rebase},
			TitleBytes: 400, BodyBytes: 4000,
		},
		hosts:  []string{"dev.azure.com", "ssh.dev.azure.com", ".visualstudio.com"},
		token:  func(token string) string { return basic("", token) },
		locate: locateAzure,
		needs:  "scopes Code (read, write, status) and, for policies, Build (read)",
		// 200 units (TSTU) in five minutes, of which nobody says beforehand what a request costs; answers say how
		// long to wait: https://learn.microsoft.com/en-us/azure/devops/integrate/concepts/rate-limits
		connect: connectAzure,
	},
	BitbucketServer: {
		Capabilities: Capabilities{
			Reviewers: true, Statuses: true, Reopen: true, Mergeability: true,
			Methods:    []Method{MergeCommit, Squash, Rebase, FastForward},
			TitleBytes: 255, BodyBytes: 30000,
		},
		token: bearer, basic: true,
		apiPath: "/rest",
		locate:  locateDataCenter,
		needs:   "to write to the repository",
		// None, unless its administrators set one:
		// https://confluence.atlassian.com/bitbucketserver086/improving-instance-stability-with-rate-limiting-1188783544.html
		connect: connectDataCenter,
	},
	Bitbucket: {
		Capabilities: Capabilities{
			Statuses:   true,
			Methods:    []Method{MergeCommit, Squash, FastForward},
			TitleBytes: 255, BodyBytes: 50000,
		},
		hosts: []string{"bitbucket.org", "altssh.bitbucket.org"},
		token: bearer, basic: true,
		apiPath: "/2.0",
		locate:  locateBitbucket,
		needs:   "scopes account, repository:write and pullrequest:write",
		// 1,000 requests an hour to /2.0/repositories of a user, and more in workspaces of more than a hundred, of
		// which a status takes two: https://support.atlassian.com/bitbucket-cloud/docs/api-request-limits/
		statuses: rateLimit{perHour: 250},
		connect:  connectBitbucket,
	},
}
