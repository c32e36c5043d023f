// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/harness"
)

const inCluster = `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: app, namespace: apps,
  labels: {kustomize.toolkit.fluxcd.io/name: app, kustomize.toolkit.fluxcd.io/namespace: flux-system}},
  spec: {template: {spec: {initContainers: [{name: i, image: busybox}],
    containers: [{name: c, image: 'r.example:5000/acme/app:1.0.0@sha256:1'}]}}}}
---
{apiVersion: flagger.app/v1beta1, kind: Canary, metadata: {name: app, namespace: apps,
  labels: {kustomize.toolkit.fluxcd.io/name: app, kustomize.toolkit.fluxcd.io/namespace: flux-system}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: app-primary, namespace: apps,
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: other, uid: b},
    {apiVersion: flagger.app/v1beta1, kind: Canary, name: app, uid: a, controller: true}]}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: app, namespace: flux-system},
  spec: {path: ./deploy, sourceRef: {kind: OCIRepository, name: app}},
  status: {lastAppliedRevision: '1.0.0@sha256:1', conditions: [{type: Ready, status: 'True', reason: Succeeded, message: done}]}}
---
{apiVersion: source.toolkit.fluxcd.io/v1, kind: OCIRepository, metadata: {name: app, namespace: flux-system},
  spec: {url: 'oci://r.example/app'}, status: {artifact: {revision: '1.0.0@sha256:1', metadata: {
    org.opencontainers.image.source: 'https://git.example.com',
    org.opencontainers.image.revision: 'main@sha1:c0ffee'}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: chart, namespace: apps,
  labels: {helm.toolkit.fluxcd.io/name: chart, helm.toolkit.fluxcd.io/namespace: apps}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: alone, namespace: apps,
  ownerReferences: [{apiVersion: v1, kind: Node, name: gone, uid: a}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: team}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: below, namespace: apps,
  ownerReferences: [{apiVersion: v1, kind: Namespace, name: team, uid: a}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: strange, namespace: apps,
  ownerReferences: [{apiVersion: example.com/v1, kind: Unserved, name: x, uid: a}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: circle, namespace: apps,
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: circle, uid: a}]}}
`

