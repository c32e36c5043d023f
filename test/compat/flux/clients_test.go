// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

// shown are objects of all kinds. The release of the Canary is 1.1.0.
const shown = `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: repo, namespace: "{ns}"}
spec: {interval: 1h, url: "{git}/{ns}.git", ref: {branch: main}, secretRef: {name: auth}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: bundle, namespace: "{ns}"}
spec: {interval: 1h, url: "oci://{registry}/{bundle}", insecure: true, ref: {tag: v1}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: podinfo, namespace: "{ns}"}
spec: {interval: 1h, path: ./deploy, prune: true, targetNamespace: "{ns}", sourceRef: {kind: GitRepository, name: repo}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: podinfo, namespace: "{ns}"}
spec: {interval: 1h, image: "{image}"}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: podinfo, namespace: "{ns}"}
spec: {imageRepositoryRef: {name: podinfo}, policy: {semver: {range: 1.x}}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: podinfo, namespace: "{ns}"}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: repo}
  git: {commit: {author: {email: bot@example.com}}}
  update: {path: ./deploy}
---
apiVersion: v1
kind: Secret
metadata: {name: hook, namespace: "{ns}"}
stringData: {token: letmein}
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: push, namespace: "{ns}"}
spec: {type: generic, secretRef: {name: hook}, resources: [{kind: ImageRepository, name: podinfo}]}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: room, namespace: "{ns}"}
spec: {type: generic, address: "http://127.0.0.1:1/"}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: all, namespace: "{ns}"}
spec: {providerRef: {name: room}, eventSeverity: error, eventSources: [{kind: Kustomization, name: "*"}]}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: podinfo, namespace: "{ns}"}
spec:
  artifacts: [{name: podinfo, imagePolicyRef: {name: podinfo}}]
  sourceRef: {kind: GitRepository, name: repo}
  stages:
  - name: staging
    write: {commit: {}, path: ./stages/staging}
  - name: production
    after: {stages: [staging]}
    write: {commit: {}, path: ./stages/production}
    approval: {}
`

// released is what Git has beside the Deployment.
const released = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: quality}
spec: {provider: {type: prometheus, address: "{prometheus}"}, query: vector(99.5)}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 80, targetPort: 9898, hosts: [podinfo.example.com], gatewayRefs: [{name: public}]}
  analysis:
    interval: 1s
    threshold: 5
    stepWeight: 25
    maxWeight: 50
    metrics: [{name: quality, interval: 1m, templateRef: {name: quality}, thresholdRange: {min: 99}}]
