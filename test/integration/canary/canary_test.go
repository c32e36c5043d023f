// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

func TestCanaryTakesOverAndPromotesAGoodRelease(t *testing.T) {
	t.Parallel()
	log := &eventLog{}
	w := newTestEnv(t, log)
	w.podinfo(nil)
	before := w.canary()
	if got := w.replicas("podinfo-primary"); got != 1 {
		t.Fatalf("primary has %d replicas", got)
	}
	for name, want := range map[string]string{
		"podinfo":         "podinfo-primary",
		"podinfo-primary": "podinfo-primary",
		"podinfo-canary":  "podinfo",
	} {
		svc := &corev1.Service{}
		w.get(name, svc)
		if diff := cmp.Diff(map[string]string{"app": want}, svc.Spec.Selector); diff != "" {
			t.Errorf("service %s: %s", name, diff)
		}
		if svc.Annotations["kustomize.toolkit.fluxcd.io/reconcile"] != "disabled" {
			t.Errorf("service %s would be undone by Flux", name)
		}
	}
	w.apply("podinfo:2")
	w.until("first weight", func() bool { return w.weight() >= 30 })
	w.until("second weight", func() bool { return w.weight() == 60 })
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
	if got := w.image("podinfo-primary"); got != "podinfo:2" {
		t.Errorf("primary runs %s", got)
	}
	after := w.canary()
	if after.Status.LastPromotedSpec == before.Status.LastPromotedSpec || after.Status.LastPromotedSpec != after.Status.LastAppliedSpec {
		t.Errorf("status %+v", after.Status)
	}
	for _, kind := range []string{meta.ReadyCondition, string(flaggerv1.PromotedType)} {
		if !apimeta.IsStatusConditionTrue(after.GetConditions(), kind) {
			t.Errorf("not %s: %+v", kind, after.Status.Conditions)
		}
	}
	for _, said := range []string{
		"Initialization done! podinfo." + w.namespace, "New revision detected! Scaling up podinfo." + w.namespace,
		"Starting canary analysis for podinfo." + w.namespace, "Advance podinfo." + w.namespace + " canary weight 30",
		"Advance podinfo." + w.namespace + " canary weight 60 (request-success-rate 100.00%)",
		"Copying podinfo." + w.namespace + " template spec to podinfo-primary." + w.namespace,
		"Routing all traffic to primary", "Promotion completed! Scaling down podinfo." + w.namespace,
	} {
		if !log.has(said) {
			t.Errorf("nobody said %q: %q", said, log.said)
		}
	}
}

func TestCanaryRollsBackABadRelease(t *testing.T) {
	t.Parallel()
	log := &eventLog{}
	w := newTestEnv(t, log)
	w.podinfo(nil)
	generation := w.deployment("podinfo-primary").Generation
	w.metrics.say("69.17")
	w.apply("podinfo:bad")
	w.phase(flaggerv1.CanaryPhaseFailed)
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
	if d := w.deployment("podinfo-primary"); d.Generation != generation {
		t.Error("the primary was touched")
	}
	w.until("stalled", func() bool { return apimeta.IsStatusConditionTrue(w.canary().GetConditions(), meta.StalledCondition) })
	if !log.has("Halt podinfo."+w.namespace+" advancement success rate 69.17% < 99%") ||
		!log.has("Rolling back podinfo."+w.namespace+" failed checks threshold reached 2") {
		t.Errorf("said %q", log.said)
	}
	w.apply("podinfo:1")
	w.until("ready again", func() bool { return apimeta.IsStatusConditionTrue(w.canary().GetConditions(), meta.ReadyCondition) })
	w.metrics.say("100")
	w.apply("podinfo:bad")
	w.phase(flaggerv1.CanaryPhaseSucceeded)
}

