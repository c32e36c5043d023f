// SPDX-License-Identifier: Apache-2.0

package git

import "testing"

func TestWhereAForgeShowsACommit(t *testing.T) {
	for name, tc := range map[string]struct{ repository, provider, want string }{
		"GitHub":             {"https://github.com/acme/fleet.git", "", "https://github.com/acme/fleet/commit/c0ffee"},
		"GitHub by SSH":      {"ssh://git@ssh.github.com:443/acme/fleet", "", "https://github.com/acme/fleet/commit/c0ffee"},
		"GitLab with groups": {"https://gitlab.com/a/b/fleet", "", "https://gitlab.com/a/b/fleet/-/commit/c0ffee"},
		"a GitLab of one's own by SSH": {
			"ssh://git@gitlab.example.com:2222/a/fleet.git", "", "https://gitlab.example.com/a/fleet/-/commit/c0ffee"},
		"a Gitea at a port":   {"http://gitea.example.com:3000/a/fleet.git", "", "http://gitea.example.com:3000/a/fleet/commit/c0ffee"},
		"Bitbucket":           {"https://bitbucket.org/acme/fleet", "", "https://bitbucket.org/acme/fleet/commits/c0ffee"},
		"Azure DevOps":        {"https://dev.azure.com/o/p/_git/fleet", "", "https://dev.azure.com/o/p/_git/fleet/commit/c0ffee"},
		"Azure DevOps by SSH": {"ssh://git@ssh.dev.azure.com/v3/o/p/fleet", "", "https://dev.azure.com/o/p/_git/fleet/commit/c0ffee"},
		"Azure DevOps by its older name": {
			"https://o.visualstudio.com/DefaultCollection/p/_git/fleet", "", "https://dev.azure.com/o/p/_git/fleet/commit/c0ffee"},
		"a GitHub Enterprise that its name does not tell": {
			"ssh://git@code.example.com/acme/fleet.git", "github", "https://code.example.com/acme/fleet/commit/c0ffee"},
		"an Azure DevOps Server": {
			"https://tfs.example.com/Main/p/_git/fleet", "azure", "https://tfs.example.com/Main/p/_git/fleet/commit/c0ffee"},
		"a GitLab whatever the provider": {"https://gitlab.com/a/fleet", "github", "https://gitlab.com/a/fleet/-/commit/c0ffee"},
		"a provider that tells nothing":  {"https://git.example.com/acme/fleet", "generic", ""},
		"a password is not shown":        {"https://user:secret@github.com/acme/fleet", "", "https://github.com/acme/fleet/commit/c0ffee"},
		"a host that nobody knows":       {"https://git.example.com/acme/fleet", "", ""},
		"what is no URL":                 {"git@github.com:acme/fleet", "", ""},
		"a repository without a path":    {"https://github.com/", "", ""},
	} {
		if got := CommitURL(tc.repository, tc.provider, "c0ffee"); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	if got := CommitURL("https://github.com/acme/fleet", "", ""); got != "" {
		t.Errorf("without a commit: %q", got)
	}
}
