// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

func TestTheVerdictOnTheVersionBeforeIsNoneOnThis(t *testing.T) {
	cases := map[string]struct {
		phase   flaggerv1.CanaryPhase
		primary string // its tag; empty is no primary
		want    promotion.Verification
		wantOK  bool
	}{
		"users have it":                           {flaggerv1.CanaryPhaseSucceeded, "2", promotion.VerificationPassed, true},
		"it is what users had from the start":     {flaggerv1.CanaryPhaseInitialized, "2", promotion.VerificationPassed, true},
		"the version before succeeded":            {flaggerv1.CanaryPhaseSucceeded, "1", promotion.VerificationPending, true},
		"another failed, and users kept this":     {flaggerv1.CanaryPhaseFailed, "2", promotion.VerificationPassed, true},
		"it failed, or another one did":           {flaggerv1.CanaryPhaseFailed, "1", 0, false},
		"another configuration of it is on trial": {flaggerv1.CanaryPhaseProgressing, "2", 0, false},
		"it is released in place":                 {flaggerv1.CanaryPhaseSucceeded, "", 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			if tc.primary != "" {
				d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app-primary"}}
				d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "registry/app:" + tc.primary}}
				if err := e.Client.Create(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
			c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}
			c.Status.Phase = tc.phase
			cs := canaries{&objects{pipeline: e.pipeline, live: e.Client}}
			o := object{Object: cluster.Object{NamespacedName: client.ObjectKeyFromObject(c)}}
			got, evidence, ok, err := cs.byPrimary(t.Context(), o, c, promotion.Content{Versions: []sluicev1.Version{{Artifact: "app", Tag: "2"}}})
			if err != nil || ok != tc.wantOK || ok && got != tc.want {
				t.Errorf("verification %v (%v, %v): %s; want %v (%v)", got, ok, err, evidence, tc.want, tc.wantOK)
			}
		})
	}
}
