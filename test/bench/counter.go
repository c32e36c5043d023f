// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/sluice-cd/sluice/test/harness"
)

// counter stands between a program and the API server, and counts. What a program
// says of itself cannot be compared with what another one says.
type counter struct {
	requests, writes, watches atomic.Int64
	proxy                     http.Handler

	mu   sync.Mutex
	kind map[string]int // by method and resource
}

// countRequests returns a playground whose kubeconfig leads through a counter, and
// what ends it.
func countRequests(ctx context.Context, p *harness.Playground, dir string) (*counter, *harness.Playground, error) {
	server, err := url.Parse(p.REST.Host)
	if err != nil {
		return nil, nil, err
	}
	transport, err := rest.TransportFor(p.REST)
	if err != nil {
		return nil, nil, err
	}
	c := &counter{kind: map[string]int{}, proxy: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(server) },
		Transport: transport, FlushInterval: -1, // watches are told at once
		ErrorLog: log.New(io.Discard, "", 0), // the watches that a subject ends with
	}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	through := *p
	through.Kubeconfig = filepath.Join(dir, "counted.kubeconfig")
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: counted
contexts: [{name: counted, context: {cluster: counted, user: counted}}]
clusters: [{name: counted, cluster: {server: "http://%s"}}]
users: [{name: counted, user: {}}]
`, listener.Addr())
	if err := os.WriteFile(through.Kubeconfig, []byte(config), 0o600); err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	front := &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = front.Close() })
	go func() { _ = front.Serve(listener) }()
	return c, &through, nil
}

// ServeHTTP counts a request and passes it on.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	watch := r.URL.Query().Get("watch")
	switch {
	case watch == "1" || watch == "true":
		c.watches.Add(1)
	case r.Method == http.MethodGet:
		c.requests.Add(1)
	default:
		c.requests.Add(1)
		c.writes.Add(1)
	}
	if watch == "" {
		c.note(r.Method + " " + resource(r.URL.Path))
	}
	c.proxy.ServeHTTP(w, r)
}

func (c *counter) note(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kind[kind]++
}

// most lists the commonest requests since the last call.
func (c *counter) most() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	kinds := slices.SortedFunc(maps.Keys(c.kind), func(a, b string) int { return cmp.Compare(c.kind[b], c.kind[a]) })
	var parts []string
	for _, kind := range kinds[:min(len(kinds), 12)] {
		parts = append(parts, fmt.Sprintf("%s %d", kind, c.kind[kind]))
	}
	clear(c.kind)
	return strings.Join(parts, ", ")
}

// resource is what a path of the API is about: the plural of a kind, and its
// subresource.
func resource(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	skip := map[string]int{"api": 2, "apis": 3}[parts[0]]
	if skip == 0 || len(parts) <= skip {
		return "discovery"
	}
	parts = parts[skip:]
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	if len(parts) > 2 {
		return parts[0] + "/" + parts[2]
	}
	return parts[0]
}
