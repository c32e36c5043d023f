// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
)

// apiServer serves discovery of the kinds, whose names are separated by spaces.
func apiServer(t *testing.T, kinds *atomic.Value) *rest.Config {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version := strings.TrimPrefix(r.URL.Path, "/apis/")
		list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version}
		for _, kind := range strings.Fields(kinds.Load().(string)) {
			if name, in, _ := strings.Cut(kind, "."); in == version {
				list.APIResources = append(list.APIResources, metav1.APIResource{Name: strings.ToLower(name) + "s", Kind: name})
			}
		}
		if len(list.APIResources) == 0 {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

func TestTheControllerWaitsForItsKinds(t *testing.T) {
	kinds := &atomic.Value{}
	kinds.Store("GitRepository.source.toolkit.fluxcd.io/v1")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	health := listener.Addr().String()
	_ = listener.Close()
	clock, said := clocktesting.NewFakeClock(time.Now()), make(chan string, 10)
	log := funcr.New(func(_, args string) { said <- args }, funcr.Options{})
	wait, err := newKindsWait(apiServer(t, kinds), &flags{healthAddr: health}, clock, log)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- wait.until(t.Context(), []string{"source", "kustomize"}) }()

	const missing = "Kustomization.kustomize.toolkit.fluxcd.io/v1"
	if line := <-said; !strings.Contains(line, missing) || strings.Contains(line, "GitRepository") {
		t.Errorf("the log says %s", line)
	}
	if status, body := probe(t, health, "readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "waiting for "+missing) {
		t.Errorf("readyz: %d %s", status, body)
	}
	if status, _ := probe(t, health, "healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d, the process would be killed while it waits", status)
	}
	kinds.Store("GitRepository.source.toolkit.fluxcd.io/v1 " + missing)
	for deadline := time.After(10 * time.Second); ; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if _, err := net.DialTimeout("tcp", health, time.Second); err == nil {
				t.Error("the manager's address is still taken")
			}
			return
		case <-deadline:
			t.Fatal("it goes on waiting")
		case <-time.After(10 * time.Millisecond):
			clock.Step(kindsPeriod) // again and again: the ticker may not be there yet
		}
	}
}

func probe(t *testing.T, address, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://%s/%s", address, path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestWaitingForKindsEnds(t *testing.T) {
	kinds := &atomic.Value{}
	kinds.Store("")
	wait, err := newKindsWait(apiServer(t, kinds), &flags{
		healthAddr: "0",
	}, clocktesting.NewFakeClock(time.Now()), funcr.New(func(string, string) {}, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := wait.until(ctx, groups); !errors.Is(err, context.Canceled) {
		t.Errorf("when the process is told to end: got %v", err)
	}
	wait, err = newKindsWait(&rest.Config{
		Host: "http://127.0.0.1:1",
	}, &flags{}, clocktesting.NewFakeClock(time.Now()), funcr.New(func(string, string) {}, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := wait.until(t.Context(), groups); err == nil ||
		!strings.Contains(err.Error(), "asking the API server for image.toolkit.fluxcd.io/v1") {
		t.Errorf("without an API server: got %v", err)
	}
}

func TestEveryGroupSaysWhichKindsItNeeds(t *testing.T) {
	for _, group := range groups {
		if len(needed[group]) == 0 {
			t.Errorf("group %s needs no kind", group)
		}
	}
}
