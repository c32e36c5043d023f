// SPDX-License-Identifier: Apache-2.0

package tenants

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// secret is a value that occurs nowhere else.
func secret(of string) string { return marker + "-" + of }

// marker is in every secret.
const marker = "sEcReT"

// page is what servers inside of the cluster would say, and nobody should repeat.
const page = "iNtErNaL-page-of-somebody"

// server is the tenant's: a registry, a Git server, a proxy, an issuer, whatever it
// is taken for. It keeps what it was sent, and repeats credentials in its answers.
type server struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
	end  chan struct{}
}

func newServer(t *testing.T) *server {
	s := &server{end: make(chan struct{})}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() { close(s.end); s.Close() })
	return s
}

// Host is where it listens.
func (s *server) Host() string { return strings.TrimPrefix(s.URL, "http://") }

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	s.mu.Lock()
	s.sent = append(s.sent, fmt.Sprintf("%s %s %v %s", r.Method, r.RequestURI, r.Header, body))
	s.mu.Unlock()
	switch {
	case strings.Contains(r.RequestURI, "/hang"):
		select {
		case <-s.end:
		case <-r.Context().Done():
		}
	case r.Method == http.MethodConnect:
		w.WriteHeader(http.StatusBadGateway)
	case strings.Contains(r.RequestURI, "/later"), strings.HasPrefix(r.RequestURI, "http://") && strings.Contains(r.RequestURI, "/v2/"):
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	case r.Header.Get("Authorization") == "":
		w.Header().Set("Www-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	default:
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"you said %s"}]}`, r.Header.Get("Authorization"))
	}
}

// saw are the requests that contain a text.
func (s *server) saw(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, request := range s.sent {
		if strings.Contains(request, text) {
			found = append(found, request)
		}
	}
	return found
}

// newMetadata is the metadata service of a cloud, with a token for the controller.
func newMetadata(t *testing.T) string {
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if strings.Contains(r.URL.Path, "/token") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"access_token":"`+secret("cloud")+`","expires_in":3600,"token_type":"Bearer"}`)
			return
		}
		_, _ = fmt.Fprint(w, page)
	}))
	t.Cleanup(metadata.Close)
	return metadata.URL
}
