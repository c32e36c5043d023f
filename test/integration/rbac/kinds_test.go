// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/harness"
)

// release is one kind of target, autoscaler or route. APP in its texts is its name.
type release struct {
	// target is a Deployment unless it says otherwise.
	target string
	// given is what its owner has beside the target.
	given string
	// provider is that of the Canary, and spec the rest beside what all have.
	provider, spec string
	// change makes a new revision of the target; empty is another annotation of its
	// pods.
	change string
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: APP}
spec:
  selector: {matchLabels: {app: APP}}
  template:
    metadata: {labels: {app: APP}}
    spec:
      containers:
      - {name: app, image: app, envFrom: [{configMapRef: {name: APP}}, {secretRef: {name: APP}}]}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: APP}, data: {color: blue}}
---
{apiVersion: v1, kind: Secret, metadata: {name: APP}, stringData: {token: secret}}
`

const daemonSet = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: APP}
spec:
  selector: {matchLabels: {app: APP}}
  template: {metadata: {labels: {app: APP}}, spec: {containers: [{name: app, image: app}]}}
`

const statefulSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: APP}
spec:
  serviceName: APP
  replicas: 2
  selector: {matchLabels: {app: APP}}
  template: {metadata: {labels: {app: APP}}, spec: {containers: [{name: app, image: app}]}}
`

const service = `
apiVersion: v1
kind: Service
metadata: {name: APP}
spec: {selector: {app: blue}, ports: [{name: http, port: 80}]}
`

const knativeService = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: APP}
spec: {template: {metadata: {labels: {app: APP}}, spec: {containers: [{image: app}]}}}
`

const horizontal = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: APP}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: APP}
  minReplicas: 1
  maxReplicas: 2
`

const scaledObject = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: APP}
spec:
  scaleTargetRef: {name: APP}
  triggers: [{type: cron, metadata: {timezone: UTC, start: 0 6 * * *, end: 0 20 * * *, desiredReplicas: "2"}}]
`

const ingress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: APP}
spec:
  rules:
  - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: APP, port: {number: 80}}}}]}
