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
		if r.URL.Path == "/apis" {
			writeGroups(w, strings.Fields(kinds.Load().(string)))
			return
		}
		if strings.Contains(kinds.Load().(string), "!"+version) {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
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

// writeGroups lists the groups of the kinds, with their versions.
func writeGroups(w http.ResponseWriter, kinds []string) {
	byName := map[string]*metav1.APIGroup{}
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, kind := range kinds {
		_, in, _ := strings.Cut(strings.TrimPrefix(kind, "!"), ".")
		group, version, _ := strings.Cut(in, "/")
		if byName[group] == nil {
			byName[group] = &metav1.APIGroup{Name: group}
		}
		byName[group].Versions = append(byName[group].Versions, metav1.GroupVersionForDiscovery{GroupVersion: in, Version: version})
	}
	for _, group := range byName {
		list.Groups = append(list.Groups, *group)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// sourceKinds are those of the group source.
const sourceKinds = "GitRepository.source.toolkit.fluxcd.io/v1 OCIRepository.source.toolkit.fluxcd.io/v1 " +
	"Bucket.source.toolkit.fluxcd.io/v1 ExternalArtifact.source.toolkit.fluxcd.io/v1 " +
	"ArtifactGenerator.source.extensions.fluxcd.io/v1beta1"

func TestTheControllerWaitsForItsKinds(t *testing.T) {
	kinds := &atomic.Value{}
	kinds.Store(sourceKinds)
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
	kinds.Store(sourceKinds + " " + missing)
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

// TestKindsThatAppearOneByOne has an API server that is asked while CRDs are applied to
// it: in an order of its own, in an old version, and while it cannot answer for some.
func TestKindsThatAppearOneByOne(t *testing.T) {
	const git, oci = "GitRepository.source.toolkit.fluxcd.io/v1", "OCIRepository.source.toolkit.fluxcd.io/v1"
	const bucket, external = "Bucket.source.toolkit.fluxcd.io/v1", "ExternalArtifact.source.toolkit.fluxcd.io/v1"
	const generator = "ArtifactGenerator.source.extensions.fluxcd.io/v1beta1"
	const applied = "Kustomization.kustomize.toolkit.fluxcd.io/v1"
	kinds := &atomic.Value{}
	kinds.Store("")
	wait, err := newKindsWait(apiServer(t, kinds),
		&flags{}, clocktesting.NewFakeClock(time.Now()), funcr.New(func(string, string) {}, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, serves string
		want         []string
	}{
		{"none", "", []string{applied, git, oci, bucket, external, generator}},
		{"the first of a group", git, []string{applied, oci, bucket, external, generator}},
		{"all of the first group", sourceKinds, []string{applied}},
		{"an old version of the other", sourceKinds +
			" Kustomization.kustomize.toolkit.fluxcd.io/v1beta2", []string{applied + " (the API server has v1beta2 of the group)"}},
		{"another kind of the version", sourceKinds +
			" Other.kustomize.toolkit.fluxcd.io/v1", []string{applied + " (the API server has v1 of the group)"}},
		{"no answer for one", sourceKinds +
			" !kustomize.toolkit.fluxcd.io/v1", []string{applied + " (asking the API server for kustomize.toolkit.fluxcd.io/v1: "}},
		{"both", applied + " " + sourceKinds, nil},
	} {
		kinds.Store(step.serves)
		got, err := wait.missing([]string{"kustomize", "source"})
		if len(got) != len(step.want) || (err != nil) != strings.Contains(step.serves, "!") {
			t.Errorf("%s: got %q and %v, want %q", step.name, got, err, step.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], step.want[i]) {
				t.Errorf("%s: got %q, want %q", step.name, got[i], step.want[i])
			}
		}
	}
}

func TestAnAPIServerThatIsStartingIsWaitedFor(t *testing.T) {
	kinds := &atomic.Value{}
	kinds.Store("!source.toolkit.fluxcd.io/v1")
	clock, said := clocktesting.NewFakeClock(time.Now()), make(chan string, 100)
	wait, err := newKindsWait(apiServer(t, kinds), &flags{}, clock, funcr.New(func(_, args string) { said <- args }, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- wait.until(t.Context(), []string{"source"}) }()
	if line := <-said; !strings.Contains(line, "GitRepository.source.toolkit.fluxcd.io/v1 (asking the API server for") {
		t.Errorf("the log says %s", line)
	}
	for range 20 {
		clock.Step(kindsPeriod)
	}
	if len(said) > 1 {
		t.Errorf("the log says the same %d times in ten seconds", len(said)+1)
	}
	kinds.Store(sourceKinds)
	for deadline := time.After(10 * time.Second); ; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		case <-deadline:
			t.Fatal("it goes on waiting")
		case <-time.After(10 * time.Millisecond):
			clock.Step(kindsPeriod)
		}
	}
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
