// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"cmp"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestWhereARepositoryIs(t *testing.T) {
	for name, tc := range map[string]struct{ provider, url, api, path string }{
		"GitHub":                      {"", "https://github.com/acme/fleet.git", "https://api.github.com/", "acme/fleet"},
		"GitHub by SSH":               {"", "ssh://git@github.com/acme/fleet", "https://api.github.com/", "acme/fleet"},
		"GitHub by SSH over HTTPS":    {"", "ssh://git@ssh.github.com:443/acme/fleet", "https://api.github.com/", "acme/fleet"},
		"GitHub with data residency":  {"", "https://acme.ghe.com/acme/fleet", "https://api.acme.ghe.com/", "acme/fleet"},
		"an Enterprise server":        {GitHub, "https://git.example.com/acme/fleet", "https://git.example.com/api/v3", "acme/fleet"},
		"an Enterprise server by SSH": {GitHub, "ssh://git@git.example.com:2222/acme/fleet", "https://git.example.com/api/v3", "acme/fleet"},
		"GitLab with subgroups":       {"", "https://gitlab.com/acme/platform/fleet.git", "https://gitlab.com/api/v4", "acme/platform/fleet"},
		"GitLab by SSH over HTTPS":    {"", "ssh://git@altssh.gitlab.com:443/acme/fleet", "https://gitlab.com/api/v4", "acme/fleet"},
		"a GitLab at another port":    {GitLab, "https://git.example.com:8443/acme/fleet", "https://git.example.com:8443/api/v4", "acme/fleet"},
		"Codeberg":                    {"", "https://codeberg.org/acme/fleet", "https://codeberg.org/api/v1", "acme/fleet"},
		"a Gitea below a path":        {Gitea, "https://example.com/git/acme/fleet", "https://example.com/git/api/v1", "acme/fleet"},
		"a password is not kept":      {Gitea, "https://user:secret@example.com/acme/fleet", "https://example.com/api/v1", "acme/fleet"},
		"Bitbucket Cloud":             {"", "https://user@bitbucket.org/acme/fleet.git", "https://api.bitbucket.org/2.0", "acme/fleet"},
		"Bitbucket Data Center": {
			BitbucketServer, "https://git.example.com/scm/ACME/fleet.git", "https://git.example.com/rest", "ACME/fleet",
		},
		"Data Center below a path": {
			BitbucketServer, "https://example.com/bitbucket/scm/~ann/fleet.git", "https://example.com/bitbucket/rest",
			"~ann/fleet",
		},
		"Data Center by SSH": {
			BitbucketServer, "ssh://git@git.example.com:7999/acme/fleet.git", "https://git.example.com/rest", "acme/fleet",
		},
		"Azure DevOps":                 {"", "https://acme@dev.azure.com/acme/Shop/_git/fleet", "https://dev.azure.com/acme", "Shop/fleet"},
		"Azure DevOps, project's own":  {"", "https://dev.azure.com/acme/_git/fleet", "https://dev.azure.com/acme", "fleet/fleet"},
		"Azure DevOps by SSH":          {"", "ssh://git@ssh.dev.azure.com/v3/acme/Shop/fleet", "https://dev.azure.com/acme", "Shop/fleet"},
		"Azure DevOps, a blank":        {"", "https://dev.azure.com/acme/My%20Shop/_git/fleet", "https://dev.azure.com/acme", "My Shop/fleet"},
		"Visual Studio":                {"", "https://acme.visualstudio.com/Shop/_git/fleet", "https://acme.visualstudio.com/", "Shop/fleet"},
		"Visual Studio, project's own": {"", "https://acme.visualstudio.com/_git/fleet", "https://acme.visualstudio.com/", "fleet/fleet"},
		"an Azure DevOps server": {
			AzureDevOps, "https://tfs.example.com/tfs/Main/Shop/_git/fleet", "https://tfs.example.com/tfs/Main",
			"Shop/fleet",
		},
		"GitHub without owner":          {"", "https://github.com/fleet", "", ""},
		"GitHub with too much":          {"", "https://github.com/acme/fleet/tree/main", "", ""},
		"GitLab without group":          {"", "https://gitlab.com/fleet", "", ""},
		"Gitea without owner":           {Gitea, "https://example.com/fleet", "", ""},
		"Data Center's pages":           {BitbucketServer, "https://git.example.com/projects/ACME/repos/fleet", "", ""},
		"Azure DevOps's pages":          {"", "https://dev.azure.com/acme/Shop", "", ""},
		"Azure DevOps without the name": {"", "https://dev.azure.com/acme/Shop/_git", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := NewClients(Options{}).For(Remote{URL: tc.url, Provider: tc.provider})
			if tc.api == "" {
				if !errors.Is(err, ErrInvalid) || !Terminal(err) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			at := f.(*checkedForge).session.repository
			if at.api.String() != tc.api || at.String() != tc.path {
				t.Errorf("got %s and %s", at.api, at)
			}
		})
	}
}

