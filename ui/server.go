// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/klauspost/compress/gzhttp"
	"golang.org/x/net/netutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/scan"
	"github.com/sluice-cd/sluice/ui/command"
)

// Options of a [Server].
type Options struct {
	// Cluster is what is shown.
	Cluster *Cluster
	// Token is what every request has to bring that reads or changes something, as a bearer token, or for the stream in the query:
	// who has it may do all that the kubeconfig of Cluster may. The server answers on loopback only.
	Token string
	// SignIn, instead of Token, lets people in who say who they are, each with their own rights.
	SignIn *SignIn
	// Tags lists the tags of an ImageRepository that the client of a user has read; default: as [scan.List] does.
	Tags func(context.Context, client.Client, *imagev1.ImageRepository) (Tags, error)
	// Commits knows what commits changed; nil knows none, as on a machine of somebody who looks at a cluster.
	Commits Commits
	// Record is told of every command that a user has given to an object; default: an event of the object, with the rights of the user.
	Record func(of client.Object, user string, what Action)
	// Unavailable is told why the cluster cannot be asked for its kinds, which is tried again
	// until it can; nil has [Server.Run] end with that.
	Unavailable func(error)
	// Version of the program.
	Version string
	Clock   clock.WithTicker
	Log     logr.Logger
}

// Server serves the page and its API.
type Server struct {
	Options
	authenticator     authenticator
	boards            *boards
	streams, requests userLimits
	judged            *background.Slots[string] // policies for people who did not sign in
	ready             chan struct{}             // closed when the cluster is known
	handler           http.Handler
}

// authenticator decides who may read the page, and as whom.
type authenticator interface {
	// serves reports whether requests may name a host. A page of somebody else whose name was made to resolve to this
	// address must not read anything.
	serves(host string) bool
	// register adds the paths below /login and /logout.
	register(*http.ServeMux)
	// authenticate returns what the sender of a request sees. The error is for people, and a [deniedError] where they have to
	// sign in.
	authenticate(*http.Request) (*view, error)
	// canSignOut reports whether there is something to sign out of.
	canSignOut() bool
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
	s := &Server{
		Options: o, boards: newBoards(o.Clock), ready: make(chan struct{}),
		streams:  newUserLimits(maxStreams, maxAnonymousStreams, maxAllStreams),
		requests: newUserLimits(maxRequests, maxAnonymousRequests, maxAllRequests),
		judged:   background.NewSlots[string](maxAnonymousJudged, 0),
	}
	if s.Tags == nil {
		s.Tags = func(ctx context.Context, c client.Client, repo *imagev1.ImageRepository) (Tags, error) {
			names, err := scan.List(ctx, c, repo, o.Clock)
			return Tags{Names: names}, err
		}
	}
	s.authenticator = &local{token: o.Token, cluster: o.Cluster}
	if o.SignIn != nil {
		if s.authenticator, err = o.SignIn.open(o.Cluster, o.Clock); err != nil {
			return nil, err
		}
	}
	s.handler = s.routes(p, compressed)
	return s, nil
}

// routes are the page and its API. Only the stream is not among the requests that a user has so many of at one time.
func (s *Server) routes(p *page, compressed func(http.Handler) http.HandlerFunc) http.Handler {
	authenticated, api := http.NewServeMux(), http.NewServeMux()
	api.HandleFunc("GET /api/v1/session", s.session)
	api.Handle("GET /api/v1/lanes", compressed(http.HandlerFunc(s.lanes)))
	authenticated.HandleFunc("GET "+streamPath, s.stream)
	api.Handle("GET /api/v1/canaries/{namespace}/{name}", compressed(s.detail(s.canary)))
	api.Handle("GET /api/v1/pipelines/{namespace}/{name}", compressed(s.detail(s.pipeline)))
	api.Handle("GET /api/v1/policies/{namespace}/{name}",
		s.limitAnonymous(limitOverall(background.NewSlots[string](maxPolicies, 0), compressed(s.detail(s.policy)))))
	api.Handle("GET /api/v1/automations/{namespace}/{name}", compressed(s.detail(s.automation)))
	api.Handle("GET /api/v1/commits/{kind}/{namespace}/{name}/{commit}",
		limitOverall(background.NewSlots[string](maxCommits, 0), compressed(s.detail(s.commit))))
	api.Handle("GET /api/v1/objects/{kind}/{namespace}/{name}", compressed(s.detail(s.object)))
	api.Handle("GET /api/v1/objects", compressed(http.HandlerFunc(s.objects)))
	api.Handle("GET /api/v1/search", compressed(search()))
	api.Handle("GET /api/v1/timeline", compressed(http.HandlerFunc(s.timeline)))
	api.HandleFunc("POST /api/v1/actions", s.act)
	api.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path))
	})
	mux := http.NewServeMux()
	authenticated.Handle("/api/", s.limitPerUser(api))
	s.authenticator.register(mux)
	mux.Handle("/api/", s.authenticated(authenticated))
	mux.Handle("/", compressed(p))
	return s.guarded(http.NewCrossOriginProtection().Handler(mux))
}

