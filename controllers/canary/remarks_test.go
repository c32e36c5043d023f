// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

var gateways = schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: "v1", Kind: gatewayKind}

func gatewayObject(namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gateways)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

func TestAMissingGatewayIsToldOnceAndByReady(t *testing.T) {
	const missing = "; spec.service.gatewayRefs[0]: Gateway test/gateway does not exist, and no user comes through it; " +
		"create it, or correct the reference"
	tests := map[string]struct {
		change   func(*testEnv, *flaggerv1.Canary)
		existing client.Object
		want     string
	}{
		"it is missing":              {want: missing},
		"it is there":                {existing: gatewayObject("test", "gateway")},
		"it is in another namespace": {existing: gatewayObject("edge", "gateway"), want: missing},
		"the cluster has no such kind": {change: func(e *testEnv, _ *flaggerv1.Canary) {
			e.cache.fails = map[string]error{gatewayKind: &meta.NoKindMatchError{}}
		}},
		"Gateways may not be watched": {change: func(e *testEnv, _ *flaggerv1.Canary) {
			e.cache.informers[gateways] = controllertest.NewFakeInformer()
		}},
		"one of another namespace is missing": {
			change: func(_ *testEnv, c *flaggerv1.Canary) {
				c.Spec.Service.GatewayRefs[0].Namespace = ptr.To(gatewayv1.Namespace("edge"))
			},
			want: strings.ReplaceAll(missing, "test/", "edge/"),
		},
		"whose existence is nobody's business": {change: func(e *testEnv, c *flaggerv1.Canary) {
			c.Spec.Service.GatewayRefs[0].Namespace = ptr.To(gatewayv1.Namespace("edge"))
			e.r.observer.routing.deps.OwnNamespace = true
		}},
		"the parent is a Service": {change: func(_ *testEnv, c *flaggerv1.Canary) {
			c.Spec.Service.GatewayRefs[0].Group, c.Spec.Service.GatewayRefs[0].Kind = ptr.To(gatewayv1.Group("")), ptr.To(gatewayv1.Kind("Service"))
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newRelease(t, newPrometheus(t, "100"), func(*flaggerv1.Canary) {})
			if tc.existing != nil {
				if err := e.api.Create(t.Context(), tc.existing); err != nil {
					t.Fatal(err)
				}
			}
			e.restart(e.api)
			e.events, e.cache.informers[gateways] = nil, nil
			c := &flaggerv1.Canary{}
			e.get("podinfo", c)
			if tc.change != nil {
				tc.change(e, c)
			}
			for range 2 {
				result, err := e.r.Reconcile(t.Context(), c)
				if _, remark, _ := strings.Cut(result.Message, ";"); err != nil || strings.TrimSpace(remark) != strings.TrimPrefix(tc.want, "; ") {
					t.Errorf("Ready says %q, %v", result.Message, err)
				}
			}
			told := slices.DeleteFunc(e.events, func(text string) bool { return !strings.Contains(text, "gatewayRefs") })
			if tc.want == "" && len(told) > 0 || tc.want != "" && !slices.Equal(told, []string{strings.TrimPrefix(tc.want, "; ")}) {
				t.Errorf("told %q", told)
			}
		})
	}
}

func TestAGatewayThatIsMadeWakesTheCanary(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{})
	key := types.NamespacedName{Namespace: "test", Name: "podinfo"}
	at := clusterRef{clusterKind{gateways, workloadCluster}, client.ObjectKey{Namespace: "test", Name: "gateway"}}
	watcher := e.r.observer.watcher
	if err := watcher.depend(t.Context(), key, nil, at); err != nil {
		t.Fatal(err)
	}
	if !watcher.absent(t.Context(), at) {
		t.Error("a Gateway that is not there is not absent")
	}
	made := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "gateway"}}
	made.SetGroupVersionKind(gateways)
	counted := made.DeepCopy()
	counted.ResourceVersion = "2" // routes attach to it all the time
	e.cache.informers[gateways].Update(made, counted)
	e.cache.informers[gateways].Add(made)
	if got := waketest.Next(t, e.woken); got != key || len(e.woken) > 0 {
		t.Errorf("%s is woken, and %d more times", got, len(e.woken))
	}
}

