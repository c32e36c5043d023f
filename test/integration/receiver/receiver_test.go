// SPDX-License-Identifier: Apache-2.0

// Package receiver sends webhooks to a running controller.
package receiver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

const (
	namespace = "receiver"
	token     = "a long token"
)

// objects are two images and the ways to be told of them. The intervals are long:
// whatever is seen, a webhook brought it.
const objects = `
apiVersion: v1
kind: Namespace
metadata: {name: receiver}
---
apiVersion: v1
kind: Secret
metadata: {name: webhook, namespace: receiver}
stringData: {token: a long token}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: receiver, labels: {team: a}}
spec: {image: REGISTRY/receiver-app, interval: 24h, insecure: true}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: other, namespace: receiver, labels: {team: a}}
spec: {image: REGISTRY/receiver-other, interval: 24h, insecure: true}
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: plain, namespace: receiver}
spec:
  type: generic
  secretRef: {name: webhook}
  resources: [{kind: ImageRepository, name: app}]
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: harbor, namespace: receiver}
spec:
  type: harbor
  secretRef: {name: webhook}
  resources: [{kind: ImageRepository, name: "*", matchLabels: {team: a}}]
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: hub, namespace: receiver}
spec:
  type: dockerhub
  secretRef: {name: webhook}
  resourceFilter: res.metadata.name == "other" || req.push_data.tag == "1.3.0"
  resources: [{kind: ImageRepository, name: "*", matchLabels: {team: a}}]
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: invalid, namespace: receiver}
spec:
  type: generic
  secretRef: {name: webhook}
  resourceFilter: "1 +"
  resources: [{kind: ImageRepository, name: app}]
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: early, namespace: receiver}
spec:
  type: generic
  secretRef: {name: later}
  resources: [{kind: ImageRepository, name: app}]
`

// pipelines are two Pipelines of two repositories, whose controller does not run, and a
// Receiver for pull requests.
const pipelines = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: shop, namespace: receiver}
spec: {url: "https://git.example.com/acme/shop.git", interval: 24h}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: receiver}
spec: {url: "https://git.example.com/acme/fleet.git", interval: 24h}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: shop, namespace: receiver, labels: {team: a}}
spec:
  artifacts: [{name: app, imagePolicyRef: {name: app}}]
  sourceRef: {kind: GitRepository, name: shop}
  stages: [{name: production, write: {pullRequest: {}}}]
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: fleet, namespace: receiver, labels: {team: a}}
spec:
  artifacts: [{name: app, imagePolicyRef: {name: app}}]
  sourceRef: {kind: GitRepository, name: fleet}
  stages: [{name: production, write: {pullRequest: {}}}]
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: pulls, namespace: receiver}
spec:
  type: github
  secretRef: {name: webhook}
  resources: [{kind: Pipeline, name: "*", matchLabels: {team: a}}]