// Run computes what the handler serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Cluster.start(ctx, s.boards.changed, s.waitToRetry); err != nil {
		return err
	}
	s.Cluster.answered()
	close(s.ready)
	go s.stayInTouch(ctx)
	look := s.Clock.NewTicker(missingRetry)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C():
			if len(s.Cluster.missingKinds()) > 0 {
				background.Run(ctx, func() { s.Cluster.findMissing(ctx, s.boards.changed) })
			}
		}
	}
}

// missingRetry is how often kinds are looked for that are missing.
const missingRetry = 20 * time.Second

// startRetry is the time between two attempts to ask the cluster for a kind.
const startRetry = 5 * time.Second

// waitToRetry waits until what failed is tried again, or returns the error.
func (s *Server) waitToRetry(ctx context.Context, err error) error {
	if s.Unavailable == nil || ctx.Err() != nil {
		return err
	}
	s.Unavailable(err)
	select {
	case <-ctx.Done():
		return err
	case <-s.Clock.After(startRetry):
		return nil
	}
}

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 10

// Protocols are what a listener with TLS may agree on with a browser. HTTP/1.1 gives it six connections for all its tabs, of which
// each stream takes one; HTTP/2 has no such limit.
var Protocols = []string{"h2", "http/1.1"}

// http2 bounds connections of HTTP/2, whose requests share one. So many are answered at one time on each; those that a client
// resets count until their handler has returned. A connection on which nothing is heard is asked whether it is still there.
var http2 = http.HTTP2Config{
	MaxConcurrentStreams: 64, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: writeTimeout,
}

// maxConnections bounds the connections of all people together: beyond it, new ones wait until others end.
const maxConnections = 8192

// Bounded is a listener with as many connections as the page can have. TLS goes around it: the server has to see that.
func Bounded(l net.Listener) net.Listener { return netutil.LimitListener(l, maxConnections) }

// Serve answers on a listener until ctx ends. One with TLS should offer [Protocols], and be
// around one that is [Bounded].
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: http.MaxBytesHandler(s.handler, maxRequest), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, HTTP2: &http2,
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

// guarded sets the headers that keep a browser from doing more than the page asks for, and refuses requests for other hosts.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !s.authenticator.serves(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, "this address serves other names only")
			return
		}
		// Also of what is given without a sign-in: whoever does not read its answer would keep the connection for ever.
		_ = http.NewResponseController(w).SetWriteDeadline(s.Clock.Now().Add(requestTimeout + writeTimeout))
		next.ServeHTTP(w, r)
	})
}

// deniedError means that nothing is answered to who has not said who they are.
type deniedError struct {
	why string
	// login is where to do so; empty where no page can.
	login string
}

func (e *deniedError) Error() string { return e.why }

type viewKey struct{}

// viewOf is what the sender of a request sees, once [Server.authenticated] has let it through.
func viewOf(r *http.Request) *view {
	v, _ := r.Context().Value(viewKey{}).(*view)
	return v
}

// authenticated lets those through who may come in, once the cluster is known.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		v, err := s.authenticator.authenticate(r)
		var denied *deniedError
		switch {
		case errors.As(err, &denied):
			answer(w, http.StatusUnauthorized, failure{denied.why, denied.login})
			return
		case err != nil:
			refuse(w, codeOf(err), err.Error())
			return
		}
		select {
		case <-s.ready:
		case <-r.Context().Done():
			return
		case <-s.Clock.After(requestTimeout):
			refuse(w, http.StatusServiceUnavailable, "the objects of the cluster are still being read: try again in a moment")
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), viewKey{}, v)))
	})
}

// failure is the body of an answer that is none.
type failure struct {
	// Error is for people.
	Error string `json:"error"`
	// Login is where to sign in, if that helps.
	Login string `json:"login,omitempty"`
}

func refuse(w http.ResponseWriter, code int, why string) { answer(w, code, failure{Error: why}) }

// answer writes JSON. A client that went away is nobody's error.
func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// codeOf is the status of an error: of the API server, of a request, of a command.
func codeOf(err error) int {
	var unknown *unknownKindError
	var unnamed *unknownCommitError
	var objection *command.ObjectionError
	var bad *badRequestError
	switch {
	case errors.Is(err, errReadOnly):
		return http.StatusForbidden
	case errors.Is(err, errTooManyBoards):
		return http.StatusServiceUnavailable
	case errors.Is(err, errCrowded), errors.Is(err, errCrowdedPolicies):
		return http.StatusTooManyRequests
	case errors.As(err, &unknown), errors.As(err, &unnamed):
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
