// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	scheme "github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/test/harness"
)

const inCluster = `
{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: fleet, namespace: apps}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: root, namespace: apps},
  spec: {sourceRef: {kind: GitRepository, name: fleet}}, status: {inventory: {entries: [
    {id: apps_root_kustomize.toolkit.fluxcd.io_Kustomization, v: v1}, {id: apps_app_kustomize.toolkit.fluxcd.io_Kustomization, v: v1},
    {id: apps_gone_kustomize.toolkit.fluxcd.io_Kustomization, v: v1}, {id: apps_last__ConfigMap, v: v1}, {id: unreadable, v: v1}]}}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: app, namespace: apps},
  spec: {sourceRef: {kind: OCIRepository, name: fleet}}, status: {inventory: {entries: [
    {id: apps_shop_flagger.app_Canary, v: v1beta1}, {id: apps_shop_apps_Deployment, v: v1}]}}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: child, namespace: apps},
  spec: {sourceRef: {kind: OCIRepository, name: fleet}}, status: {inventory: {entries: [
    {id: apps_parent_kustomize.toolkit.fluxcd.io_Kustomization, v: v1}, {id: apps_of-child__ConfigMap, v: v1}]}}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: parent, namespace: apps},
  spec: {sourceRef: {kind: OCIRepository, name: fleet}}, status: {inventory: {entries: [
    {id: apps_child_kustomize.toolkit.fluxcd.io_Kustomization, v: v1}, {id: apps_sibling_kustomize.toolkit.fluxcd.io_Kustomization, v: v1},
    {id: apps_empty_kustomize.toolkit.fluxcd.io_Kustomization, v: v1}]}}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: sibling, namespace: apps},
  spec: {sourceRef: {kind: OCIRepository, name: other}}, status: {inventory: {entries: [
    {id: apps_child_kustomize.toolkit.fluxcd.io_Kustomization, v: v1}]}}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: empty, namespace: apps},
  spec: {sourceRef: {kind: OCIRepository, name: fleet}}}
---
{apiVersion: flagger.app/v1beta1, kind: Canary, metadata: {name: shop, namespace: apps, uid: c},
  spec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: shop, namespace: apps}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: shop-primary, namespace: apps,
  ownerReferences: [{apiVersion: flagger.app/v1beta1, kind: Canary, name: shop, uid: c, controller: true}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: shop-canary, namespace: apps,
  ownerReferences: [{apiVersion: flagger.app/v1beta1, kind: Canary, name: shop, uid: c}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: of-another, namespace: apps,
  ownerReferences: [{apiVersion: flagger.app/v1beta1, kind: Canary, name: another, uid: d}]}}
---
{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, metadata: {name: shop, namespace: images}}
---
{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, metadata: {name: shop, namespace: apps, labels: {team: a}},
  spec: {imageRepositoryRef: {name: shop, namespace: images}}}
---
{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, metadata: {name: other, namespace: apps},
  spec: {imageRepositoryRef: {name: other}}}
---
{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageUpdateAutomation, metadata: {name: fleet, namespace: apps},
  spec: {sourceRef: {kind: GitRepository, name: fleet}, policySelector: {matchLabels: {team: a}}}}
---
{apiVersion: sluice.dev/v1alpha1, kind: Pipeline, metadata: {name: shop, namespace: apps}, spec: {
  artifacts: [{name: app, imagePolicyRef: {name: shop}}, {name: files, ociRepositoryRef: {name: files}}],
  stages: [{name: staging, ready: [{kind: Kustomization, name: app}], verify: [{canary: {name: shop}}]},
    {name: production, ready: [{kind: Kustomization, name: app, kubeConfig: {secretRef: {name: far}}}]}]},
  status: {stages: [{name: staging, phase: Verified, has: {id: b1, versions: [{artifact: app, tag: 1.0.0}]}}]}}
---
{apiVersion: notification.toolkit.fluxcd.io/v1, kind: Receiver, metadata: {name: r, namespace: apps},
  spec: {resources: [{kind: ImageRepository, name: '*', matchLabels: {team: a}}]}}
---
{apiVersion: notification.toolkit.fluxcd.io/v1beta3, kind: Alert, metadata: {name: a, namespace: apps},
  spec: {providerRef: {name: chat}, eventSources: [{kind: Canary, name: shop, namespace: m}]}}
---
{apiVersion: notification.toolkit.fluxcd.io/v1beta3, kind: Provider, metadata: {name: chat, namespace: apps}}
---
{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: mono, namespace: apps}}
---
{apiVersion: source.extensions.fluxcd.io/v1beta1, kind: ArtifactGenerator, metadata: {name: split, namespace: apps},
  spec: {sources: [{alias: m, kind: GitRepository, name: mono}]}, status: {inventory: [{name: part, namespace: apps}]}}
---
{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: part, namespace: apps},
  spec: {sourceRef: {kind: ExternalArtifact, name: part}}}
`

