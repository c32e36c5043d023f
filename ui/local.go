// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// local lets in who has the token of the printed address, as the owner of the kubeconfig.
type local struct {
	token   string
	cluster *Cluster
	page    http.Handler
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

func (l *local) register(mux *http.ServeMux) { mux.HandleFunc("GET /login", l.login) }

func (*local) canSignOut() bool { return false }

// login gives the page to who has the token of the printed address. The page keeps the token where no other server of this machine
// gets it: cookies know no ports, so that a browser would bring one to all of them.
func (l *local) login(w http.ResponseWriter, r *http.Request) {
	if !l.isToken(r.URL.Query().Get("token")) {
		refuse(w, http.StatusUnauthorized, "the token is not the one of this process: use the address that sluice ui printed last")
		return
	}
	l.page.ServeHTTP(w, r)
}

func (l *local) isToken(token string) bool {
	return l.token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(l.token)) == 1
}

func (l *local) authenticate(r *http.Request) (*view, error) {
	token, bearer := bearerOf(r)
	if !bearer && r.URL.Path == streamPath { // for which a browser sends no header
		token = r.URL.Query().Get("token")
	}
	if !l.isToken(token) {
		return nil, &deniedError{why: "open the address that sluice ui printed: it signs this browser in"}
	}
	return l.cluster.ownerView(), nil
}

// bearerOf is the token in the header of a request.
func bearerOf(r *http.Request) (token string, ok bool) {
	return strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
}
