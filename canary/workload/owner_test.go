package workload

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// TestWhatAnotherCanaryMadeIsNotShared: Flagger logs that bad things will happen,
// and lets them.
func TestWhatAnotherCanaryMadeIsNotShared(t *testing.T) {
	for name, tc := range map[string]struct {
		owner, uid string
		terminal   bool
		want       string // part of the error; empty is none
	}{
		"its own":                              {"podinfo", "uid-1", false, ""},
		"that of another canary":               {"other", "uid-2", true, "belongs to Canary other: two cannot release the same"},
		"that of an earlier one of its name":   {"podinfo", "uid-0", false, "belongs to an earlier Canary of this name"},
		"that of nobody, such as was orphaned": {"", "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, world("podinfo:1")...)
			p := b.look()
			b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
			b.must(b.look().EnsureServices(t.Context()))
			b.own(&appsv1.Deployment{}, "podinfo-primary", tc.owner, tc.uid)
			_, err := b.kit.Look(t.Context(), b.canary)
			wantRefusal(t, err, tc.terminal, "spec.targetRef", tc.want)

			b.own(&appsv1.Deployment{}, "podinfo-primary", "podinfo", "uid-1")
			b.own(&corev1.Service{}, "podinfo-canary", tc.owner, tc.uid)
			wantRefusal(t, b.look().EnsureServices(t.Context()), tc.terminal, "spec.service.name", tc.want)
		})
	}
}

func wantRefusal(t *testing.T, err error, terminal bool, field, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want %q", err, want)
	case errors.Is(err, reconcile.TerminalError(nil)) != terminal:
		t.Errorf("terminal is %v: %v", !terminal, err)
	case terminal && !strings.Contains(err.Error(), field):
		t.Errorf("%v does not name %s", err, field)
	}
}

// own gives an object to a canary, or to nobody.
func (b *bench) own(object client.Object, name, owner, uid string) {
	b.t.Helper()
	b.get(name, object)
	object.SetOwnerReferences(nil)
	if owner != "" {
		c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Name: owner, UID: types.UID(uid)}}
		object.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(c, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind))})
	}
	b.must(b.c.Update(b.t.Context(), object))
}

// What an edit of the canary says about its own Services holds for those that are
// there, too.
func TestAnEditOfTheServiceReachesTheServices(t *testing.T) {
	b := newBench(t, world("podinfo:1")...)
	distribution := func() any {
		b.must(b.look().EnsureServices(t.Context()))
		svc := &corev1.Service{}
		b.get("podinfo-canary", svc)
		if svc.Spec.TrafficDistribution == nil {
			return nil
		}
		return *svc.Spec.TrafficDistribution
	}
	for _, want := range []string{"PreferClose", "PreferSameNode", ""} {
		b.canary.Spec.Service.TrafficDistribution = want
		if got := distribution(); got != want && (want != "" || got != nil) {
			t.Errorf("got %v, want %q", got, want)
		}
	}
}