func TestATreeHasWhatHangsBelowAnObject(t *testing.T) {
	known, err := scheme.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := harness.Objects([]byte(inCluster))
	if err != nil {
		t.Fatal(err)
	}
	var all []runtime.Object
	for _, u := range objects {
		all = append(all, u)
	}
	c := fake.NewClientBuilder().WithScheme(known).WithRESTMapper(testrestmapper.TestOnlyStaticRESTMapper(known)).
		WithRuntimeObjects(all...).Build()
	for words, want := range map[string]string{
		"ks root": `Kustomization/apps/root
├── Kustomization/apps/root  (shown above)
├── Kustomization/apps/app
│   ├── Canary/apps/shop
│   │   ├── Deployment/apps/shop
│   │   ├── Deployment/apps/shop-primary
│   │   └── Service/apps/shop-canary
│   └── Deployment/apps/shop
├── Kustomization/apps/gone
└── ConfigMap/apps/last
left out: an entry of the inventory of Kustomization apps/root`,
		"source git fleet": `GitRepository/apps/fleet
└── Kustomization/apps/root
    ├── Kustomization/apps/root  (shown above)
    ├── Kustomization/apps/app
`,
		"source git mono": `GitRepository/apps/mono
└── ArtifactGenerator/apps/split
    └── ExternalArtifact/apps/part
        └── Kustomization/apps/part
`,
		"source oci fleet": `OCIRepository/apps/fleet
├── Kustomization/apps/app
│   ├── Canary/apps/shop
│   │   ├── Deployment/apps/shop
│   │   ├── Deployment/apps/shop-primary
│   │   └── Service/apps/shop-canary
│   └── Deployment/apps/shop
└── Kustomization/apps/child
    ├── Kustomization/apps/parent
    │   ├── Kustomization/apps/child  (shown above)
    │   ├── Kustomization/apps/sibling
    │   │   └── Kustomization/apps/child  (shown above)
    │   └── Kustomization/apps/empty
    └── ConfigMap/apps/of-child
`,
		"canary shop": `Canary/apps/shop
├── Deployment/apps/shop
├── Deployment/apps/shop-primary
└── Service/apps/shop-canary
`,
		"pl shop": `Pipeline/apps/shop
├── ImagePolicy/apps/shop
│   └── ImageRepository/images/shop
├── OCIRepository/apps/files
├── Stage/staging  Verified app 1.0.0 (b1)
│   ├── Kustomization/apps/app
│   └── Canary/apps/shop
└── Stage/production
`,
		"automation fleet": `ImageUpdateAutomation/apps/fleet
├── GitRepository/apps/fleet
└── ImagePolicy/apps/shop
    └── ImageRepository/images/shop
`,
		"receiver r":    "Receiver/apps/r\n└── ImageRepository/apps/*  team=a\n",
		"alert a":       "Alert/apps/a\n├── Provider/apps/chat\n└── Canary/m/shop\n",
		"provider chat": "Provider/apps/chat\n",
	} {
		k, names, err := namedFirst(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		b := newTreeBuilder(c)
		tree, err := b.node(t.Context(), k.GroupVersionKind.GroupKind(), client.ObjectKey{Namespace: "apps", Name: names[0]})
		var out bytes.Buffer
		if err == nil {
			err = printTree(&out, tree)
		}
		if words == "pl shop" && tree.Below[2].Below[0].Group != "kustomize.toolkit.fluxcd.io" {
			t.Errorf("the group of what judges a stage: %+v", tree.Below[2])
		}
		for _, left := range b.skipped {
			out.WriteString("left out: " + left.Error())
		}
		if err != nil || !strings.HasPrefix(out.String(), want) {
			t.Errorf("%s: %v, got\n%swant\n%s", words, err, &out, want)
		}
	}
	b := newTreeBuilder(c)
	tree, err := b.node(t.Context(), groupKind("image.toolkit.fluxcd.io", "ImageRepository"),
		client.ObjectKey{Namespace: "images", Name: "shop"})
	names := treeNames(tree)
	if err != nil || names.Len() != 2 {
		t.Errorf("%v, %+v", err, tree)
	}
}