`

// wakes sees to it that a pull request wakes the Pipeline of its repository, and no other.
func (w *testEnv) wakes() {
	w.t.Helper()
	w.must(w.Apply(w.t.Context(), []byte(pipelines)))
	path, body := w.ready("pulls"), `{"action":"closed","pull_request":{"merged":true},"repository":{"full_name":"acme/shop"}}`
	signed := func(key string) http.Header {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(body))
		return http.Header{"X-Github-Event": {"pull_request"}, "X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}}
	}
	asked := func(name string) bool {
		var p sluicev1.Pipeline
		w.must(w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &p))
		return p.Annotations[meta.ReconcileRequestAnnotation] != ""
	}
	w.send(path, body, signed("a wrong token"), http.StatusBadRequest)
	if asked("shop") {
		w.t.Error("a forged request woke a Pipeline")
	}
	w.send(path, body, signed(token), http.StatusOK)
	if !asked("shop") || asked("fleet") {
		w.t.Errorf("asked shop: %t, fleet: %t", asked("shop"), asked("fleet"))
	}
}

// newToken takes the place of the one in objects.
const newToken = `
apiVersion: v1
kind: Secret
metadata: {name: webhook, namespace: receiver}
stringData: {token: another token}
`

// rotated sees to it that a new token makes a new path long before the Receiver's
// interval has passed, and that nothing is let in by the old one.
func (w *testEnv) rotated(name, before string) {
	w.t.Helper()
	w.must(w.Apply(w.t.Context(), []byte(newToken)))
	var r notificationv1.Receiver
	harness.MustEventually(w.t, "the path of the new token", func(ctx context.Context) (bool, string) {
		err := w.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &r)
		return err == nil && r.Status.WebhookPath == r.GetWebhookPath("another token"), fmt.Sprint(r.Status)
	})
	w.send(before, "", nil, http.StatusNotFound)
	w.send(r.Status.WebhookPath, "", nil, http.StatusOK)
}

func TestWebhooksStartScans(t *testing.T) {
	w := &testEnv{Playground: harness.Installed(t), t: t}
	w.push("app", "1.0.0")
	w.push("other", "1.0.0")
	var err error
	w.sluice, err = w.StartController(t.Context(), t.TempDir(), "--controllers", "image,notification", "--watch-namespace", namespace)
	w.must(err)
	w.sluice.StopAfter(t)
	w.must(w.Apply(t.Context(), []byte(strings.ReplaceAll(objects, "REGISTRY", w.Registry))))
	plain, harbor := w.ready("plain"), w.ready("harbor")
	w.tags("app", 1)
	w.tags("other", 1)

	w.push("app", "1.1.0")
	w.send(plain, "", nil, http.StatusOK)
	w.tags("app", 2)

	w.push("app", "1.2.0")
	w.push("other", "1.1.0")
	body := fmt.Sprintf(`{"type":"PUSH_ARTIFACT","event_data":{"resources":[{"resource_url":"%s/receiver-app:1.2.0"}]}}`, w.Registry)
	w.send(harbor, body, http.Header{"Authorization": {"a wrong token"}}, http.StatusBadRequest)
	w.send(harbor, body, http.Header{"Authorization": {token}}, http.StatusOK)
	w.tags("app", 3)
	if other := w.repository("other"); other.Annotations[meta.ReconcileRequestAnnotation] != "" {
		t.Error("an image that was not pushed was scanned")
	}

	w.push("app", "1.3.0")
	hub := w.ready("hub")
	w.send(hub, "", nil, http.StatusBadRequest)
	asJSON := http.Header{"Content-Type": {"application/json"}}
	w.send(hub, `{"push_data":{"tag":"1.3.0"},"repository":{"repo_name":"receiver-app"}}`, asJSON, http.StatusOK)
	w.tags("app", 4)
	if other := w.repository("other"); other.Annotations[meta.ReconcileRequestAnnotation] != "" {
		t.Error("an image that was not pushed was scanned")
	}

	w.wakes()
	w.failing("invalid", meta.StalledCondition, "spec.resourceFilter")
	w.failing("early", meta.ReadyCondition, "secrets \"later\" not found")
	w.send("/hook/unknown", "", nil, http.StatusNotFound)

	w.must(w.Apply(t.Context(), []byte(strings.ReplaceAll(late, "TOKEN", token))))
	early := w.ready("early")
	w.send(early, "", nil, http.StatusOK)
	w.rotated("plain", plain)
	w.must(w.Apply(t.Context(), []byte(strings.ReplaceAll(late, "TOKEN", "another token"))))
	w.send(early, "", nil, http.StatusNotFound) // the path of the token that was replaced
}

// late is the Secret that the receiver "early" waits for.
const late = `
apiVersion: v1
kind: Secret
metadata: {name: later, namespace: receiver}
stringData: {token: TOKEN}
`

type testEnv struct {
	*harness.Playground
	t      *testing.T
	sluice *harness.Controller
}

func (w *testEnv) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *testEnv) push(app, tag string) {
	w.t.Helper()
	_, err := w.PushImage(w.t.Context(), "receiver-"+app, tag, nil)
	w.must(err)
}

// ready waits for a receiver's webhook path. It counts once the handler sees the
// receiver as Ready too, which is what a request finds out.
func (w *testEnv) ready(name string) (path string) {
	w.t.Helper()
	harness.MustEventually(w.t, "receiver "+name, func(ctx context.Context) (bool, string) {
		var r notificationv1.Receiver
		err := w.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &r)
		path = r.Status.WebhookPath
		return err == nil && path == r.GetWebhookPath(token) &&
			apimeta.IsStatusConditionTrue(r.Status.Conditions, meta.ReadyCondition), fmt.Sprint(r.Status)
	})
	return path
}

func (w *testEnv) failing(name, condition, message string) {
	w.t.Helper()
	want := map[string]metav1.ConditionStatus{
		meta.StalledCondition: metav1.ConditionTrue,
		meta.ReadyCondition:   metav1.ConditionFalse,
	}[condition]
	harness.MustEventually(w.t, "receiver "+name+" to fail", func(ctx context.Context) (bool, string) {
		var r notificationv1.Receiver
		err := w.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &r)
		found := apimeta.FindStatusCondition(r.Status.Conditions, condition)
		return err == nil && found != nil && found.Status == want && strings.Contains(found.Message, message), fmt.Sprint(r.Status)
	})
}

func (w *testEnv) repository(name string) *imagev1.ImageRepository {
	w.t.Helper()
	repo := &imagev1.ImageRepository{}
	w.must(w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, repo))
	return repo
}

func (w *testEnv) tags(name string, want int) {
	w.t.Helper()
	harness.MustEventually(w.t, fmt.Sprintf("%d tags of %s", want, name), func(context.Context) (bool, string) {
		repo := w.repository(name)
		return repo.Status.LastScanResult != nil && repo.Status.LastScanResult.TagCount == want, fmt.Sprint(repo.Status)
	})
}

// send posts a webhook. The cache of the controller may be a moment behind the
// receiver's status; until then it answers that it is not there or not ready.
func (w *testEnv) send(path, body string, header http.Header, want int) {
	w.t.Helper()
	call := harness.Call{Method: http.MethodPost, URL: w.sluice.Webhooks + path, Body: body, Header: header}
	harness.MustEventually(w.t, fmt.Sprintf("status %d", want), func(ctx context.Context) (bool, string) { return call.Answered(ctx, want) })
}
