// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// errCut is what the controller gets once its wire is cut.
var errCut = errors.New("the wire is cut")

// wire is between a controller and the API server. It counts requests that are
// not watches, and can be cut after a number of writes: to everybody else that is
// what a kill -9 looks like.
type wire struct {
	requests atomic.Int64

	mu   sync.Mutex
	left int // writes until the cut; negative is for ever
	cut  chan struct{}
}

func newWire() *wire { return &wire{left: -1} }

func (w *wire) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("watch") == "" {
			w.requests.Add(1)
		}
		if !w.pass(r.Method) {
			return nil, errCut
		}
		return next.RoundTrip(r)
	})
}

// pass reports whether a request still gets through.
func (w *wire) pass(method string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left < 0 {
		return true
	}
	if method == http.MethodGet {
		return w.left > 0
	}
	if w.left == 0 {
		select {
		case <-w.cut:
		default:
			close(w.cut)
		}
		return false
	}
	w.left--
	return true
}

// cutAfter lets a number of writes through, and no request after the next one.
// The channel is closed by the first write that did not get through.
func (w *wire) cutAfter(writes int) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.cut = writes, make(chan struct{})
	return w.cut
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = -1
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// metricsServer answers every query as the test wants, in Prometheus' format.
type metricsServer struct {
	*httptest.Server
	answer atomic.Value // http.HandlerFunc
}

func newMetricsServer(t *testing.T) *metricsServer {
	t.Helper()
	m := &metricsServer{}
	m.say("100")
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.answer.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(m.Close)
	return m
}

// say answers with one series for each value.
func (m *metricsServer) say(values ...string) {
	series := ""
	for i, value := range values {
		if i > 0 {
			series += ","
		}
		series += fmt.Sprintf(`{"metric":{"n":"%d"},"value":[1,"%s"]}`, i, value)
	}
	m.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[`+series+`]}}`)
	}))
}

// refuse answers with an error of the server.
func (m *metricsServer) refuse() {
	m.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no route to Prometheus", http.StatusServiceUnavailable)
	}))
}

// hang does not answer until the client gives up.
func (m *metricsServer) hang() {
	m.answer.Store(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
}
