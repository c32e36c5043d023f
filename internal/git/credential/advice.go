// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"errors"
	"fmt"
	"net/url"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/sluice-cd/sluice/internal/git"
)

// Advise adds to an error of repo's remote where its credentials come from, if these may
// be why: what a server says of a refusal names no Secret.
func Advise(repo *sourcev1.GitRepository, err error) error {
	from := origin(repo)
	switch {
	case errors.Is(err, git.ErrHostKey) && repo.Spec.SecretRef != nil:
		return fmt.Errorf("%w; 'known_hosts' is that of %s", err, from)
	case errors.Is(err, git.ErrUnauthorized) && from == "", errors.Is(err, git.ErrRepositoryNotFound) && from == "":
		return fmt.Errorf("%w; there are no credentials: look at spec.url, or set spec.secretRef", err)
	case errors.Is(err, git.ErrCredentials) && from == "":
		return fmt.Errorf("%w; set spec.secretRef", err)
	case errors.Is(err, git.ErrUnauthorized), errors.Is(err, git.ErrCredentials):
		return fmt.Errorf("%w; the credentials are those of %s", err, from)
	case errors.Is(err, git.ErrRepositoryNotFound):
		return fmt.Errorf("%w; look at spec.url, and whether the credentials of %s may read it", err, from)
	}
	return err
}

// origin says where the credentials of repo come from; "" is that it has none.
func origin(repo *sourcev1.GitRepository) string {
	provider := repo.GetProvider()
	switch ref := repo.Spec.SecretRef; {
	case provider == sourcev1.GitProviderAzure, provider == sourcev1.GitProviderAWS:
		return "the identity of spec.provider '" + provider + "'"
	case ref != nil:
		return fmt.Sprintf("Secret %s/%s, spec.secretRef", repo.Namespace, ref.Name)
	}
	if u, err := url.Parse(repo.Spec.URL); err == nil && u.User != nil && u.Scheme != "ssh" { // whose user is no credential
		return "spec.url"
	}
	return ""
}
