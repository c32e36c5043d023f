// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func agent(image string) *appsv1.DaemonSet {
	d := podinfo(image)
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "podinfo"}, Spec: appsv1.DaemonSetSpec{
		Selector: d.Spec.Selector, Template: d.Spec.Template, MinReadySeconds: 5,
		UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType},
	}, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 2}}
}

func daemonBench(t *testing.T, d *appsv1.DaemonSet, objects ...client.Object) *fixture {
	t.Helper()
	b := newFixture(t, slices.Concat([]client.Object{d}, targetAndConfigs("podinfo:1")[1:], objects)...)
	b.canary.Spec.TargetRef.Kind = "DaemonSet"
	return b
}

func TestAStoppedDaemonSetIsTheSameRevision(t *testing.T) {
	for name, selector := range map[string]map[string]string{"without a node selector": nil, "with one": {"disk": "ssd"}} {
		t.Run(name, func(t *testing.T) {
			d := agent("podinfo:1")
			d.Spec.Template.Spec.NodeSelector = selector
			b := daemonBench(t, d)
			p := b.observe()
			b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
			b.must(p.StopTarget(t.Context()))
			stopped := b.observe()
			if stopped.Target.Replicas != 0 || stopped.Target.Ready || stopped.Revision.Digest != p.Revision.Digest {
				t.Errorf("stopped: %+v", stopped.Target)
			}
			b.must(stopped.SetPrimary(t.Context(), stopped.Revision.Digest))
			primary, target := &appsv1.DaemonSet{}, &appsv1.DaemonSet{}
			b.get("podinfo-primary", primary)
			b.get("podinfo", target)
			if _, stops := primary.Spec.Template.Spec.NodeSelector[stoppedSelector]; stops || primary.Spec.MinReadySeconds != 5 {
				t.Errorf("primary %+v", primary.Spec)
			}
			if got := target.Spec.Template.Spec.NodeSelector; got[stoppedSelector] != "true" || len(got) != len(selector)+1 {
				t.Errorf("target selects %v", got)
			}
			b.must(stopped.StartTarget(t.Context()))
			if again := b.observe(); again.Target.Replicas != 2 || again.Revision.Digest != p.Revision.Digest {
				t.Errorf("started: %+v", again.Target)
			}
		})
	}
}

func TestADeletedCanaryGivesADaemonSetItsNodesBack(t *testing.T) {
	b := daemonBench(t, agent("podinfo:1"))
	b.must(b.observe().SetPrimary(t.Context(), b.observe().Revision.Digest))
	b.must(b.observe().StopTarget(t.Context()))
	if why, err := b.observe().RevertTarget(t.Context()); why == "" || err != nil {
		t.Fatalf("%q, %v", why, err)
	}
	if why, err := b.observe().RevertTarget(t.Context()); why != "" || err != nil {
		t.Fatalf("%q, %v", why, err)
	}
}

func TestADaemonSetMustRoll(t *testing.T) {
	d := agent("podinfo:1")
	d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	b := daemonBench(t, d)
	_, err := b.manager.Observe(context.Background(), b.canary)
	wantTerminal(t, err, "spec.updateStrategy.type")
}

func TestReadinessOfDaemonSets(t *testing.T) {
	for name, tc := range map[string]struct {
		status     appsv1.DaemonSetStatus
		generation int64
		threshold  int
		waited     time.Duration
		wantReady  bool
		wantStuck  bool
	}{
		"every node has a new pod": {
			status:    appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberAvailable: 1},
			wantReady: true,
		},
		"no node wants one": {wantReady: true},
		"a change nobody has seen": {
			generation: 1,
			status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberAvailable: 1},
		},
		"a pod is still the old one": {status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, NumberAvailable: 1}},
		"a pod is not available":     {status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1}},
		"enough for the threshold": {
			threshold: 50,
			status:    appsv1.DaemonSetStatus{DesiredNumberScheduled: 4, UpdatedNumberScheduled: 4, NumberAvailable: 2},
			wantReady: true,
		},
		"too few for the threshold": {
			threshold: 50,
			status:    appsv1.DaemonSetStatus{DesiredNumberScheduled: 4, UpdatedNumberScheduled: 4, NumberAvailable: 1},
		},
		"none is never enough":         {threshold: 10, status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 4, UpdatedNumberScheduled: 4}},
		"an old pod, and for too long": {waited: time.Hour, wantStuck: true, status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 1}},
		"ready, however long that took": {
			waited:    time.Hour,
			wantReady: true,
			status:    appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberAvailable: 1},
		},
		"not available, but not for long": {
			waited: time.Minute,
			status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Generation: tc.generation}, Status: tc.status}
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
			if err != nil {
				t.Fatal(err)
			}
			if tc.threshold == 0 {
				tc.threshold = 100
			}
			got, err := describeDaemonSet(&unstructured.Unstructured{Object: object},
				patience{threshold: tc.threshold, deadline: 10 * time.Minute, since: noon.Add(-tc.waited), now: noon})
			if err != nil || got.Ready != tc.wantReady || got.Stuck != tc.wantStuck || (got.Why == "") != got.Ready {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