// Both were a warning that went by, if that: nobody knew that an alert would not come, or that
// a field had no effect.
func TestWhatIsWrongWithASpecThatWorksStaysInReady(t *testing.T) {
	slack := &flaggerv1.AlertProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "team"}}
	slack.Spec = flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: &flaggerv1.SecretReference{Name: "room"}}
	alert := func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Alerts = []flaggerv1.CanaryAlert{{Name: "all", ProviderRef: flaggerv1.CrossNamespaceObjectReference{Name: "team"}}}
	}
	provider, room := flaggerv1.GroupVersion.WithKind("AlertProvider"), schema.GroupVersionKind{Version: "v1", Kind: "Secret"}
	for name, tc := range map[string]struct {
		edit    func(*flaggerv1.Canary)
		objects []client.Object
		want    string
		on      []schema.GroupVersionKind
	}{
		"a field without effect": {
			edit: func(c *flaggerv1.Canary) { c.Spec.Analysis.MirrorWeight = 10 },
			want: "spec.analysis.mirrorWeight: has no meaning without mirror; nothing is mirrored",
		},
		"an alert to nobody": {
			edit: alert, on: []schema.GroupVersionKind{provider},
			want: "spec.analysis.alerts[0].providerRef: alert all is not sent: AlertProvider test/team: it does not exist; " +
				"create it, or correct the reference",
		},
		"an alert without an address": {
			edit: alert, objects: []client.Object{slack}, on: []schema.GroupVersionKind{provider, room},
			want: "spec.analysis.alerts[0].providerRef: alert all is not sent: AlertProvider test/team: " +
				"spec.secretRef: Secret test/room does not exist; create it with the key address",
		},
		"an alert that is skipped with the analysis": {
			edit: func(c *flaggerv1.Canary) { alert(c); c.Spec.SkipAnalysis = true }, on: []schema.GroupVersionKind{provider},
			want: "spec.analysis.alerts[0].providerRef: alert all is not sent: AlertProvider test/team: it does not exist; " +
				"create it, or correct the reference",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newRelease(t, newPrometheus(t, "100"), tc.edit)
			for _, object := range tc.objects {
				if err := e.api.Create(t.Context(), object.DeepCopyObject().(client.Object)); err != nil {
					t.Fatal(err)
				}
			}
			c := &flaggerv1.Canary{}
			e.get("podinfo", c)
			result, err := e.r.Reconcile(t.Context(), c)
			if err != nil || !strings.HasSuffix(result.Message, tc.want) || !slices.Contains(e.events, tc.want) {
				t.Errorf("Ready says %q, told %q, %v", result.Message, e.events, err)
			}
			for _, kind := range tc.on {
				made := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "team"}}
				if kind == room {
					made.Name = "room"
				}
				made.SetGroupVersionKind(kind)
				for len(e.woken) > 0 {
					<-e.woken
				}
				e.cache.informers[kind].Add(made)
				waketest.Next(t, e.woken)
			}
		})
	}
}

// The status said that a Deployment had been detected that did not exist.
func TestACanaryWithoutItsTargetSaysWhatIsMissing(t *testing.T) {
	c := releasing(newPrometheus(t, "100"))
	e := newEnv(t, interceptor.Funcs{}, c)
	const want = "spec.targetRef: Deployment test/podinfo does not exist; create it, or correct the reference"
	_, _, err := e.reconcile()
	e.get("podinfo", c)
	promoted := meta.FindStatusCondition(c.GetConditions(), string(flaggerv1.PromotedType))
	if err == nil || err.Error() != want || promoted == nil || promoted.Message != want {
		t.Errorf("says %v, and %+v", err, promoted)
	}
}
