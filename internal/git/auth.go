// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
)

// Auth is how to prove oneself to a remote, and how to reach it. The zero value
// is anonymous and direct.
type Auth struct {
	// Username and Password are sent as basic auth.
	Username, Password string
	// BearerToken is sent as such, and wins over basic auth.
	BearerToken string
	// Tokens gives credentials that do not last, instead of the above.
	Tokens *Tokens
	// CA holds the PEM certificates to trust beside the system's.
	CA []byte
	// Cert and Key are the PEM client certificate for HTTPS.
	Cert, Key []byte
	// Identity is a private SSH key, Passphrase what it is encrypted with, and
	// KnownHosts the host keys to accept, in the format of OpenSSH.
	Identity, Passphrase, KnownHosts []byte
	// Proxy is the URL of a proxy with its credentials: see [outbound.ParseProxy].
	// Without one, HTTP goes by the proxy of the environment.
	Proxy string
}

// Tokens is a source of credentials that do not last, such as an identity that
// a cloud gives to the workload.
type Tokens struct {
	// ID tells one identity from another, whatever its token is at the moment.
	ID string
	// Get returns credentials that are valid now, and should cache them.
	Get func(context.Context) (Token, error)
}

// Token is a credential that does not last: a bearer token, or a user name and a
// password.
type Token struct {
	Username, Password, Bearer string
}

// Remote is a repository as seen with one credential.
type Remote struct {
	URL  string
	Auth Auth
	// Namespace is whose share of memory and disk is used. It is no part of what the
	// remote is: namespaces that have the same credentials share a mirror.
	Namespace string
	// Owner names whose remote it is, as far as mirrors need to know: once all owners of
	// a mirror have other remotes, or were forgotten, it is removed. "" is nobody.
	Owner string
}

// ID is the identity of a remote: equal for equal URL and credential, and safe
// to show. A new token of the same identity does not change it.
func (r Remote) ID() string {
	h := sha256.New()
	for _, part := range append([][]byte{[]byte(r.URL)}, r.Auth.parts()...) {
		fmt.Fprintf(h, "%d:", len(part)) // so that no two remotes run together
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

func (a Auth) parts() [][]byte {
	tokens := ""
	if a.Tokens != nil {
		tokens = a.Tokens.ID
	}
	return [][]byte{
		[]byte(a.Username), []byte(a.Password), []byte(a.BearerToken), []byte(tokens), a.CA, a.Cert, a.Key,
		a.Identity, a.Passphrase, a.KnownHosts, []byte(a.Proxy),
	}
}

// orFrom takes the credentials of a URL when there are no others.
func (a Auth) orFrom(user *url.Userinfo) Auth {
	if user != nil && a.Username == "" && a.Password == "" && a.BearerToken == "" && a.Tokens == nil {
		a.Username = user.Username()
		a.Password, _ = user.Password()
	}
	return a
}

// current is the credential to use now.
func (a Auth) current(ctx context.Context) (Token, error) {
	if a.Tokens == nil {
		return Token{Username: a.Username, Password: a.Password, Bearer: a.BearerToken}, nil
	}
	token, err := a.Tokens.Get(ctx)
	if err != nil {
		return Token{}, fmt.Errorf("getting a token: %w", err)
	}
	return token, nil
}

// secrets lists the forms in which the credential could turn up in an answer.
func (t Token) secrets() []string {
	secrets := []string{t.Bearer}
	if t.Password != "" {
		secrets = append(secrets, t.Password, url.QueryEscape(t.Password), url.PathEscape(t.Password),
			base64.StdEncoding.EncodeToString([]byte(t.Username+":"+t.Password)))
	}
	return secrets
}

// secrets lists what could turn up besides the current token.
func (a Auth) secrets() []string {
	secrets := []string{string(a.Passphrase)}
	if proxy, err := url.Parse(a.Proxy); err == nil {
		if password, ok := proxy.User.Password(); ok {
			secrets = append(secrets, Token{Username: proxy.User.Username(), Password: password}.secrets()...)
		}
	}
	return secrets
}
