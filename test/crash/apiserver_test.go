// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// outageObjects are how many ConfigMaps there are, so that an API server goes between two of them.
const outageObjects = 40

// deletions are objects that the log tells to be deleted.
var deletions = regexp.MustCompile(`c-[0-9]+ deleted`)

// outage is a Kustomization in a cluster whose API server goes.
type outage struct {
	*harness.Playground
	t      *testing.T
	ns     string
	sluice *harness.Controller
}

// TestAKustomizationGoesOnWhenTheAPIServerIsBack has the API server killed, and then have it hang, while something new is
// published. The process lives on, goes on by itself, prunes nothing but what is gone from the source, and gives nothing up.
func TestAKustomizationGoesOnWhenTheAPIServerIsBack(t *testing.T) {
	t.Parallel()
	harness.Require(t)
	o := &outage{Playground: harness.SecondPlayground(t), t: t}
	o.ns = o.NewNamespace(t, "outage-", nil)
	o.publish("1", outageObjects+1)
	o.must(o.Apply(t.Context(), fmt.Appendf(nil, `
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: app, namespace: %[1]s}
spec: {url: "oci://%[2]s/%[1]s", ref: {tag: latest}, insecure: true, interval: 1s}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: %[1]s}
spec: {interval: 1h, prune: true, wait: true, sourceRef: {kind: OCIRepository, name: app}}
`, o.ns, o.Registry)))
	var err error
	o.sluice, err = o.StartController(t.Context(), t.TempDir(), "--controllers=source,kustomize")
	o.must(err)
	t.Cleanup(o.sluice.Stop)
	o.applied("1", outageObjects+1)
	begun := o.uids()

	o.SignalAPIServer(t, syscall.SIGKILL)
	o.publish("2", outageObjects)
	o.logged("connection refused")
	o.Revive(t)
	o.applied("2", outageObjects)

	o.publish("3", outageObjects) // it may be half applied when the API server stops
	o.SignalAPIServer(t, syscall.SIGSTOP)
	o.publish("4", outageObjects)
	o.SignalAPIServer(t, syscall.SIGCONT)
	o.applied("4", outageObjects)

	now := o.uids()
	if len(now) != outageObjects {
		t.Errorf("there are %d objects, want %d", len(now), outageObjects)
	}
	for name, uid := range now {
		if begun[name] != uid {
			t.Errorf("%s was made anew", name)
		}
	}
	if o.sluice.Exited() {
		t.Errorf("the controller has ended: %s", o.sluice.Tail(4000))
	}
	for _, deleted := range deletions.FindAllString(o.log(), -1) {
		if deleted != fmt.Sprintf("c-%d deleted", outageObjects) {
			t.Errorf("what the source still has: %s", deleted)
		}
	}
}

func (o *outage) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// publish has so many ConfigMaps with a value applied.
func (o *outage) publish(value string, count int) {
	o.t.Helper()
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c-%02d, namespace: %s}\ndata: {value: %q}\n", i, o.ns, value)
	}
	image, err := harness.Manifests("app.yaml", text.String(), "v"+value)
	o.must(err)
	_, err = o.Push(o.t.Context(), o.ns, "latest", image)
	o.must(err)
}

// configs are the ConfigMaps of the Kustomization.
func (o *outage) configs(ctx context.Context) ([]corev1.ConfigMap, error) {
	var list corev1.ConfigMapList
	err := o.Client.List(ctx, &list, client.InNamespace(o.ns), client.MatchingLabels{"kustomize.toolkit.fluxcd.io/name": "app"})
	return list.Items, err
}

func (o *outage) uids() map[string]string {
	o.t.Helper()
	items, err := o.configs(o.t.Context())
	o.must(err)
	found := map[string]string{}
	for _, item := range items {
		found[item.Name] = string(item.UID)
	}
	return found
}

// applied waits until the Kustomization is Ready with a value, and has no more than so many objects.
func (o *outage) applied(value string, count int) {
	o.t.Helper()
	_, err := harness.Eventually(o.t.Context(), "value "+value, harness.Patience, func(ctx context.Context) (bool, string) {
		items, err := o.configs(ctx)
		if err != nil {
			return false, err.Error()
		}
		current := 0
		for _, item := range items {
			if item.Data["value"] == value {
				current++
			}
		}
		var k kustomizev1.Kustomization
		if err := o.Client.Get(ctx, client.ObjectKey{Namespace: o.ns, Name: "app"}, &k); err != nil {
			return false, err.Error()
		}
		if stalled := apimeta.FindStatusCondition(k.Status.Conditions, meta.StalledCondition); stalled != nil {
			return false, "given up: " + stalled.Message
		}
		ready := apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition)
		origin := k.Status.LastAppliedOriginRevision
		return ready && origin == "v"+value && current == count && len(items) == count,
			fmt.Sprintf("%d of %d have it, %+v", current, len(items), k.Status.Conditions)
	})
	if err != nil {
		o.t.Fatalf("%v\n%s", err, o.sluice.Tail(4000))
	}
}

func (o *outage) log() string {
	o.t.Helper()
	text, err := os.ReadFile(o.sluice.Log())
	o.must(err)
	return string(text)
}

// logged waits for a text in the log of the controller.
func (o *outage) logged(text string) {
	o.t.Helper()
	_, err := harness.Eventually(o.t.Context(), text+" in the log", harness.Patience, func(context.Context) (bool, string) {
		return strings.Contains(o.log(), text), o.sluice.Tail(500)
	})
	o.must(err)
}
