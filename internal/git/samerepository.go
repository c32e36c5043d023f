// SPDX-License-Identifier: Apache-2.0

package git

import (
	"net/url"
	"strings"
)

// SameRepository reports whether two URLs name one repository, whatever the protocol and
// the user, and whichever host of a provider serves that protocol.
func SameRepository(a, b string) bool {
	return a == b || repositoryOf(a) != "" && repositoryOf(a) == repositoryOf(b)
}

// azureDevOps has repositories at ORGANIZATION/PROJECT/_git/NAME, and by SSH at
// v3/ORGANIZATION/PROJECT/NAME of a host of its own.
const azureDevOps = "dev.azure.com"

// hostsOfSSH are hosts that serve what another does, by SSH or at the port of HTTPS.
var hostsOfSSH = map[string]string{
	"ssh.dev.azure.com":    azureDevOps,
	"ssh.github.com":       "github.com",
	"altssh.gitlab.com":    "gitlab.com",
	"altssh.bitbucket.org": "bitbucket.org",
}

func repositoryOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	host, path := strings.ToLower(u.Hostname()), strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	if named, ok := hostsOfSSH[host]; ok {
		host = named
	}
	if organization, ok := strings.CutSuffix(host, ".visualstudio.com"); ok { // the older name of Azure DevOps
		host, path = azureDevOps, organization+"/"+strings.TrimPrefix(path, "DefaultCollection/")
	}
	if host == azureDevOps {
		path = strings.Replace(strings.TrimPrefix(path, "v3/"), "/_git/", "/", 1)
	}
	return host + "/" + path
}
