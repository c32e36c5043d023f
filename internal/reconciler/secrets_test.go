// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sluice-cd/sluice/test/make"
)

func TestASecretBringsBackWhoeverNamesIt(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := kustomizev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	named := func(namespace, name, path string) *kustomizev1.Kustomization {
		return make.Kustomization(namespace, name, func(k *kustomizev1.Kustomization) { k.Spec.Path = path })
	}
	s := Secrets[*kustomizev1.Kustomization]{
		List: func() client.ObjectList { return &kustomizev1.KustomizationList{} },
		Of:   func(k *kustomizev1.Kustomization) []string { return []string{k.Spec.Path, ""} },
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).
		WithObjects(named("test", "a", "token"), named("test", "b", "other"), named("test", "c", "token"),
			named("elsewhere", "a", "token"), named("test", "d", "")).
		WithIndex(&kustomizev1.Kustomization{}, bySecret, s.index).Build()
	var got []string
	secret := make.Secret[string]("test", "token", nil)
	for _, request := range s.requests(context.Background(), reader, secret) {
		got = append(got, request.String())
	}
	if diff := cmp.Diff([]string{"test/a", "test/c"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhichConfigsAreWatched(t *testing.T) {
	labelled := func(version string, of map[string]string) client.Object {
		s := make.Secret[string]("test", "token", nil)
		s.ResourceVersion, s.Labels = version, of
		return s
	}
	enabled := map[string]string{meta.LabelKeyWatch: meta.LabelValueWatchEnabled}
	for name, tc := range map[string]struct {
		selector      string
		before, after map[string]string
		same, ignored bool
	}{
		"all, if nothing is selected":           {},
		"not one that is as it was":             {same: true, ignored: true},
		"one that has the label":                {selector: "reconcile.fluxcd.io/watch=Enabled", before: enabled, after: enabled},
		"one that gets the label":               {selector: "reconcile.fluxcd.io/watch=Enabled", after: enabled},
		"not one without the label":             {selector: "reconcile.fluxcd.io/watch=Enabled", ignored: true},
		"not one that loses the label":          {selector: "reconcile.fluxcd.io/watch=Enabled", before: enabled, ignored: true},
		"one without a label that is excluded":  {selector: "owner!=helm"},
		"not one with a label that is excluded": {selector: "owner!=helm", after: map[string]string{"owner": "helm"}, ignored: true},
	} {
		t.Run(name, func(t *testing.T) {
			selector, err := labels.Parse(tc.selector)
			if err != nil {
				t.Fatal(err)
			}
			changed, any := Options{Configs: selector}.configChanged()
			after := "2"
			if tc.same {
				after = "1"
			}
			update := event.UpdateEvent{ObjectOld: labelled("1", tc.before), ObjectNew: labelled(after, tc.after)}
			if got := changed.Update(update); got == tc.ignored || !any {
				t.Errorf("passes: %v, watches: %v", got, any)
			}
			if got := changed.Create(event.CreateEvent{Object: labelled(after, tc.after)}); got == tc.ignored && !tc.same {
				t.Errorf("passes one that comes: %v", got)
			}
		})
	}
	if _, any := (Options{}).configChanged(); !any {
		t.Error("nobody is watched unless a selector says so")
	}
	if _, any := (Options{Configs: labels.Nothing()}).configChanged(); any {
		t.Error("there is a watch that passes nothing")
	}
}
