// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/cluster"
	"github.com/sluice-cd/sluice/test/make"
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
				e.create(make.Deployment("apps", "app-primary", "registry/app:"+tc.primary))
			}
			c := make.Canary("apps", "app")
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