`

// TestClients makes objects of all kinds, takes a release through them, and has what people
// look at them with read them, by the requests and the rules of its own source. What each
// shows of Sluice, and what it does not, is in docs/clients.md.
func TestClients(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-clients")
	scraped(t, s.namespace)
	s.populate(t)
	s.release(t)
	for name, reads := range map[string]func(*testing.T){
		"Headlamp": s.headlamp, "Weave GitOps": s.weave, "Capacitor": s.capacitor, "Flux Operator": s.operator, "Grafana": s.grafana,
	} {
		t.Run(name, reads)
	}
}

// populate makes the objects, and waits for the Canary.
func (s *story) populate(t *testing.T) {
	t.Helper()
	s.values["{prometheus}"], s.values["{bundle}"] = s.Prometheus, s.repository+"-bundle"
	repo := s.clone(t)
	s.commit(t, repo, "deploy/canary.yaml", s.fill(released))
	for _, stage := range []string{"staging", "production"} {
		s.commit(t, repo, "stages/"+stage+"/values.yaml", s.fill("image: {image}:1.0.0 # {\"$imagepolicy\": \"{ns}:podinfo\"}\n"))
	}
	s.push(t, "1.0.0")
	bundle, err := harness.Manifests("settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bundled}\n", "main@sha1:0a1b2c3d")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), s.values["{bundle}"], "v1", bundle); err != nil {
		t.Fatal(err)
	}
	s.tell(t, source()[:1])
	s.apply(t, shown)
	s.awaitCanary(t, flaggerv1.CanaryPhaseInitialized)
}

// release pushes a tag, and asks for a scan as Headlamp does; all else follows.
func (s *story) release(t *testing.T) {
	t.Helper()
	s.push(t, "1.1.0")
	s.sync(t, "ImageRepository", "podinfo")
	s.awaitCanary(t, flaggerv1.CanaryPhaseSucceeded)
}

func (s *story) awaitCanary(t *testing.T, phase flaggerv1.CanaryPhase) {
	t.Helper()
	c := &flaggerv1.Canary{}
	_, err := harness.Eventually(t.Context(), "phase "+string(phase), harness.Patience, func(ctx context.Context) (bool, string) {
		err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "podinfo"}, c)
		return err == nil && c.Status.Phase == phase, fmt.Sprint(err, c.Status.Phase, c.Status.Conditions)
	})
	if err != nil {
		t.Fatalf("%v; the controller said:\n%s", err, the.sluice.Tail(3000))
	}
}

// paths are those that clients which know no discovery have in their source.
var paths = map[string]string{
	"GitRepository":         "/apis/source.toolkit.fluxcd.io/v1/namespaces/%s/gitrepositories",
	"OCIRepository":         "/apis/source.toolkit.fluxcd.io/v1/namespaces/%s/ocirepositories",
	"Bucket":                "/apis/source.toolkit.fluxcd.io/v1/namespaces/%s/buckets",
	"ExternalArtifact":      "/apis/source.toolkit.fluxcd.io/v1/namespaces/%s/externalartifacts",
	"ArtifactGenerator":     "/apis/source.extensions.fluxcd.io/v1beta1/namespaces/%s/artifactgenerators",
	"HelmRepository":        "/apis/source.toolkit.fluxcd.io/v1/namespaces/%s/helmrepositories",
	"HelmChart":             "/apis/source.toolkit.fluxcd.io/v1/namespaces/%s/helmcharts",
	"Kustomization":         "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/%s/kustomizations",
	"HelmRelease":           "/apis/helm.toolkit.fluxcd.io/v2/namespaces/%s/helmreleases",
	"ImageRepository":       "/apis/image.toolkit.fluxcd.io/v1/namespaces/%s/imagerepositories",
	"ImagePolicy":           "/apis/image.toolkit.fluxcd.io/v1/namespaces/%s/imagepolicies",
	"ImageUpdateAutomation": "/apis/image.toolkit.fluxcd.io/v1/namespaces/%s/imageupdateautomations",
	"Receiver":              "/apis/notification.toolkit.fluxcd.io/v1/namespaces/%s/receivers",
	"Alert":                 "/apis/notification.toolkit.fluxcd.io/v1beta3/namespaces/%s/alerts",
	"Provider":              "/apis/notification.toolkit.fluxcd.io/v1beta3/namespaces/%s/providers",
	"Canary":                "/apis/flagger.app/v1beta1/namespaces/%s/canaries",
	"FluxReport":            "/apis/fluxcd.controlplane.io/v1/namespaces/%s/fluxreports",
	"Deployment":            "/apis/apps/v1/namespaces/%s/deployments",
	"ConfigMap":             "/api/v1/namespaces/%s/configmaps",
}

// at is the path of objects of a kind in the story's namespace, or of one of them.
func (s *story) at(kind string, name ...string) string {
	return strings.Join(append([]string{fmt.Sprintf(paths[kind], s.namespace)}, name...), "/")
}

// ask sends a request to the API server as a page does through its proxy. A body is a merge
// patch.
func (s *story) ask(t *testing.T, method, path string, body any) (int, map[string]any) {
	t.Helper()
	caller, err := rest.HTTPClientFor(s.REST)
	if err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), method, strings.TrimSuffix(s.REST.Host, "/")+path, &sent)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/merge-patch+json")
	response, err := caller.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer := map[string]any{}
	if text, err := io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	} else if err := json.Unmarshal(text, &answer); err != nil && response.StatusCode == http.StatusOK {
		t.Fatalf("%s: %v", path, err)
	}
	return response.StatusCode, answer
}

// fetch gets what has to be there.
func (s *story) fetch(t *testing.T, path string) map[string]any {
	t.Helper()
	status, answer := s.ask(t, http.MethodGet, path, nil)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %v", path, status, answer["message"])
	}
	return answer
}

// list gets all objects of a kind in the story's namespace.
func (s *story) list(t *testing.T, path string) []map[string]any {
	t.Helper()
	items, _ := s.fetch(t, path)["items"].([]any)
	var all []map[string]any
	for _, item := range items {
		all = append(all, item.(map[string]any))
	}
	return all
}

// patch merges into an object, and returns what became of it.
func (s *story) patch(t *testing.T, kind, name string, change any) map[string]any {
	t.Helper()
	status, answer := s.ask(t, http.MethodPatch, s.at(kind, name), change)
	if status != http.StatusOK {
		t.Fatalf("patching %s %s with %v: %d %v", kind, name, change, status, answer["message"])
	}
	return answer
}

// sync asks for a reconcile with the time that it is, and waits until the status has it: the button of all clients.
func (s *story) sync(t *testing.T, kind, name string) {
	t.Helper()
	date := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	s.patch(t, kind, name, map[string]any{"metadata": map[string]any{"annotations": map[string]any{"reconcile.fluxcd.io/requestedAt": date}}})
	harness.MustEventually(t, "the sync of "+kind, func(context.Context) (bool, string) {
		handled := field(s.fetch(t, s.at(kind, name)), "status", "lastHandledReconcileAt")
		return handled == date, fmt.Sprint(handled)
	})
}

// field is a value in an object, or nil.
func field(object map[string]any, path ...string) any {
	value, _, _ := unstructured.NestedFieldNoCopy(object, path...)
	return value
}

// text is a value in an object as a table shows it; empty if there is none.
func text(object map[string]any, path ...string) string {
	if value := field(object, path...); value != nil {
		return fmt.Sprint(value)
	}
	return ""
}

// condition is a field of the first condition of a type.
func condition(object map[string]any, kind, of string) string {
	all, _ := field(object, "status", "conditions").([]any)
	for _, each := range all {
		if c, ok := each.(map[string]any); ok && c["type"] == kind {
			value, _ := c[of].(string)
			return value
		}
	}
	return ""
}

// eventsOf are the events of an object, by the selector that clients send.
func (s *story) eventsOf(t *testing.T, kind, name string) []map[string]any {
	t.Helper()
	selector := "involvedObject.name=" + name + ",involvedObject.kind=" + kind
	return s.list(t, "/api/v1/namespaces/"+s.namespace+"/events?fieldSelector="+url.QueryEscape(selector))
}