func TestCanaryReleasesABinaryConfigChange(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	w.podinfo(func(c *flaggerv1.Canary) {
		c.Spec.Provider, c.Spec.Service.GatewayRefs = "kubernetes", nil
		c.Spec.Analysis.StepWeight, c.Spec.Analysis.MaxWeight, c.Spec.Analysis.Iterations = 0, 0, 2
	})
	pods := w.deployment("podinfo-primary").Spec.Template
	cm := &corev1.ConfigMap{}
	w.get("podinfo", cm)
	cm.BinaryData["blob"] = []byte{0xfe}
	if err := w.c.Update(context.Background(), cm); err != nil {
		t.Fatal(err)
	}
	w.phase(flaggerv1.CanaryPhaseProgressing)
	w.get("podinfo-primary", cm)
	if cm.BinaryData["blob"][0] != 0xff {
		t.Error("the primary has what nobody measured")
	}
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	w.get("podinfo-primary", cm)
	if cm.BinaryData["blob"][0] != 0xfe {
		t.Error("the primary's copy was not promoted")
	}
	if cmp.Equal(pods, w.deployment("podinfo-primary").Spec.Template) {
		t.Error("the primary's pods were not replaced")
	}
}

func TestCanaryAtRestCostsNoRequest(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	w.podinfo(nil)
	w.apply("podinfo:2")
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	w.quietFor(2 * time.Second) // the last pods go
	before := w.wire.requests.Load()
	w.apply("podinfo:2") // what a Kustomization does every interval
	w.quietFor(5 * time.Second)
	if got := w.wire.requests.Load() - before; got != 0 {
		t.Errorf("%d requests", got)
	}
	if w.replicas("podinfo") != 0 {
		t.Error("applying the same manifest woke the canary")
	}
}

func TestCanaryGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	w.podinfo(nil)
	w.apply("podinfo:2")
	for _, weight := range []int32{30, 60} {
		w.until("weight", func() bool { return w.weight() >= weight })
		w.stop()
		w.start()
	}
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
	if got := w.image("podinfo-primary"); got != "podinfo:2" {
		t.Errorf("primary runs %s", got)
	}
}

// TestCanaryEndsItsReleaseUnderTheProviderThatItBeganWith: the controller's default
// is another after a restart, with users on routes that the new one does not know.
func TestCanaryEndsItsReleaseUnderTheProviderThatItBeganWith(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	restart := func(provider string) {
		w.stop()
		w.provider = provider
		w.start()
	}
	restart("gatewayapi:v1")
	w.podinfo(func(c *flaggerv1.Canary) { c.Spec.Provider = "" })
	if got := w.canary().Status.Provider; got != "" {
		t.Errorf("at rest the status holds on to provider %s", got)
	}
	w.metrics.say("NaN") // no step before the controller is another
	w.apply("podinfo:2")
	w.until("the provider in the status", func() bool { return w.canary().Status.Provider == "gatewayapi:v1" })
	restart("kubernetes")
	w.metrics.say("100")
	w.until("first weight", func() bool { return w.weight() >= 30 })
	w.phase(flaggerv1.CanaryPhaseSucceeded)
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
	w.until("the provider that is in force now", func() bool {
		c := w.canary()
		ready := apimeta.FindStatusCondition(c.GetConditions(), meta.ReadyCondition)
		return c.Status.Provider == "" && ready != nil && strings.Contains(ready.Message, "not supported by provider kubernetes")
	})
}

func TestCanaryRevertedInGitIsNotPromoted(t *testing.T) {
	t.Parallel()
	log := &eventLog{}
	w := newTestEnv(t, log)
	w.podinfo(nil)
	promoted := w.canary().Status.LastPromotedSpec
	w.apply("podinfo:2")
	w.until("first weight", func() bool { return w.weight() == 30 })
	w.apply("podinfo:1")
	w.phase(flaggerv1.CanaryPhaseInitialized)
	w.until("users on the primary", func() bool { return w.weight() == 0 && w.replicas("podinfo") == 0 })
	if got := w.canary().Status.LastPromotedSpec; got != promoted {
		t.Errorf("promoted %s", got)
	}
}

func TestCanaryRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	c := w.podinfo(nil)
	w.get("podinfo", c)
	c.Spec.Service.MeshName = "global"
	if err := w.c.Update(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	w.until("stalled", func() bool {
		stalled := apimeta.FindStatusCondition(w.canary().GetConditions(), meta.StalledCondition)
		return stalled != nil && strings.Contains(stalled.Message, "spec.service.meshName")
	})
}

// TestCanaryGoesOnWhenItsProxyIsInstalled: nothing tells the controller of it.
func TestCanaryGoesOnWhenItsProxyIsInstalled(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.c.RESTMapper().RESTMapping(schema.GroupKind{Group: "projectcontour.io", Kind: "HTTPProxy"}); err == nil {
		t.Skip("another test has installed it")
	}
	w.unstarted(func(c *flaggerv1.Canary) { c.Spec.Provider, c.Spec.Service.GatewayRefs = "contour", nil })
	w.until("told what is missing", func() bool {
		ready := apimeta.FindStatusCondition(w.canary().GetConditions(), meta.ReadyCondition)
		return ready != nil && ready.Reason == flaggerv1.NotInstalledReason && strings.Contains(ready.Message, "install the CRDs of Contour")
	})
	crds := filepath.Join(root, "canary", "router", "testdata", "crds", "contour.yaml")
	if err := harness.Installed(t).ApplyFile(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
	w.phase(flaggerv1.CanaryPhaseInitialized)
}

func TestCanaryGivesBackWhatItTook(t *testing.T) {
	t.Parallel()
	log := &eventLog{}
	w := newTestEnv(t, log)
	w.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "podinfo"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "podinfo"}, Ports: []corev1.ServicePort{{Name: "http", Port: 9898}}}})
	c := w.podinfo(func(c *flaggerv1.Canary) { c.Spec.RevertOnDeletion = true })
	if err := w.c.Delete(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	w.until("gone", func() bool { return !w.get("podinfo", &flaggerv1.Canary{}) })
	svc := &corev1.Service{}
	w.get("podinfo", svc)
	if diff := cmp.Diff(map[string]string{"app": "podinfo"}, svc.Spec.Selector); diff != "" {
		t.Error(diff)
	}
	if w.deployment("podinfo").Status.AvailableReplicas != 1 {
		t.Error("the target does not serve")
	}
	if !log.has("Terminated canary podinfo." + w.namespace) {
		t.Error("nobody is told of the end")
	}
}

func TestCanaryTakesOverFromFlagger(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	w.podinfo(nil)
	w.stop()
	primary := w.deployment("podinfo-primary")
	primary.Spec.Template.Annotations["flagger-id"] = "2c6b4e3e-0f57-4b8e-8f43-3f1e0a7b0b7e"
	if err := w.c.Update(context.Background(), primary); err != nil {
		t.Fatal(err)
	}
	w.until("rolled", func() bool {
		d := w.deployment("podinfo-primary")
		return d.Status.ObservedGeneration == d.Generation && d.Status.AvailableReplicas == 1
	})
	if err := w.c.DeleteAllOf(context.Background(), &appsv1.ControllerRevision{}, client.InNamespace(w.namespace)); err != nil {
		t.Fatal(err)
	}
	c := w.canary()
	c.Status.LastAppliedSpec, c.Status.LastPromotedSpec, c.Status.Phase = "5b8f9c7d66", "5b8f9c7d66", flaggerv1.CanaryPhaseSucceeded
	if err := w.c.Status().Update(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.until("adopted", func() bool { return w.canary().Status.PromotedRevision != "" })
	if w.canary().Status.Phase != flaggerv1.CanaryPhaseSucceeded || w.replicas("podinfo") != 0 {
		t.Errorf("status %+v", w.canary().Status)
	}
	w.apply("podinfo:2")
	w.phase(flaggerv1.CanaryPhaseProgressing)
	w.phase(flaggerv1.CanaryPhaseSucceeded)
}
