// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// gitless is a pipeline of manifests that are OCI artifacts. Nothing in it looks by itself within
// the hour.
const gitless = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: app, namespace: NAMESPACE, labels: {pushed: "by-ci"}}
spec: {interval: 1h, url: "oci://REGISTRY/NAMESPACE/manifests", insecure: true, ref: {semver: ">=1.0.0"}}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: shop, namespace: NAMESPACE}
spec:
  interval: 1h
  artifacts: [{name: app, ociRepositoryRef: {name: app}}]
  stages:
  - name: staging
    write: {tag: {repository: REGISTRY/NAMESPACE/deploy, tag: staging, insecure: true}}
    ready: [{kind: Kustomization, name: staging}]
  - name: production
    after: {stages: [staging]}
    write: {tag: {repository: REGISTRY/NAMESPACE/deploy, tag: production, insecure: true}}
    ready: [{kind: Kustomization, name: production}]
---
apiVersion: v1
kind: Secret
metadata: {name: webhook, namespace: NAMESPACE}
stringData: {token: letmein}
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: registry, namespace: NAMESPACE}
spec: {type: harbor, secretRef: {name: webhook}, resources: [{kind: OCIRepository, name: "*", matchLabels: {pushed: "by-ci"}}]}
---
`

// gitlessStage is what follows the tag of a stage.
const gitlessStage = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: STAGE, namespace: NAMESPACE}
spec: {interval: 1h, url: "oci://REGISTRY/NAMESPACE/deploy", insecure: true, ref: {tag: STAGE}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: STAGE, namespace: NAMESPACE}
spec:
  interval: 1h
  retryInterval: 1h
  prune: true
  sourceRef: {kind: OCIRepository, name: STAGE}
  targetNamespace: NAMESPACE
  nameSuffix: -STAGE
---
`

// A Pipeline looked at a new artifact, and OCIRepositories at a tag that was moved, only at
// their intervals. The second version goes all the way that users go: Flux's command line pushes it, as in CI, the registry
// tells by its webhook, and tags move until production runs it.
func TestAnArtifactGoesToProductionWithoutGitAndWithoutAnInterval(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	f := &fleet{T: t, p: p, namespace: p.NewNamespace(t, "gitless-", nil), repo: &harness.Repo{}}
	flux := harness.RequireUpstream(t, "flux")
	f.pushManifests("1.0.0")
	f.apply(gitless + strings.ReplaceAll(gitlessStage, "STAGE", "staging") + strings.ReplaceAll(gitlessStage, "STAGE", "production"))
	sluice, err := p.StartController(t.Context(), t.TempDir(), "--watch-namespace", f.namespace)
	f.must(err)
	t.Cleanup(sluice.Stop)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(sluice.Tail(6000))
		}
	})
	for _, version := range []string{"1.0.0", "1.1.0"} {
		if version != "1.0.0" {
			f.pushByCI(flux, version)
			f.tells(sluice, version)
		}
		f.pipelineBecomes("production has "+version, func(p *sluicev1.Pipeline) bool {
			return verified(p, "staging", version) && verified(p, "production", version)
		})
		for _, stage := range []string{"staging", "production"} {
			applied := &corev1.ConfigMap{}
			f.must(p.Client.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "app-" + stage}, applied))
			if got := applied.Data["version"]; got != version {
				t.Errorf("%s runs %s, want %s", stage, got, version)
			}
		}
	}
}

// versionManifest is what both stages apply.
func versionManifest(version string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {version: %s}\n", version)
}

// pushByCI pushes a version with the flux binary.
func (f *fleet) pushByCI(flux, version string) {
	f.Helper()
	dir := f.TempDir()
	f.must(os.WriteFile(filepath.Join(dir, "app.yaml"), []byte(versionManifest(version)), 0o600))
	push := exec.CommandContext(f.Context(), flux, "push", "artifact", "oci://"+f.p.Registry+"/"+f.namespace+"/manifests:"+version,
		"--path="+dir, "--source=https://git.example.com/app", "--revision=main@sha1:"+version, "--insecure-registry")
	if out, err := push.CombinedOutput(); err != nil {
		f.Fatalf("flux push artifact: %v\n%s", err, out)
	}
}

// tells has the registry tell the Receiver of a version.
func (f *fleet) tells(sluice *harness.Controller, version string) {
	f.Helper()
	body := fmt.Sprintf(`{"type":"PUSH_ARTIFACT","event_data":{"resources":[{"resource_url":"%s/%s/manifests:%s"}]}}`,
		f.p.Registry, f.namespace, version)
	_, err := harness.Eventually(f.Context(), "an answer to the webhook", harness.Patience, func(ctx context.Context) (bool, string) {
		var receiver notificationv1.Receiver
		err := f.p.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "registry"}, &receiver)
		if err != nil || receiver.Status.WebhookPath == "" {
			return false, fmt.Sprint(receiver.Status, err)
		}
		return harness.Call{
			Method: http.MethodPost, URL: sluice.Webhooks + receiver.Status.WebhookPath, Body: body,
			Header: http.Header{"Authorization": {"letmein"}},
		}.Answered(ctx, http.StatusOK)
	})
	f.must(err)
}

// pushManifests pushes a version of what both stages apply.
func (f *fleet) pushManifests(version string) {
	f.Helper()
	image, err := harness.Manifests("app.yaml", versionManifest(version), "main@sha1:"+version)
	f.must(err)
	_, err = f.p.Push(f.Context(), f.namespace+"/manifests", version, image)
	f.must(err)
}
