// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/remote"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/harness"
)

// A remote file that changed was seen by the next commit only: what the source has was the same.
func TestARemoteFileThatChangedIsAppliedAtTheInterval(t *testing.T) {
	var value atomic.Value
	value.Store("one")
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if value.Load() == "" {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = w.Write([]byte(configMap("c", value.Load().(string))))
	}))
	defer server.Close()
	e := newTestEnv(t)
	e.Remote = &remote.Fetcher{Mirrors: git.NewMirrors(t.TempDir(), e.clock)}
	k := app("a")
	k.Spec.RetryInterval = &metav1.Duration{Duration: time.Minute}
	files := map[string]string{"kustomization.yaml": "resources: [" + server.URL + "/c.yaml]\n", "README.md": "one"}
	e.commit("main@sha1:1", files)
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "one" {
		t.Fatalf("applied %q", got)
	}
	harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
	value.Store("two")
	files["README.md"] = "two"
	e.commit("main@sha1:2", files)
	e.must(k)
	if asked.Load() != 1 {
		t.Errorf("asked %d times before the interval was over", asked.Load())
	}
	e.clock.SetTime(e.clock.Now().Add(k.Spec.Interval.Duration))
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "two" {
		t.Errorf("the interval left %q", got)
	}
	value.Store("")
	e.clock.SetTime(e.clock.Now().Add(k.Spec.Interval.Duration))
	if _, err := e.built(k); err == nil || !strings.Contains(err.Error(), "it answers 502 Bad Gateway") || build.IsRefused(err) {
		t.Errorf("a server that fails: %v", err)
	}
	value.Store("three")
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "three" {
		t.Errorf("the recovery left %q", got)
	}
}

func TestRemoteFilesAreRefusedWithTheFlagThatAllowsThem(t *testing.T) {
	e := newTestEnv(t)
	e.commit("main@sha1:1", map[string]string{"kustomization.yaml": "resources: ['https://user:hunter2@example.com/c.yaml']\n"})
	_, err := e.built(app("a"))
	const want = "kustomization.yaml: resources: remote bases and files are not allowed: https://xxxxx@example.com/c.yaml; " +
		"commit it to the source, or run the controller with --no-remote-bases=false"
	if !errors.Is(err, build.ErrRemote) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}
