// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/internal/git"
)

func TestARefusalNamedNoSecret(t *testing.T) {
	const none, secret = "; there are no credentials: look at spec.url, or set spec.secretRef", "Secret apps/creds, spec.secretRef"
	named := func(repo *sourcev1.GitRepository) { repo.Spec.SecretRef = &meta.LocalObjectReference{Name: "creds"} }
	tests := map[string]struct {
		repo  func(*sourcev1.GitRepository)
		cause error
		want  string // what is added; "" is nothing
	}{
		"a wrong password": {named, git.ErrUnauthorized, "; the credentials are those of " + secret},
		"a repository that is hidden": {
			named, git.ErrRepositoryNotFound,
			"; look at spec.url, and whether the credentials of " + secret + " may read it",
		},
		"a key that cannot be read":    {named, git.ErrCredentials, "; the credentials are those of " + secret},
		"a host key that is not known": {named, git.ErrHostKey, "; 'known_hosts' is that of " + secret},
		"no credentials":               {nil, git.ErrUnauthorized, none},
		"a private repository without": {nil, git.ErrRepositoryNotFound, none},
		"SSH without a Secret":         {nil, git.ErrCredentials, "; set spec.secretRef"},
		"SSH with a user, and without a Secret": {
			func(r *sourcev1.GitRepository) { r.Spec.URL = "ssh://git@git.example.com/app" }, git.ErrCredentials, "; set spec.secretRef",
		},
		"the identity of a cloud": {
			func(r *sourcev1.GitRepository) { r.Spec.Provider = "azure" }, git.ErrUnauthorized,
			"; the credentials are those of the identity of spec.provider 'azure'",
		},
		"a password in the URL": {
			func(r *sourcev1.GitRepository) { r.Spec.URL = "https://user:hunter2@git.example.com/app" }, git.ErrUnauthorized,
			"; the credentials are those of spec.url",
		},
		"an outage":                  {named, git.ErrUnreachable, ""},
		"a ref that is not there":    {named, git.ErrRefNotFound, ""},
		"a rule that refuses a push": {named, git.ErrRejected, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := &sourcev1.GitRepository{}
			repo.Namespace, repo.Name, repo.Spec.URL = "apps", "app", "https://git.example.com/app"
			if tc.repo != nil {
				tc.repo(repo)
			}
			cause := fmt.Errorf("listing refs: %w", tc.cause)
			got := Advise(repo, cause)
			if !errors.Is(got, tc.cause) || got.Error() != cause.Error()+tc.want || strings.Contains(got.Error(), "hunter2") {
				t.Errorf("got %q, want %q and %q", got, cause, tc.want)
			}
		})
	}
	if Advise(&sourcev1.GitRepository{}, nil) != nil {
		t.Error("something went wrong where nothing did")
	}
}
