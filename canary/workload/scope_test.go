// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
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
			b := newFixture(t, targetAndConfigs("podinfo:1")...)
			p := b.observe()
			b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
			b.must(b.observe().EnsureServices(t.Context()))
			b.own(&appsv1.Deployment{}, "podinfo-primary", tc.owner, tc.uid)
			_, err := b.manager.Observe(t.Context(), b.canary)
			wantRefusal(t, err, tc.terminal, "spec.targetRef", tc.want)

			b.own(&appsv1.Deployment{}, "podinfo-primary", "podinfo", "uid-1")
			b.own(&corev1.Service{}, "podinfo-canary", tc.owner, tc.uid)
			wantRefusal(t, b.observe().EnsureServices(t.Context()), tc.terminal, "spec.service.name", tc.want)
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
func (b *fixture) own(object client.Object, name, owner, uid string) {
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
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	distribution := func() any {
		b.must(b.observe().EnsureServices(t.Context()))
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

// Whatever had the name of a copy was overwritten once, and deleted with the canary.
func TestWhatSomebodyElseMadeIsNotOverwritten(t *testing.T) {
	operator := []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Database", Name: "db", UID: "db", Controller: ptr.To(true)}}
	theirs := func(object client.Object, name string, owner []metav1.OwnerReference) client.Object {
		object.SetName(name)
		object.SetOwnerReferences(owner)
		return object
	}
	promote := func(b *fixture) error {
		p, err := b.manager.Observe(b.t.Context(), b.canary)
		if err != nil {
			return err
		}
		if err := p.Save(b.t.Context(), p.Revision.Digest); err != nil {
			return err
		}
		return p.SetPrimary(b.t.Context(), p.Revision.Digest)
	}
	services := func(b *fixture) error { return b.observe().EnsureServices(b.t.Context()) }
	scale := func(b *fixture) error { return b.observe().EnsureScaler(b.t.Context()) }
	autoscaler := hpa()
	autoscaler.Spec.MaxReplicas = 99
	for name, tc := range map[string]struct {
		theirs   client.Object
		do       func(*fixture) error
		want     string
		terminal bool
	}{
		"a ConfigMap": {
			theirs(configMap("", "theirs"), "env-primary", nil),
			promote,
			"configmap env-primary.test is in the place of a copy and has no owner",
			false,
		},
		"a Secret": {
			theirs(secret("", corev1.SecretTypeOpaque), "token-primary", nil),
			promote,
			"secret token-primary.test",
			false,
		},
		"a Secret of another type": {theirs(secret("", "example.com/x"), "cert-primary", nil), promote, "secret cert-primary.test", false},
		"a Deployment": {
			theirs(shop("", set{"app": "x"}, set{"app": "x"}), "podinfo-primary", nil),
			promote,
			"deployment podinfo-primary.test",
			true,
		},
		"a Deployment of an operator": {
			theirs(shop("", set{"app": "x"}, set{"app": "x"}), "podinfo-primary", operator),
			promote,
			"belongs to Database db",
			true,
		},
		"the primary's Service": {
			theirs(&corev1.Service{Spec: corev1.ServiceSpec{Selector: set{"app": "x"}}}, "podinfo-primary", nil),
			services,
			"service podinfo-primary.test",
			true,
		},
		"the canary's Service": {theirs(&corev1.Service{}, "podinfo-canary", operator), services, "service podinfo-canary.test", true},
		"an autoscaler":        {theirs(autoscaler, "scale-primary", nil), scale, "horizontalpodautoscaler scale-primary.test", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, append(targetAndConfigs("podinfo:1"), hpa(), tc.theirs)...)
			b.canary.Spec.AutoscalerRef = &flaggerv1.AutoscalerReference{
				Name:       "scale",
				Kind:       "HorizontalPodAutoscaler",
				APIVersion: "autoscaling/v2",
			}
			before := tc.theirs.DeepCopyObject().(client.Object)
			b.get(tc.theirs.GetName(), before)
			err := tc.do(b)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, ErrTaken) ||
				errors.Is(err, reconcile.TerminalError(nil)) != tc.terminal {
				t.Errorf("got %v", err)
			}
			after := before.DeepCopyObject().(client.Object)
			b.get(tc.theirs.GetName(), after)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCopiesThatLostTheirOwnerAreTakenBack(t *testing.T) {
	b := newFixture(t, append(targetAndConfigs("podinfo:1"), hpa())...)
	b.canary.Spec.AutoscalerRef = &flaggerv1.AutoscalerReference{Name: "scale", Kind: "HorizontalPodAutoscaler", APIVersion: "autoscaling/v2"}
	make := func() {
		p := b.observe()
		b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
		b.must(p.EnsureServices(t.Context()))
		b.must(p.EnsureScaler(t.Context()))
	}
	make()
	copies := map[string]client.Object{
		"podinfo-primary": &appsv1.Deployment{}, "env-primary": &corev1.ConfigMap{}, "token-primary": &corev1.Secret{},
		"scale-primary": &autoscalingv2.HorizontalPodAutoscaler{}, "podinfo-canary": &corev1.Service{},
	}
	for name, object := range copies {
		b.own(object, name, "", "")
	}
	b.manager.Forget(b.canary.UID)
	make()
	for name, object := range copies {
		if b.get(name, object); !metav1.IsControlledBy(object, b.canary) {
			t.Errorf("%s belongs to %v", name, object.GetOwnerReferences())
		}
	}
}

func TestConfigsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		configs, bytes int
		want           string
	}{"many": {251, 1, "read 251 ConfigMaps"}, "large": {5, 1 << 10, "more than 4096 bytes"}, "enough": {3, 1 << 10, ""}} {
		t.Run(name, func(t *testing.T) {
			d := shop("podinfo", set{"app": "podinfo"}, set{"app": "podinfo"})
			objects := []client.Object{d}
			for i := range tc.configs {
				object := configMap(fmt.Sprintf("c%d", i), strings.Repeat("a", tc.bytes))
				d.Spec.Template.Spec.Containers[0].EnvFrom = append(d.Spec.Template.Spec.Containers[0].EnvFrom,
					corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: object.Name}}})
				objects = append(objects, object)
			}
			b := newFixture(t, objects...)
			b.manager.configBytes = 4 << 10
			p, err := b.manager.Observe(t.Context(), b.canary)
			if err == nil {
				err = p.Save(t.Context(), p.Revision.Digest)
			}
			if tc.want == "" {
				b.must(err)
				return
			}
			wantTerminal(t, err, tc.want)
		})
	}
}