// objects are those of the cluster, by name.
func objects(t *testing.T) (client.Client, map[string]*unstructured.Unstructured) {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := harness.Objects([]byte(inCluster))
	if err != nil {
		t.Fatal(err)
	}
	found, all := map[string]*unstructured.Unstructured{}, []runtime.Object{}
	for _, u := range objects {
		found[u.GetKind()+"/"+u.GetName()] = u
		all = append(all, u)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(testrestmapper.TestOnlyStaticRESTMapper(scheme)).
		WithRuntimeObjects(all...).Build(), found
}

func TestAnObjectIsTracedToItsSource(t *testing.T) {
	c, all := objects(t)
	for name, want := range map[string]string{
		"Deployment/app": `Deployment apps/app

Kustomization flux-system/app
  revision  1.0.0@sha256:1
  path      ./deploy
  ready     True Succeeded done

OCIRepository flux-system/app
  url       oci://r.example/app
  revision  1.0.0@sha256:1
  made of   https://git.example.com
  made at   main@sha1:c0ffee
  ready     Unknown
`,
		"Deployment/app-primary": `Deployment apps/app-primary
  owned by  Canary apps/app

Kustomization flux-system/app
`,
		"Deployment/chart":  "Deployment apps/chart\n",
		"ConfigMap/alone":   "ConfigMap apps/alone\n",
		"ConfigMap/below":   "ConfigMap apps/below\n  owned by  Namespace team\n",
		"ConfigMap/strange": "ConfigMap apps/strange\n",
		"ConfigMap/circle":  "ConfigMap apps/circle\n  owned by  ConfigMap apps/circle\n",
	} {
		traced, err := trace(t.Context(), c, all[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var text bytes.Buffer
		if _, err := pageOf(traced).WriteTo(&text); err != nil || !strings.HasPrefix(text.String(), want) {
			t.Errorf("%s: %v\n%s", name, err, text.String())
		}
		if managed := strings.HasPrefix(name, "Deployment/app"); managed != (traced.Owner != nil) {
			t.Errorf("%s has the owner %v", name, traced.Owner)
		}
	}
}

func TestImagesAreTracedToTheirCommit(t *testing.T) {
	_, all := objects(t)
	running := report.ImagesIn(all["Deployment/app"])
	if diff := cmp.Diff([]string{"busybox", "r.example:5000/acme/app:1.0.0@sha256:1"}, running); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	traced := report.TraceImages(running, []report.Image{
		{
			Namespace: "apps", Policy: "app", Image: "r.example:5000/acme/app",
			Chosen: "1.1.0", Written: "1.0.0", Automation: "fleet", Commit: "c0ffee",
		},
		{Namespace: "apps", Policy: "none"}, {Namespace: "apps", Policy: "other", Image: "r.example"},
	})
	var text bytes.Buffer
	if _, err := pageOf(report.Trace{Images: traced}).WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	want := `Image r.example:5000/acme/app:1.0.0@sha256:1
  policy      apps/app
  chosen      1.1.0
  automation  fleet
  written     1.0.0
  commit      c0ffee
`
	if !strings.HasSuffix(text.String(), want) || len(traced) != 1 {
		t.Errorf("got:\n%s", text.String())
	}
}

func TestAnObjectIsTracedToTheStageItBelongsTo(t *testing.T) {
	c, all := objects(t)
	traced, err := trace(t.Context(), c, all["Deployment/app-primary"])
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "other"}}
	kustomization := sluicev1.ReadyReference{Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	remote := kustomization
	remote.KubeConfig = elsewhere
	canary := sluicev1.CanaryVerification{Name: "app"}
	for name, tc := range map[string]struct {
		stage sluicev1.Stage
		known bool
	}{
		"who applied it has to be ready": {sluicev1.Stage{Ready: []sluicev1.ReadyReference{kustomization}}, true},
		"of a target": {sluicev1.Stage{Targets: []sluicev1.Target{{
			Ready: []sluicev1.ReadyReference{kustomization},
		}}}, true},
		"the canary that owns it verifies a stage": {sluicev1.Stage{Verify: []sluicev1.Verification{{Canary: &canary}}}, true},
		"one of that name in another cluster":      {sluicev1.Stage{Ready: []sluicev1.ReadyReference{remote}}, false},
		"or of a target there": {sluicev1.Stage{Targets: []sluicev1.Target{{
			KubeConfig: elsewhere, Ready: []sluicev1.ReadyReference{kustomization},
		}}}, false},
		"one of another namespace": {sluicev1.Stage{Ready: []sluicev1.ReadyReference{{Kind: "Kustomization", Name: "app"}}}, false},
	} {
		p := sluicev1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop"}}
		tc.stage.Name = "production"
		p.Spec.Stages = []sluicev1.Stage{{Name: "staging"}, tc.stage}
		p.Status.Stages = []sluicev1.StageStatus{{
			Name: "production", Phase: sluicev1.StageVerified, Commit: "c0ffee", By: "Sluice",
			Has: &sluicev1.Bundle{ID: "b1", Versions: []sluicev1.Version{{Artifact: "app", Tag: "1.0.0"}}},
		}}
		traced.Stages = report.TraceStages(traced, []sluicev1.Pipeline{p})
		var text bytes.Buffer
		if _, err := pageOf(traced).WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		want := `Stage production of Pipeline apps/shop
  phase   Verified
  has     app 1.0.0 (b1)
  commit  c0ffee
  by      Sluice
`
		if strings.HasSuffix(text.String(), want) != tc.known || len(traced.Stages) > 1 {
			t.Errorf("%s: got\n%s", name, text.String())
		}
	}
}
