// SPDX-License-Identifier: Apache-2.0

// Package alerts has a running controller tell real receivers, and a real forge, what
// happens to objects.
package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
)

var sourceKind = sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind)

// objects are a fleet of one ConfigMap, and who is told of it.
const objects = `
apiVersion: v1
kind: Namespace
metadata: {name: alerts}
---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: alerts}
stringData: {username: USER, password: TOKEN}
---
apiVersion: v1
kind: Secret
metadata: {name: forge, namespace: alerts}
stringData: {token: TOKEN}
---
apiVersion: v1
kind: Secret
metadata: {name: room, namespace: alerts}
stringData: {address: "ROOM/hush-hush", token: a key}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: alerts}
spec: {url: "REPO", ref: {branch: main}, interval: 1h, secretRef: {name: git}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: shop, namespace: alerts, annotations: {event.toolkit.fluxcd.io/team: a}}
spec:
  interval: 1h
  path: ./shop
  prune: true
  sourceRef: {kind: GitRepository, name: fleet}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: room, namespace: alerts}
spec: {type: generic-hmac, secretRef: {name: room}}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: commits, namespace: alerts}
spec: {type: gitea, address: "REPO", secretRef: {name: forge}, commitStatusExpr: "'sluice/' + event.involvedObject.name"}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: room, namespace: alerts}
spec:
  providerRef: {name: room}
  eventSources: [{kind: Kustomization, name: "*"}, {kind: HelmRelease, name: "*"}]
  eventMetadata: {cluster: test}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: commits, namespace: alerts}
spec:
  providerRef: {name: commits}
  eventSources: [{kind: Kustomization, name: shop}]
`

// wrong are objects that cannot work.
const wrong = `
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: nowhere, namespace: alerts}
spec: {type: slack, address: hooks.slack.com}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: secretless, namespace: alerts}
spec: {type: slack, secretRef: {name: none}}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: expression, namespace: alerts}
spec: {providerRef: {name: room}, eventSources: [{kind: Kustomization, name: "*"}], exclusionList: ["("]}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: orphan, namespace: alerts}
spec: {providerRef: {name: none}, eventSources: [{kind: Kustomization, name: "*"}]}
`

// chat is a server of a chat that can be down.
type chat struct {
	*httptest.Server
	mu   sync.Mutex
	down bool
	got  []eventv1.Event
	// refused is how often it was called while it was down.
	refused int
}

func newChat(t *testing.T) *chat {
	t.Helper()
	r := &chat{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var e eventv1.Event
		if err != nil || json.Unmarshal(body, &e) != nil || !strings.HasPrefix(req.Header.Get("X-Signature"), "sha256=") {
			t.Errorf("%s: %s", req.URL, body)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.down {
			r.refused++
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.got = append(r.got, e)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *chat) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// heard reports whether it was told of an object, with a text in the message or the metadata.
func (r *chat) heard(kind, text string) (bool, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := fmt.Sprintf("refused %d, got %v", r.refused, r.got)
	return slices.ContainsFunc(r.got, func(e eventv1.Event) bool {
		return e.InvolvedObject.Kind == kind && strings.Contains(e.Message+fmt.Sprint(e.Metadata), text)
	}), seen
}

type testEnv struct {
	*harness.Playground
	t      *testing.T
	sluice *harness.Controller
	forge  *gitea.Server
	repo   *gitea.Repo
	chat   *chat
	events string
}

func (w *testEnv) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *testEnv) condition(obj interface {
	client.Object
	GetConditions() []metav1.Condition
}, name, kind string, status metav1.ConditionStatus, message string,
) {
	w.t.Helper()
	harness.MustEventually(w.t, fmt.Sprintf("%T %s to be %s=%s", obj, name, kind, status), func(ctx context.Context) (bool, string) {
		if err := w.Client.Get(ctx, client.ObjectKey{Namespace: "alerts", Name: name}, obj); err != nil {
			return false, err.Error()
		}
		found := apimeta.FindStatusCondition(obj.GetConditions(), kind)
		return found != nil && found.Status == status && strings.Contains(found.Message, message), fmt.Sprint(obj.GetConditions())
	})
}

// status waits for a status of a commit.
func (w *testEnv) status(commit, want string) {
	w.t.Helper()
	harness.MustEventually(w.t, "the status "+want+" of "+commit, func(ctx context.Context) (bool, string) {
		var found []struct{ Context, Status string }
		err := w.forge.Admin.Call(ctx, http.MethodGet, "/repos/acme/fleet/commits/"+commit+"/statuses", nil, &found)
		return err == nil && len(found) > 0 && found[0].Context == "sluice/shop" && found[0].Status == want, fmt.Sprint(found, err)
	})
}

func (w *testEnv) commit(content string) string {
	w.t.Helper()
	sha, err := w.forge.Admin.Commit(w.t.Context(), w.repo, gitea.Commit{
		Branch: gitea.Branch, Message: "Change", Files: map[string]string{"shop/config.yaml": content},
	})
	w.must(err)
	var repository metav1.PartialObjectMetadata
	repository.SetGroupVersionKind(sourceKind)
	w.must(w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: "alerts", Name: "fleet"}, &repository))
	before := repository.DeepCopy()
	repository.Annotations = map[string]string{meta.ReconcileRequestAnnotation: sha}
	w.must(w.Client.Patch(w.t.Context(), &repository, client.MergeFrom(before)))
	return sha
}