`

const apisixRoute = `
apiVersion: apisix.apache.org/v2
kind: ApisixRoute
metadata: {name: APP}
spec:
  http:
  - {name: all, match: {paths: [/*]}, backends: [{serviceName: APP, servicePort: 80}]}
`

const (
	served = "  service: {port: 80}\n"
	byStep = "  analysis: {interval: 1s, threshold: 3, stepWeight: 50, maxWeight: 50}\n"
	counts = "  analysis: {interval: 1s, threshold: 3, iterations: 1}\n"
)

// releases write to all that config/rbac/canary.yaml lets them write, see
// TestNothingMayBeWrittenThatNoReleaseWrites: those of all kinds of targets and autoscalers, and one of each provider.
var releases = withEveryProvider(map[string]release{
	"rbac-daemonset":   {target: daemonSet, provider: "kubernetes", spec: served + counts},
	"rbac-statefulset": {target: statefulSet, spec: served + byStep},
	"rbac-service": {
		target:   service,
		provider: "gatewayapi:v1", spec: "  service: {port: 80, gatewayRefs: [{name: public}]}\n" + byStep,
		change: `{"spec":{"selector":{"app":"green"}}}`,
	},
	"rbac-worker": {spec: counts},
	"rbac-hpa": {given: horizontal, provider: "kubernetes", spec: served + counts +
		"  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: APP}\n"},
	"rbac-keda": {given: scaledObject, provider: "kubernetes", spec: served + counts +
		"  autoscalerRef: {apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: APP}\n"},
	"rbac-httproute": {provider: "gatewayapi:v1", spec: "  service: {port: 80, gatewayRefs: [{name: public}]}\n" + byStep},
	"rbac-grpcroute": {
		provider: "gatewayapi:v1", spec: "  service: {port: 80, routeKind: GRPCRoute, gatewayRefs: [{name: public}]}\n" + byStep,
	},
	"rbac-nginx": {
		given:    ingress,
		provider: "nginx", spec: served + byStep + "  ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: APP}\n",
	},
	"rbac-skipper": {
		given:    ingress,
		provider: "skipper", spec: served + byStep + "  ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: APP}\n",
	},
	"rbac-apisix": {
		given:    apisixRoute,
		provider: "apisix", spec: served + byStep + "  routeRef: {apiVersion: apisix.apache.org/v2, kind: ApisixRoute, name: APP}\n",
	},
	"rbac-knative": {target: knativeService, provider: "knative", spec: served + byStep},
	"rbac-smi":     {provider: "smi:v1alpha2", spec: served + byStep},
})

// withEveryProvider adds the plainest release of each provider by which none of some releases is routed. Those of one
// product write the same.
func withEveryProvider(releases map[string]release) map[string]release {
	routed := map[string]bool{}
	for _, r := range releases {
		row, _ := provider.Named(r.provider)
		routed[family(row)] = true
	}
	for _, name := range provider.Nameable() {
		if row, _ := provider.Named(name); !routed[family(row)] {
			routed[family(row)] = true
			releases["rbac-"+row.Family()] = release{provider: name, spec: served + byStep}
		}
	}
	return releases
}

// rolledBack are those whose rollback writes otherwise than their promotion.
var rolledBack = []string{"rbac-statefulset", "rbac-keda", "rbac-service", "rbac-httproute", "rbac-knative"}

// TestEveryKindIsReleasedWithTheRoles begins, promotes, rolls back, edits and ends
// releases of each kind of targets, autoscalers and routes.
func TestEveryKindIsReleasedWithTheRoles(t *testing.T) {
	p := harness.Installed(t)
	install(t, p)
	installProxies(t, p)
	f := fleet{T: t, c: p.Client, namespace: p.NewNamespace(t, "rbac-", nil)}
	p.ServeKnative(t, f.namespace)

	limited := *p
	limited.Kubeconfig = kubeconfigOf(t, p, "sluice")
	sluice, err := limited.StartController(t.Context(), t.TempDir(),
		"--controllers=canary", "--namespace", system, "--watch-namespace", f.namespace, "--canary-min-interval", "1s")
	must(t, err)
	t.Cleanup(sluice.Stop)
	t.Cleanup(func() { noneForbidden(t, sluice) })

	for name, r := range releases {
		f.create(name, r)
	}
	f.await(flaggerv1.CanaryPhaseInitialized)
	for name, r := range releases {
		f.change(name, r, "promoted")
	}
	f.await(flaggerv1.CanaryPhaseSucceeded)
	for _, name := range rolledBack {
		f.patch(canaryOf(name), `{"metadata":{"annotations":{"sluice.dev/gates":"confirm-promotion"}}}`)
		f.change(name, releases[name], "rolled back")
	}
	f.await(flaggerv1.CanaryPhaseWaitingPromotion, rolledBack...)
	for _, name := range rolledBack {
		abort := flaggerv1.CanaryCommand{Verb: flaggerv1.CommandAbort, At: metav1.NowMicro(), By: "ann"}
		f.patch(canaryOf(name), fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, flaggerv1.CommandAnnotation, abort))
	}
	f.await(flaggerv1.CanaryPhaseFailed, rolledBack...)

	f.patch(canaryOf("rbac-hpa"), `{"spec":{"autoscalerRef":null}}`)
	f.until("no copy of the autoscaler", func() string {
		return f.left(&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "rbac-hpa-primary"}})
	})
	for name := range releases {
		must(t, p.Client.Delete(t.Context(), f.named(canaryOf(name))))
	}
	for name := range releases {
		f.until(name+" gone", func() string { return f.left(canaryOf(name)) })
	}
}

// fleet is a namespace of releases.
type fleet struct {
	*testing.T
	c         client.Client
	namespace string
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func canaryOf(name string) client.Object {
	return &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func (f fleet) named(o client.Object) client.Object {
	o.SetNamespace(f.namespace)
	return o
}

// create makes the target, what it needs, and its Canary.
func (f fleet) create(name string, r release) {
	f.Helper()
	for _, object := range r.objects(f.T, name) {
		if err := f.c.Create(f.Context(), f.named(object)); err != nil {
			f.Fatalf("%s: %v", name, err)
		}
	}
}

// objects are the target, what it needs, and last its Canary.
func (r release) objects(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	if r.target == "" {
		r.target = deployment
	}
	head := "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: APP}\nspec:\n  revertOnDeletion: true\n"
	target := parse(t, name, r.target)[0]
	head += fmt.Sprintf("  targetRef: {apiVersion: %s, kind: %s, name: APP}\n", target.GetAPIVersion(), target.GetKind())
	if r.provider != "" {
		head += "  provider: " + r.provider + "\n"
	}
	return slices.Concat(parse(t, name, r.target), parse(t, name, r.given), parse(t, name, head+r.spec))
}

// routes are the objects that say where users go, and the provider by which they do.
func (r release) routes(t *testing.T, name string) (provider.Provider, []object.Ref) {
	t.Helper()
	objects := r.objects(t, name)
	c := &flaggerv1.Canary{}
	must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(objects[len(objects)-1].Object, c))
	c.Namespace = "apps"
	routedBy := provider.ForCanary(c, provider.Kubernetes)
	routes, err := router.New(routedBy.Name, router.Deps{})
	must(t, err)
	return routedBy, routes.Objects(c)
}

func parse(t *testing.T, name, text string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(strings.ReplaceAll(text, "APP", name), "---\n") {
		object := &unstructured.Unstructured{}
		must(t, yaml.Unmarshal([]byte(document), &object.Object))
		if object.Object != nil {
			objects = append(objects, object)
		}
	}
	return objects
}

// change makes a new revision of a target.
func (f fleet) change(name string, r release, version string) {
	f.Helper()
	text, patch := r.target, r.change
	if text == "" {
		text = deployment
	}
	if patch == "" {
		patch = fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"version":%q}}}}}`, version)
	}
	patch = strings.ReplaceAll(patch, "green", strings.ReplaceAll(version, " ", "-"))
	f.patch(parse(f.T, name, text)[0], patch)
}

func (f fleet) patch(o client.Object, patch string) {
	f.Helper()
	if err := f.c.Patch(f.Context(), f.named(o), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		f.Fatalf("%s: %v", o.GetName(), err)
	}
}

// await waits until these releases, or all, are in a phase.
func (f fleet) await(phase flaggerv1.CanaryPhase, names ...string) {
	f.Helper()
	f.until("all "+string(phase), func() string {
		var all flaggerv1.CanaryList
		must(f.T, f.c.List(f.Context(), &all, client.InNamespace(f.namespace)))
		var late []string
		for _, c := range all.Items {
			if c.Status.Phase != phase && (len(names) == 0 || slices.Contains(names, c.Name)) {
				late = append(late, fmt.Sprintf("%s is %s: %+v", c.Name, c.Status.Phase, c.GetConditions()))
			}
		}
		return strings.Join(late, "\n")
	})
}

// left says that an object is still there; empty is gone.
func (f fleet) left(o client.Object) string {
	err := f.c.Get(f.Context(), client.ObjectKeyFromObject(f.named(o)), o)
	if err == nil {
		return o.GetName() + " is there"
	}
	must(f.T, client.IgnoreNotFound(err))
	return ""
}

func (f fleet) until(what string, missing func() string) {
	f.Helper()
	_, err := harness.Eventually(f.Context(), what, harness.Patience, func(context.Context) (bool, string) {
		text := missing()
		return text == "", text
	})
	must(f.T, err)
}