func TestShortTextsSayThatTheyAre(t *testing.T) {
	for text, want := range map[string]string{
		"short": "short", "of more than sixteen": "of more than ...", "éééééééé": "éééééééé",
		"two\nlines": "two\nlines", "of more than one\nline": "of \n\n(shortened)",
	} {
		if got := fitted(text, 16); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestPatternsOfRequiredChecks(t *testing.T) {
	for name, tc := range map[string]struct {
		pattern, text string
		want          bool
	}{
		"the name":             {"ci", "ci", true},
		"another name":         {"ci", "ci/build", false},
		"a prefix":             {"ci/*", "ci/build", true},
		"the middle":           {"ci/*/linux", "ci/build/linux", true},
		"another end":          {"ci/*/linux", "ci/build/darwin", false},
		"all":                  {"*", "anything", true},
		"no overlap of pieces": {"ab*ba", "aba", false},
	} {
		if got := matches(tc.pattern, tc.text); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzMessageOf(f *testing.F) {
	f.Add([]byte(`{"message":"no","errors":[{"message":"x"}]}`))
	f.Add([]byte(`{"message":{"base":["is taken"]}}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if text := messageOf(body); len(text) > maxMessage+3 {
			t.Errorf("%d bytes", len(text))
		}
	})
}

func TestWhereAnAPIIsSaidToBe(t *testing.T) {
	for name, tc := range map[string]struct{ provider, url, api string }{
		"GitLab below a path":           {GitLab, "https://Example.com/gitlab/api/v4/", "https://example.com/gitlab/api/v4"},
		"GitHub":                        {GitHub, "https://api.acme.ghe.com", "https://api.acme.ghe.com/"},
		"an Enterprise server":          {GitHub, "https://git.example.com/api/v3", "https://git.example.com/api/v3"},
		"Azure DevOps":                  {AzureDevOps, "https://tfs.example.com/tfs/Main", "https://tfs.example.com/tfs/Main"},
		"half of GitHub's address":      {GitHub, "https://git.example.com", ""},
		"a password":                    {Gitea, "https://user:secret@example.com/api/v1", ""},
		"a query":                       {Gitea, "https://example.com/api/v1?token=secret", ""},
		"another scheme":                {Gitea, "ssh://example.com/api/v1", ""},
		"a provider that nobody knows":  {"sourcehut", "https://example.com/api/v1", ""},
		"the address of another server": {GitLab, "https://example.com/api/v1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			api, err := ParseAPI(tc.provider, tc.url)
			if tc.api == "" {
				if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "secret") {
					t.Fatalf("got %v, %v", api, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			of := map[string]string{AzureDevOps: "https://host.example.com/acme/Shop/_git/fleet"}
			url := cmp.Or(of[tc.provider], "https://host.example.com/acme/fleet")
			f, err := NewClients(Options{}).For(Remote{URL: url, Provider: tc.provider, API: api})
			if err != nil {
				t.Fatal(err)
			}
			if at := f.(*checkedForge).session.repository; at.api.String() != tc.api {
				t.Errorf("got %s", at.api)
			}
		})
	}
}

func TestConnectionsWithAFormerPasswordOfAProxyAreDropped(t *testing.T) {
	clients := NewClients(Options{})
	for _, password := range []string{"old", "new"} {
		proxy := &url.URL{Scheme: "http", Host: "proxy.example:3128", User: url.UserPassword("user", password)}
		_, err := clients.For(Remote{URL: "https://github.com/acme/fleet", Proxy: proxy})
		if err != nil || clients.transports.Len() != 1 {
			t.Errorf("%d transports: %v", clients.transports.Len(), err)
		}
	}
}
