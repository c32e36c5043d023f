// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/test/harness"
)

// fluxControllers are those whose work Sluice takes over, in the order in which they are started.
var fluxControllers = []string{"notification-controller", "source-controller", "kustomize-controller"}

// installationSource is a source of manifests, with all that was pushed to it.
type installationSource struct {
	*installation
	kind, name string
	// first is the first of the Kustomizations that it feeds, and next the one after the last.
	first, next int
	repo        *harness.Repo // of a GitRepository
	repository  string        // of an OCIRepository
	spec        string
	files       map[string]string
	// gone are files that the next push drops.
	gone []string
	// head is how every revision of what was pushed last ends.
	head string
}

// newSources makes what the sources fetch from: two repositories, one of which is released by tags, and two
// artifacts in the registry, likewise.
func (i *installation) newSources(t *testing.T) {
	t.Helper()
	i.sources = map[string]*installationSource{}
	for _, s := range []installationSource{
		{kind: "GitRepository", name: "fleet", next: size / 2, spec: "ref: {branch: main}"},
		{kind: "GitRepository", name: "platform", first: size / 2, next: size * 13 / 20, spec: "ref: {semver: '>=1.0.0'}"},
		{kind: "OCIRepository", name: "apps", first: size * 13 / 20, next: size * 9 / 10, spec: "ref: {tag: latest}"},
		{kind: "OCIRepository", name: "infra", first: size * 9 / 10, next: size, spec: "ref: {semver: '>=1.0.0'}"},
	} {
		s.installation, s.files = i, map[string]string{}
		s.repository = i.namespace + "/" + s.name
		if s.kind == "GitRepository" {
			repo, err := i.NewRepo(t.Context(), i.namespace+"-"+s.name, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			s.repo = repo
			s.spec += ", secretRef: {name: git}, url: " + repo.URL
		} else {
			s.spec += ", insecure: true, url: oci://" + i.Registry + "/" + s.repository
		}
		for n := s.first; n < s.next; n++ {
			maps.Copy(s.files, i.files(t, n, i.version))
		}
		i.sources[s.name] = &s
	}
}

// sourceOf is the source of a Kustomization.
func (i *installation) sourceOf(n int) *installationSource {
	for _, s := range i.sources {
		if s.first <= n && n < s.next {
			return s
		}
	}
	return nil
}

func (s *installationSource) manifest() string {
	return fmt.Sprintf("---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: %s\nmetadata: {name: %s, namespace: %s}\n"+
		"spec: {interval: 1h, %s}\n", s.kind, s.name, s.namespace, s.spec)
}

// publish pushes the files as a version.
func (s *installationSource) publish(t *testing.T, version string) {
	t.Helper()
	if s.repo == nil {
		artifact, err := harness.Artifact(s.files, "main@sha1:"+strings.Repeat(version, 40))
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range []string{"latest", version + ".0.0"} {
			if s.head, err = s.Push(t.Context(), s.repository, tag, artifact); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	files := map[string][]byte{}
	for _, gone := range s.gone {
		files[gone] = nil
	}
	for name, text := range s.files {
		files[name] = []byte(text)
	}
	s.gone = nil
	var err error
	if s.head, err = s.repo.Commit(t.Context(), "Version "+version, files); err != nil {
		t.Fatal(err)
	}
	if _, err := harness.Git(t.Context(), "-C", s.repo.Bare, "tag", "v"+version+".0.0", s.head); err != nil {
		t.Fatal(err)
	}
}

// push changes what some Kustomizations of each kind of content apply, to another version, and drops and adds an
// object; it tells a Receiver of it and returns the Kustomizations.
func (i *installation) push(t *testing.T, version string, sources ...string) (changed []string) {
	t.Helper()
	i.version, i.pushed = version, nil
	for _, name := range sources {
		s := i.sources[name]
		for n := s.first; n < s.next; n++ {
			if n%3 == 2 || n == 0 {
				maps.Copy(s.files, i.files(t, n, version))
				changed = append(changed, appName(n))
			}
		}
		if name == "platform" {
			s.dropAndAdd(version)
		}
		s.publish(t, version)
		i.pushed = append(i.pushed, s.kind+"/"+s.name)
	}
	i.hook(t)
	return changed
}

// shifting is a Kustomization of which pushes drop an object.
const shifting = 104

// dropAndAdd drops what the version before had, and adds an object.
func (s *installationSource) dropAndAdd(version string) {
	folder := "apps/" + appName(shifting) + "/"
	drop, file := "Service/"+appName(shifting), folder+"service.yaml"
	if version != "2" {
		drop, file = "ConfigMap/"+appName(shifting)+"-added", folder+"added.yaml"
	} else {
		s.files[folder+"added.yaml"] = strings.NewReplacer("{name}", appName(shifting)+"-added", "{namespace}", s.namespace).Replace(
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {name}, namespace: {namespace}}\ndata: {a: b}\n")
	}
	delete(s.files, file)
	s.gone, s.dropped = append(s.gone, file), append(s.dropped, drop)
}

// hook tells the Receiver of a push, at the path that whoever served it first has given it.
func (i *installation) hook(t *testing.T) {
	t.Helper()
	i.await(t, "a path of the Receiver", func(owner *unstructured.Unstructured) string {
		path, _, _ := unstructured.NestedString(owner.Object, "status", "webhookPath")
		switch {
		case owner.GetKind() != "Receiver":
		case path == "":
			return "no path"
		case i.path == "":
			i.path = path
		case i.path != path:
			return "another path, " + path
		}
		return ""
	})
	call := harness.Call{Method: http.MethodPost, URL: "http://" + i.webhooks + i.path, Body: "{}"}
	_, err := harness.Eventually(t.Context(), "the webhook being taken in", harness.Patience, func(ctx context.Context) (bool, string) {
		return call.Answered(ctx, http.StatusOK)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// startFlux does what `flux install` does, without the controllers that have nothing to do here.
func (i *installation) startFlux(t *testing.T) {
	t.Helper()
	i.applyFluxCRDs(t)
	events := address(t)
	i.webhooks, i.sluice = address(t), false
	flags := map[string][]string{
		"notification-controller": {"--events-addr=" + events, "--receiverAddr=" + i.webhooks},
		"source-controller": {
			"--events-addr=http://" + events + "/", "--storage-addr=" + i.artifacts, "--storage-adv-addr=" + i.artifacts, "--concurrent=10",
		},
		"kustomize-controller": {"--events-addr=http://" + events + "/", "--concurrent=20", "--requeue-dependency=2s"},
	}
	dir := i.folder(t)
	for _, name := range fluxControllers {
		// The limits of requests are raised, for that nobody waits for them.
		all := append(flags[name], "--log-level=info", "--kube-api-qps=500", "--kube-api-burst=1000")
		process, err := i.StartFlux(t.Context(), name, i.namespace, dir, all...)
		if err != nil {
			t.Fatal(err)
		}
		i.started(process)
		if name == "source-controller" {
			i.awaitArtifacts(t)
		}
	}
}

// awaitArtifacts waits until artifacts are served: kustomize-controller makes growing pauses while they are not.
func (i *installation) awaitArtifacts(t *testing.T) {
	t.Helper()
	_, err := harness.Eventually(t.Context(), "artifacts being served", harness.Patience, func(ctx context.Context) (bool, string) {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "tcp", i.artifacts)
		if err != nil {
			return false, err.Error()
		}
		return true, fmt.Sprint(connection.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func address(t *testing.T) string {
	t.Helper()
	free, err := harness.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return free
}

// startSluice applies Sluice's CRDs over those of Flux and starts it.
func (i *installation) startSluice(t *testing.T) {
	t.Helper()
	if err := i.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.owners.takeFaults()
	i.sluice = true
	controller, err := i.StartController(t.Context(), i.folder(t), "--watch-namespace", i.namespace, "--storage-addr", i.artifacts)
	if err != nil {
		t.Fatal(err)
	}
	i.webhooks = strings.TrimPrefix(controller.Webhooks, "http://")
	i.started(controller.Process)
}

// folder is a new one, for the data of what is started now.
func (i *installation) folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(i.dir, strconv.Itoa(len(i.processes)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (i *installation) started(process *harness.Process) {
	i.running, i.processes = append(i.running, process), append(i.processes, process)
}

// explain shows what was logged last.
func (i *installation) explain(t *testing.T) {
	t.Helper()
	for _, process := range i.processes {
		t.Logf("%s:\n%s", process.Log(), process.Tail(4000))
	}
}

func (i *installation) stop() {
	for _, process := range i.running {
		process.Stop()
	}
	i.running = nil
}

// messages are what the Provider was told.
type messages struct {
	url string

	mu   sync.Mutex
	said []string
}

// receiveMessages serves the room that the Provider leads to.
func receiveMessages(t *testing.T) *messages {
	m := &messages{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var event struct {
			InvolvedObject  struct{ Kind, Name string }
			Reason, Message string
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &event)
		}
		if strings.HasPrefix(event.Message, "Reconciliation finished in ") || event.Reason == meta.DependencyNotReadyReason {
			return // statuses of commits; and what is built for a while on a busy machine is in progress meanwhile
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if err != nil {
			event.Message = err.Error()
		}
		m.said = append(m.said, fmt.Sprintf("%s/%s %s: %s", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message))
	}))
	t.Cleanup(server.Close)
	m.url = server.URL
	return m
}

// take returns what was said since it was called last.
func (m *messages) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	said := m.said
	m.said = nil
	return slices.Sorted(slices.Values(said))
}