func configMap(value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop, namespace: alerts}\ndata: {value: " + value + "}\n"
}

func TestWhatHappensIsTold(t *testing.T) {
	t.Parallel()
	w := &testEnv{Playground: harness.Installed(t), t: t, forge: gitea.Require(t), chat: newChat(t)}
	w.must(w.forge.Admin.NewOrganization(t.Context(), "acme"))
	var err error
	w.repo, err = w.forge.NewRepo(t.Context(), "acme", "fleet", map[string]string{"shop/config.yaml": configMap("one")})
	w.must(err)
	address, err := harness.FreeAddr()
	w.must(err)
	w.events = "http://" + address
	w.sluice, err = w.StartController(t.Context(), t.TempDir(), "--controllers", "source,kustomize,notification",
		"--watch-namespace", "alerts", "--events-listen-addr", address)
	w.must(err)
	w.sluice.StopAfter(t)
	w.must(w.Apply(t.Context(), []byte(strings.NewReplacer("USER", w.forge.Admin.Name, "TOKEN", w.forge.Admin.Token,
		"REPO", w.repo.URL, "ROOM", w.chat.URL).Replace(objects+"---"+wrong))))

	w.condition(&v1beta3.Provider{}, "room", meta.ReadyCondition, metav1.ConditionTrue, "Initialized")
	w.condition(&v1beta3.Alert{}, "commits", meta.ReadyCondition, metav1.ConditionTrue, "Initialized")
	second := w.commit(configMap("two"))
	w.status(second, "success")
	harness.MustEventually(w.t, "the chat to be told", func(context.Context) (bool, string) {
		return w.chat.heard("Kustomization", "main@sha1:"+second)
	})
	if ok, seen := w.chat.heard("Kustomization", "cluster:test"); !ok {
		t.Errorf("metadata of the Alert is missing: %s", seen)
	}
	if ok, seen := w.chat.heard("Kustomization", "team:a"); !ok {
		t.Errorf("annotations of the object are missing: %s", seen)
	}

	third := w.commit("this is: [no YAML")
	w.status(third, "failure")

	w.condition(&v1beta3.Provider{}, "nowhere", meta.StalledCondition, metav1.ConditionTrue, "spec.address")
	w.condition(&v1beta3.Provider{}, "secretless", meta.ReadyCondition, metav1.ConditionFalse, "failed to get secret 'alerts/none'")
	w.condition(&v1beta3.Alert{}, "expression", meta.StalledCondition, metav1.ConditionTrue, "spec.exclusionList[0]")
	w.condition(&v1beta3.Alert{}, "orphan", meta.ReadyCondition, metav1.ConditionFalse, "Provider 'alerts/none' is not there")
	w.killed()
}

// killed sees to it that a process that is killed while a chat is down loses nothing: not
// what happened here, and not what others told.
func (w *testEnv) killed() {
	w.t.Helper()
	w.chat.setDown(true)
	fourth := w.commit(configMap("four"))
	w.status(fourth, "success")
	w.post(eventv1.Event{
		InvolvedObject: corev1.ObjectReference{APIVersion: "helm.toolkit.fluxcd.io/v2", Kind: "HelmRelease", Namespace: "alerts", Name: "cart"},
		Severity:       "info", Timestamp: metav1.Now(), Message: "Helm install succeeded", Reason: "InstallSucceeded",
		ReportingController: "helm-controller",
	})
	harness.MustEventually(w.t, "the chat to be called", func(context.Context) (bool, string) {
		w.chat.mu.Lock()
		defer w.chat.mu.Unlock()
		return w.chat.refused > 1, fmt.Sprint(w.chat.refused)
	})
	w.sluice.Kill()
	w.chat.setDown(false)
	w.must(w.sluice.Start(w.t.Context()))
	harness.MustEventually(w.t, "what was not delivered", func(context.Context) (bool, string) {
		return w.chat.heard("Kustomization", "main@sha1:"+fourth)
	})
	harness.MustEventually(w.t, "what others told", func(context.Context) (bool, string) {
		return w.chat.heard("HelmRelease", "Helm install succeeded")
	})
}

// post tells an event as Flux's controllers do.
func (w *testEnv) post(e eventv1.Event) {
	w.t.Helper()
	body, err := json.Marshal(e)
	w.must(err)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.events+"/", bytes.NewReader(body))
	w.must(err)
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		w.t.Errorf("the endpoint answers %s", resp.Status)
	}
}
