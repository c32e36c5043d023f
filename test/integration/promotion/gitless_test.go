// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// gitless is a pipeline of manifests that are OCI artifacts. Nothing in it looks by itself within
// the hour.
const gitless = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: app, namespace: NAMESPACE}
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
// their intervals.
func TestAnArtifactGoesToProductionWithoutGitAndWithoutAnInterval(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	f := &fleet{T: t, p: p, namespace: p.NewNamespace(t, "gitless-", nil), repo: &harness.Repo{}}
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
			f.pushManifests(version)
			_, err := p.RequestReconcile(t.Context(), &sourcev1.OCIRepository{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "app"}})
			f.must(err)
		}
		f.eventually("production has "+version, func(p *sluicev1.Pipeline) bool {
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

// pushManifests pushes a version of what both stages apply.
func (f *fleet) pushManifests(version string) {
	f.Helper()
	manifest := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {version: %s}\n", version)
	image, err := harness.Manifests("app.yaml", manifest, "main@sha1:"+version)
	f.must(err)
	_, err = f.p.Push(f.Context(), f.namespace+"/manifests", version, image)
	f.must(err)
}
