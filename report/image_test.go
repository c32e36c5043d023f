// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/make"
)

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "apps", Name: name} }

func TestImages(t *testing.T) {
	scanned := metav1.NewTime(now.Add(-time.Minute))
	chosen := imagev1.ImageRef{Name: "ghcr.io/acme/app", Tag: "1.1.0", Digest: "sha256:feed"}
	older := imagev1.ImageRef{Name: "ghcr.io/acme/app", Tag: "1.0.0"}
	policy := *make.ImagePolicy("apps", "app")
	policy.Status.LatestRef = &chosen
	policy.Status.Decision = &imagev1.Decision{Total: 3, Candidates: []imagev1.Candidate{{Tag: "1.2.0"}, {Tag: "1.1.0"}}}
	policy.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Message: "chosen"}}
	repository := func(name string) imagev1.ImageRepository {
		return *make.ImageRepository("apps", name, func(r *imagev1.ImageRepository) {
			r.Spec.Image = "ghcr.io/acme/" + name
			r.Status.LastScanResult = &imagev1.ScanResult{TagCount: 5, ScanTime: scanned}
		})
	}
	automation := func(name, namespace string, wrote imagev1.ImageRef) imagev1.ImageUpdateAutomation {
		a := imagev1.ImageUpdateAutomation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		a.Status.ObservedPolicies, a.Status.LastPushCommit = imagev1.ObservedPolicies{"app": wrote}, "c0ffee"
		return a
	}
	bare := report.Image{
		Namespace: "apps", Policy: "app", Image: "ghcr.io/acme/app", Tags: 3, Best: "1.2.0", Chosen: "1.1.0", Digest: "sha256:feed",
		Ready: "True", Message: "chosen",
	}
	scan := bare
	scan.Tags, scan.LastScan = 5, &scanned.Time
	written := func(by, tag string) report.Image {
		i := bare
		i.Automation, i.Written, i.Commit = by, tag, "c0ffee"
		return i
	}
	tests := map[string]struct {
		repositories []imagev1.ImageRepository
		automations  []imagev1.ImageUpdateAutomation
		want         report.Image
	}{
		"a policy by itself":                {nil, nil, bare},
		"the repository says how many tags": {[]imagev1.ImageRepository{repository("other"), repository("app")}, nil, scan},
		"an automation lags behind": {
			nil,
			[]imagev1.ImageUpdateAutomation{automation("old", "apps", older)},
			written("old", "1.0.0"),
		},
		"one is up to date, whatever the order": {
			nil,
			[]imagev1.ImageUpdateAutomation{automation("new", "apps", chosen), automation("old", "apps", older)},
			written("new", "1.1.0"),
		},
		"an automation of another namespace": {nil, []imagev1.ImageUpdateAutomation{automation("new", "infra", chosen)}, bare},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := report.Images([]imagev1.ImagePolicy{policy}, tc.repositories, tc.automations)
			if diff := cmp.Diff(report.List[report.Image]{Items: []report.Image{tc.want}}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	fresh := report.Images([]imagev1.ImagePolicy{*make.ImagePolicy("apps", "app")}, nil, nil).Items[0]
	if diff := cmp.Diff(report.Image{Namespace: "apps", Policy: "app", Ready: "Unknown"}, fresh); diff != "" {
		t.Errorf("of a policy that nobody has looked at (-want +got):\n%s", diff)
	}
}

func TestTheRepositoryOfAPolicyMayBeInAnotherNamespace(t *testing.T) {
	p := make.ImagePolicy("apps", "app")
	p.Spec.ImageRepositoryRef = meta.NamespacedObjectReference{Name: "shared", Namespace: "infra"}
	if got := report.RepositoryOf(p).String(); got != "infra/shared" {
		t.Errorf("got %s", got)
	}
}

func TestAutomation(t *testing.T) {
	a := imagev1.ImageUpdateAutomation{ObjectMeta: named("fleet")}
	a.Spec.SourceRef.Kind, a.Spec.SourceRef.Name, a.Spec.Suspend = "GitRepository", "repo", true
	a.Status = imagev1.ImageUpdateAutomationStatus{
		ObservedSourceRevision: "main@sha1:c0ffee", LastPushCommit: "c0ffee", Markers: &imagev1.MarkerCounts{Total: 2},
		Held: []imagev1.HeldUpdate{{Policy: "app"}}, ObservedPolicies: imagev1.ObservedPolicies{"app": {Tag: "1"}},
		Conditions: []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Message: "no access"}},
	}
	want := report.Automation{
		Namespace: "apps", Name: "fleet", Source: a.Spec.SourceRef.String(), Revision: "main@sha1:c0ffee", Commit: "c0ffee",
		Markers: &imagev1.MarkerCounts{Total: 2}, Held: a.Status.Held, Written: a.Status.ObservedPolicies,
		Suspended: true, Ready: "False", Message: "no access",
	}
	if diff := cmp.Diff(want, report.OfAutomation(&a)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestMarkers(t *testing.T) {
	line := report.Marker{File: "a.yaml", Line: 3, Marker: "apps:app:tag", State: report.MarkerOutdated}
	file := report.Marker{File: "b.yaml", State: report.MarkerSkipped}
	if line.Location() != "a.yaml:3" || file.Location() != "b.yaml" {
		t.Errorf("the places are %s and %s", line.Location(), file.Location())
	}
	if line.Namespace() != "apps" || file.Namespace() != "" {
		t.Errorf("the namespaces are %q and %q", line.Namespace(), file.Namespace())
	}
	if line.Compare(file) >= 0 || line.Compare(report.Marker{File: "a.yaml", Line: 2}) <= 0 {
		t.Error("the order is that of file and line")
	}
	if n := report.CountMarkers([]report.Marker{line, file, line}, report.MarkerOutdated); n != 2 {
		t.Errorf("%d are outdated", n)
	}
}
