// SPDX-License-Identifier: Apache-2.0

// Package gateway is a small real gateway for playgrounds with real pods.
//
// It obeys what it finds in HTTPRoutes, as far as a demonstration needs it: the
// host picks the route, the weights pick the pod, and the request goes there and
// back over the network. A request for a Service without ready pods gets status
// 503, as the Gateway API wants it. What it counts goes to [traffic.Metrics].
// [Load] is the crowd in front of it: a steady, bounded stream of requests.
//
//	Load -> Gateway -> pod IP (chosen by HTTPRoute weight and EndpointSlice)
//	           |
//	           +-> traffic.Metrics <- Prometheus
package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/traffic"
)

// refresh is how often the routes are read; reading is cheap, see
// [traffic.NewReader].
const refresh = 50 * time.Millisecond

// Gateway proxies requests by HTTPRoutes.
type Gateway struct {
	// Reader sees routes, Services and EndpointSlices.
	Reader client.Reader
	// Metrics receive the counts.
	Metrics *traffic.Metrics

	routes atomic.Pointer[[]traffic.Route]
}

// Serve answers requests on the listener until ctx ends.
func (g *Gateway) Serve(ctx context.Context, listener net.Listener) error {
	if err := g.read(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	go g.follow(ctx)
	server := &http.Server{Handler: g, ReadHeaderTimeout: time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (g *Gateway) follow(ctx context.Context) {
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = g.read(ctx) // the last routes that could be read stay in force
		}
	}
}

func (g *Gateway) read(ctx context.Context) error {
	routes, err := traffic.Read(ctx, g.Reader)
	if err == nil {
		g.routes.Store(&routes)
	}
	return err
}

// ServeHTTP proxies one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, ok := match(*g.routes.Load(), r.Host)
	if !ok {
		http.Error(w, "no route for "+r.Host, http.StatusNotFound)
		return
	}
	backend, ok := pick(route, rand.Float64())
	if !ok {
		g.Metrics.Unserved(route.Namespace, route.Name)
		http.Error(w, "no ready pod", http.StatusServiceUnavailable)
		return
	}
	start, answer := time.Now(), &recorder{ResponseWriter: w, status: http.StatusOK}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend.Address})
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
	proxy.ServeHTTP(answer, r)
	g.Metrics.Answered(route.Namespace, backend.Pod, answer.status, time.Since(start))
}

// match finds the route for a host; one without hostnames takes any.
func match(routes []traffic.Route, host string) (traffic.Route, bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	i := slices.IndexFunc(routes, func(r traffic.Route) bool {
		return len(r.Hostnames) == 0 || slices.Contains(r.Hostnames, host)
	})
	if i < 0 {
		return traffic.Route{}, false
	}
	return routes[i], true
}

// pick maps a number from 0 to 1 to a pod by the pods' shares; what is left over
// belongs to Services without pods.
func pick(route traffic.Route, at float64) (traffic.Backend, bool) {
	for _, backend := range route.Backends {
		if at < backend.Share {
			return backend, true
		}
		at -= backend.Share
	}
	return traffic.Backend{}, false
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}
