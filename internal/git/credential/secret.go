// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/auth/githubapp"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// keys are what the Secret of a GitRepository may hold, for any transport or provider.
var keys = []string{
	"username", "password", "bearerToken", "identity", "identity.pub", "known_hosts",
	"ca.crt", "caFile", "tls.crt", "certFile", "tls.key", "keyFile",
	githubapp.KeyAppID, githubapp.KeyAppInstallationID, githubapp.KeyAppInstallationOwner, githubapp.KeyAppPrivateKey, githubapp.KeyAppBaseURL,
}

// knowsAny reports whether a Secret is empty or holds some of the keys. One that holds
// only others was made for something else, or by another spelling.
func knowsAny(secret *corev1.Secret) bool {
	if len(secret.Data) == 0 {
		return true
	}
	return slices.ContainsFunc(keys, func(key string) bool { _, ok := secret.Data[key]; return ok })
}

// fromSecret reads the Secret of a GitRepository. What belongs to transports that
// the URL does not use is left alone, as in Flux, so that one Secret can serve
// several.
//
//	username, password               basic auth
//	bearerToken                      instead of them
//	ca.crt (formerly caFile)         certificates to trust
//	tls.crt, tls.key                 client certificate
//	  (formerly certFile, keyFile)
//	identity, known_hosts, password  SSH key, host keys, what encrypts the key
func fromSecret(secret *corev1.Secret) (git.Auth, error) {
	value := func(key string) []byte {
		if data := secret.Data[key]; len(data) > 0 {
			return data
		}
		return nil
	}
	certificates := outbound.Certificates(secret.Data)
	refuse := func(why string) (git.Auth, error) {
		return git.Auth{}, fmt.Errorf("secret '%s/%s': %s", secret.Namespace, secret.Name, why)
	}
	a := git.Auth{
		Username: string(value("username")), Password: string(value("password")),
		BearerToken: strings.TrimSpace(string(value("bearerToken"))),
		CA:          []byte(certificates.CA), Cert: []byte(certificates.Cert), Key: []byte(certificates.Key),
		Identity: value("identity"), KnownHosts: value("known_hosts"),
	}
	switch {
	case !knowsAny(secret):
		return refuse(fmt.Sprintf("it has %s, and none of the keys that a GitRepository reads: "+
			"name them username and password, bearerToken, or identity and known_hosts",
			cmp.Or(strings.Join(slices.Sorted(maps.Keys(secret.Data)), ", "), "no keys")))
	case (certificates.Cert == "") != (certificates.Key == ""):
		return refuse("'tls.crt' and 'tls.key' are both needed for a client certificate")
	case a.BearerToken != "" && a.Username != "":
		return refuse("'bearerToken' and 'username' exclude one another")
	case a.Identity != nil && a.KnownHosts == nil:
		return refuse("'identity' requires 'known_hosts' to be set")
	case a.Identity == nil && a.Username == "" && a.Password != "":
		return refuse("'password' requires 'username' to be set")
	}
	if a.Identity != nil {
		a.Passphrase = []byte(a.Password)
	}
	if a.Username == "" {
		a.Password = ""
	}
	return a, nil
}
