// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// local lets in who has the token of the printed address, as the owner of the kubeconfig.
type local struct {
	token   string
	cluster *Cluster
}

func (l *local) serves(host string) bool { return isLoopback(host) }

// isLoopback reports whether the Host of a request means this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// streamPath is the address of the stream.
const streamPath = "/api/v1/stream"

// LoginURL is the address that signs a browser in at a [Server] with a token. The token is in the fragment, which a browser sends to no
// server, so that no cache and no log has it. The page keeps it where no other server of this machine gets it: cookies know no ports, so
// that a browser would bring one to all of them.
func LoginURL(at net.Addr, token string) string {
	fragment := url.Values{"token": {token}}.Encode()
	return (&url.URL{Scheme: "http", Host: at.String(), Path: "/login"}).String() + "#" + fragment
}

// register adds nothing: the page is at every path, /login too.
func (*local) register(*http.ServeMux) {}

func (*local) canSignOut() bool { return false }

func (l *local) isToken(token string) bool {
	return l.token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(l.token)) == 1
}

func (l *local) authenticate(r *http.Request) (*view, error) {
	token, bearer := bearerOf(r)
	if !bearer && r.URL.Path == streamPath { // for which a browser sends no header
		token = r.URL.Query().Get("token")
	}
	if !l.isToken(token) {
		return nil, &deniedError{why: "open the address that sluice ui printed last: it signs this browser in"}
	}
	return l.cluster.ownerView(), nil
}

// bearerOf is the token in the header of a request.
func bearerOf(r *http.Request) (token string, ok bool) {
	return strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
}
