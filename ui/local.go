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

func (l *local) register(mux *http.ServeMux) { mux.HandleFunc("GET /login", l.login) }

func (*local) canSignOut() bool { return false }

// cookieName is one for each port: those of one host share their cookies.
func cookieName(r *http.Request) string {
	_, port, _ := net.SplitHostPort(r.Host)
	return "sluice-" + port
}

// login exchanges the token of the printed address for a cookie, so that it stands neither in the address nor in the
// history for long.
func (l *local) login(w http.ResponseWriter, r *http.Request) {
	if !l.isToken(r.URL.Query().Get("token")) {
		refuse(w, http.StatusUnauthorized, "the token is not the one of this process: use the address that sluice ui printed last")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName(r), Value: l.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (l *local) isToken(token string) bool {
	return l.token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(l.token)) == 1
}

func (l *local) authenticate(r *http.Request) (*view, error) {
	token, bearer := bearerOf(r)
	if cookie, err := r.Cookie(cookieName(r)); !bearer && err == nil {
		token = cookie.Value
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
