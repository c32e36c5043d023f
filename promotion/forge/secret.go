// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/auth/githubapp"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// identity is as whom requests are made.
type identity struct {
	// id tells one identity from another and is safe to show: a digest. Limits and ETags
	// are kept by it. A token that is made anew by the same App does not change it.
	id string
	// keys are the keys of the Secret that it is from.
	keys []string
	// header returns the Authorization header, and what must not appear in messages.
	header func(context.Context) (header string, secrets []string, err error)
	// lasting says that the credential is what the Secret holds, so that a refusal is
	// final. A token that was made a moment ago may not be known everywhere yet.
	lasting bool
}

// keysOf are the keys that a Secret for a provider may hold, as people write them.
func (p provider) keysOf() []string {
	keys := []string{"token", "username", "password", "bearerToken"}
	if p.app {
		keys = append(keys, githubapp.KeyAppID, githubapp.KeyAppInstallationID, githubapp.KeyAppInstallationOwner,
			githubapp.KeyAppPrivateKey, githubapp.KeyAppBaseURL)
	}
	return keys
}

// identityOf reads a Secret.
//
//	token                     as a Provider of Flux has it; of Bitbucket also user:token
//	username, password        as the Secret of a GitRepository has them
//	bearerToken               likewise
//	githubApp...              the data of a GitHub App, as Flux has it
//	ca.crt (caFile), tls.crt, tls.key (certFile, keyFile)  see settingsOf
func (p provider) identityOf(secret *corev1.Secret, opts credential.AppOptions) (identity, error) {
	if secret == nil {
		return identity{id: "anonymous", lasting: true, header: func(context.Context) (string, []string, error) { return "", nil, nil }}, nil
	}
	value := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	user, password := value("username"), value("password")
	switch {
	case p.app && value(githubapp.KeyAppID) != "":
		return appIdentity(secret, opts)
	case value("bearerToken") != "":
		return staticIdentity("bearerToken", bearer(value("bearerToken")), value("bearerToken")), nil
	case value("token") != "":
		return p.tokenIdentity(value("token")), nil
	case password != "" && p.basic:
		found := staticIdentity("username", basic(user, password), password, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
		found.keys = []string{"username", "password"}
		return found, nil
	case password != "":
		return staticIdentity("password", p.token(password), password), nil
	}
	return identity{}, fmt.Errorf("%w: secret '%s/%s' holds none of the keys %s; it has: %s", ErrInvalid, secret.Namespace, secret.Name,
		strings.Join(p.keysOf(), ", "), strings.Join(slices.Sorted(maps.Keys(secret.Data)), ", "))
}

// tokenIdentity is that of the key token. Where user and password are taken, a token
// with a colon is both, as in Flux.
func (p provider) tokenIdentity(token string) identity {
	if user, password, ok := strings.Cut(token, ":"); ok && p.basic {
		return staticIdentity("token", basic(user, password), token, password, base64.StdEncoding.EncodeToString([]byte(token)))
	}
	header := p.token(token)
	_, sent, _ := strings.Cut(header, " ")
	return staticIdentity("token", header, token, sent)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// staticIdentity is an identity that sends the same header each time.
func staticIdentity(key, header string, secrets ...string) identity {
	return identity{
		id: digest(header), keys: []string{key}, lasting: true,
		header: func(context.Context) (string, []string, error) { return header, secrets, nil },
	}
}

// appIdentity is an installation of a GitHub App.
func appIdentity(secret *corev1.Secret, opts credential.AppOptions) (identity, error) {
	tokens, err := credential.AppTokens(secret, opts)
	if err != nil {
		return identity{}, fmt.Errorf("%w: secret '%s/%s': %w", ErrInvalid, secret.Namespace, secret.Name, err)
	}
	return identity{
		id: digest(tokens.ID), keys: []string{githubapp.KeyAppID, githubapp.KeyAppPrivateKey},
		header: func(ctx context.Context) (string, []string, error) {
			token, err := tokens.Get(ctx)
			if err != nil {
				return "", nil, fmt.Errorf("getting a token of the GitHub App: %w", err)
			}
			return bearer(token.Password), []string{token.Password}, nil
		},
	}, nil
}

func digest(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:16] }

// settingsOf is whom connections trust, and as whom they present themselves.
func settingsOf(secret *corev1.Secret) outbound.Settings {
	if secret == nil {
		return outbound.Settings{}
	}
	return outbound.Certificates(secret.Data)
}
