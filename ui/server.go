// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/klauspost/compress/gzhttp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/ui/command"
)

// Options of a [Server].
type Options struct {
	// Cluster is what is shown.
	Cluster *Cluster
	// Token is what every request has to bring that reads or changes something: as a cookie that /login gives, or as a
	// bearer token.
	Token string
	// Version of the program.
	Version string
	Clock   clock.WithTicker
	Log     logr.Logger
}

// Server serves the page and its API. It trusts whoever has the token with all that the kubeconfig of [Cluster] may do, so
// that it listens on loopback only.
type Server struct {
	Options
	board   *board
	handler http.Handler
}

// NewServer returns a server, whose handler answers once [Server.Run] runs.
func NewServer(o Options) (*Server, error) {
	files, err := fs.Sub(built, "dist")
	if err != nil {
		return nil, err
	}
	p, err := newPage(files)
	if err != nil {
		return nil, fmt.Errorf("reading the page: %w", err)
	}
	compressed, err := gzhttp.NewWrapper(gzhttp.MinSize(1024))
	if err != nil {
		return nil, err
	}
	s := &Server{Options: o, board: newBoard(o.Cluster, o.Clock)}
	api := http.NewServeMux()
	api.HandleFunc("GET /api/v1/session", s.session)
	api.Handle("GET /api/v1/lanes", compressed(http.HandlerFunc(s.lanes)))
	api.HandleFunc("GET /api/v1/stream", s.stream)
	api.Handle("GET /api/v1/canaries/{namespace}/{name}", compressed(s.detail(s.canary)))
	api.Handle("GET /api/v1/pipelines/{namespace}/{name}", compressed(s.detail(s.pipeline)))
	api.Handle("GET /api/v1/policies/{namespace}/{name}", compressed(s.detail(s.policy)))
	api.Handle("GET /api/v1/automations/{namespace}/{name}", compressed(s.detail(s.automation)))
	api.Handle("GET /api/v1/objects/{kind}/{namespace}/{name}", compressed(s.detail(s.object)))
	api.Handle("GET /api/v1/objects", compressed(http.HandlerFunc(s.objects)))
	api.Handle("GET /api/v1/timeline", compressed(http.HandlerFunc(s.timeline)))
	api.HandleFunc("POST /api/v1/actions", s.act)
	api.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path))
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", s.login)
	mux.Handle("/api/", s.authenticated(api))
	mux.Handle("/", compressed(p))
	s.handler = guarded(http.NewCrossOriginProtection().Handler(mux))
	return s, nil
}

// Run computes what the handler serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Cluster.start(ctx, s.board.changed); err != nil {
		return err
	}
	s.board.run(ctx)
	return nil
}

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 10

// Serve answers on a listener until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: http.MaxBytesHandler(s.handler, maxRequest), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// contentPolicy is the Content-Security-Policy: the page loads nothing but its own files.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guarded refuses requests for other hosts: a page of somebody else whose name was made to resolve to this address must not
// read anything.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !isLoopback(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, "this address serves localhost only")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether the Host of a request means this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// cookieName is one for each port: those of one host share their cookies.
func cookieName(r *http.Request) string {
	_, port, _ := net.SplitHostPort(r.Host)
	return "sluice-" + port
}

// login exchanges the token of the printed address for a cookie, so that it stands neither in the address nor in the
// history for long.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if !s.knows(r.URL.Query().Get("token")) {
		refuse(w, http.StatusUnauthorized, "the token is not the one of this process: use the address that sluice ui printed last")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName(r), Value: s.Token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) knows(token string) bool {
	return s.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.Token)) == 1
}

// authenticated lets those through who have the token.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if cookie, err := r.Cookie(cookieName(r)); !bearer && err == nil {
			token = cookie.Value
		}
		if !s.knows(token) {
			refuse(w, http.StatusUnauthorized, "open the address that sluice ui printed: it signs this browser in")
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// failure is the body of an answer that is none.
type failure struct {
	// Error is for people.
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, code int, why string) { answer(w, code, failure{why}) }

// answer writes JSON. A client that went away is nobody's error.
func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// codeOf is the status of an error: of the API server, of a request, of a command.
func codeOf(err error) int {
	var unknown *unknownKindError
	var objection *command.ObjectionError
	var bad *badRequestError
	switch {
	case errors.As(err, &unknown):
		return http.StatusNotFound
	case errors.As(err, &objection):
		return http.StatusConflict
	case errors.As(err, &bad), errors.Is(err, errUnknownVerb):
		return http.StatusBadRequest
	case apierrors.IsNotFound(err):
		return http.StatusNotFound
	case apierrors.IsForbidden(err):
		return http.StatusForbidden
	case apierrors.IsConflict(err):
		return http.StatusConflict
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return http.StatusBadRequest
	default:
		return http.StatusBadGateway
	}
}
