// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func knativeBench(t *testing.T, latest string, revisions ...client.Object) *fixture {
	t.Helper()
	svc := newObject(knativeService, "podinfo")
	svc.Object["status"] = map[string]any{"latestCreatedRevisionName": latest}
	b := newFixture(t, append(revisions, svc)...)
	b.canary.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Name: "podinfo"}
	b.canary.Spec.Provider = "knative"
	return b
}

func knativeRev(name, image, ready string) *unstructured.Unstructured {
	u := newObject(knativeRevision, name)
	u.SetLabels(map[string]string{"serving.knative.dev/service": "podinfo", "serving.knative.dev/configurationGeneration": name, "team": "a"})
	u.Object["spec"] = map[string]any{"containers": []any{map[string]any{"image": image}}}
	u.Object["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": "Ready", "status": ready, "reason": "ExitCode1", "message": "Container failed"}}}
	return u
}

func TestAKnativeServiceIsReleasedByItsRevisions(t *testing.T) {
	b := knativeBench(t, "podinfo-1", knativeRev("podinfo-1", "podinfo:1", "True"))
	one := b.observe()
	if one.Primary.Exists || !one.Target.Ready || one.Target.Images[0] != "podinfo:1" {
		t.Fatalf("target %+v, primary %+v", one.Target, one.Primary)
	}
	b.must(one.Save(t.Context(), one.Revision.Digest))
	b.must(one.SetPrimary(t.Context(), one.Revision.Digest))
	svc := newObject(knativeService, "")
	b.get("podinfo", svc)
	if got := svc.GetAnnotations()[primaryRevision]; got != "podinfo-1" {
		t.Fatalf("primary is %q", got)
	}
	next := knativeRev("podinfo-2", "podinfo:2", "Unknown")
	next.SetNamespace("test")
	b.must(b.c.Create(t.Context(), next))
	svc.Object["status"] = map[string]any{"latestCreatedRevisionName": "podinfo-2"}
	b.must(b.c.Update(t.Context(), svc))
	two := b.observe()
	if two.Primary.Revision != one.Revision.Digest || !two.Primary.Serves() ||
		two.Target.Ready || two.Target.Revision == one.Revision.Digest ||
		!strings.Contains(two.Target.Why, "ExitCode1: Container failed") || !two.Saved[one.Revision.Digest] {
		t.Errorf("target %+v, primary %+v", two.Target, two.Primary)
	}
	b.must(two.SetPrimary(t.Context(), two.Revision.Digest))
	b.must(two.SetPrimary(t.Context(), one.Revision.Digest)) // goes back although the target moved on
	b.must(two.Prune(t.Context(), nil))
	if err := two.SetPrimary(t.Context(), "sha256:gone"); err == nil {
		t.Error("promoted a revision that never was")
	}
}

func TestARevertedKnativeServiceIsTheRevisionThatItWas(t *testing.T) {
	again := knativeRev("podinfo-3", "podinfo:1", "True")
	again.SetCreationTimestamp(metav1.NewTime(noon))
	first := knativeRev("podinfo-1", "podinfo:1", "True")
	first.SetCreationTimestamp(metav1.NewTime(noon.Add(-time.Hour)))
	b := knativeBench(t, "podinfo-3", first, knativeRev("podinfo-2", "podinfo:2", "True"), again)
	svc := newObject(knativeService, "")
	b.get("podinfo", svc)
	svc.SetAnnotations(map[string]string{primaryRevision: "podinfo-1"})
	b.must(b.c.Update(t.Context(), svc))
	if p := b.observe(); p.Target.Revision != p.Primary.Revision {
		t.Errorf("target %s, primary %s", p.Target.Revision, p.Primary.Revision)
	}
}

func TestAKnativeServiceThatIsNotThereYet(t *testing.T) {
	for name, tc := range map[string]struct {
		annotation, latest string
		wantErr            bool
		wantWhy            string
	}{
		"no revision yet":                  {latest: "", wantErr: true},
		"a primary whose revision is gone": {latest: "podinfo-1", annotation: "podinfo-0", wantWhy: "podinfo-0.test not found"},
	} {
		t.Run(name, func(t *testing.T) {
			b := knativeBench(t, tc.latest, knativeRev("podinfo-1", "podinfo:1", "True"))
			svc := newObject(knativeService, "")
			b.get("podinfo", svc)
			svc.SetAnnotations(map[string]string{primaryRevision: tc.annotation})
			b.must(b.c.Update(t.Context(), svc))
			p, err := b.manager.Observe(t.Context(), b.canary)
			if (err != nil) != tc.wantErr || !strings.Contains(p.Primary.Why, tc.wantWhy) {
				t.Errorf("%+v, %v", p.Primary, err)
			}
		})
	}
}
