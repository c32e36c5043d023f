// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/message"
)

// The status names the origin of what was applied to its end only then, so the steps of a release
// from an image landed on the commit of the one before, and those of the first release on the
// digest of the image, as if that were a commit.
func TestTheStepsOfACanaryFromAnImageShowOnTheCommitThatItWasMadeOf(t *testing.T) {
	const before, now = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "4d2ee62e1a1b2c3d4e5f60718293a4b5c6d7e8f9"
	revision := func(digit string) string { return "staging@sha256:" + strings.Repeat(digit, 64) }
	const origin = "org.opencontainers.image.revision"
	made := map[string]string{origin: "main@sha1:" + now}
	onto := func(commit string) []dispatch.Status {
		return []dispatch.Status{{Commit: commit, Context: "canary/shop/abcd", State: "failure", Description: "Rolling back"}}
	}
	for name, tc := range map[string]struct {
		kind     string
		artifact *meta.Artifact
		edit     func(*kustomizev1.KustomizationStatus)
		want     []dispatch.Status
	}{
		"a release after another": {
			artifact: &meta.Artifact{Revision: revision("2"), Metadata: made}, want: onto(now),
		},
		"the first release": {
			artifact: &meta.Artifact{Revision: revision("2"), Metadata: made}, want: onto(now),
			edit: func(s *kustomizev1.KustomizationStatus) { s.LastAppliedRevision, s.LastAppliedOriginRevision = "", "" },
		},
		"of what another controller made": {
			kind: sourcev1.ExternalArtifactKind, artifact: &meta.Artifact{Revision: revision("2"), Metadata: made}, want: onto(now),
		},
		"an image that does not say of what it was made": {artifact: &meta.Artifact{Revision: revision("2")}},
		"a Kustomization that has yet to attempt it":     {artifact: &meta.Artifact{Revision: revision("3"), Metadata: made}},
		"a source that has lost its artifact": {
			want: onto(now), edit: func(s *kustomizev1.KustomizationStatus) {
				s.History = meta.History{
					{Digest: "sha256:2", Metadata: map[string]string{"revision": revision("2"), "originRevision": "main@sha1:" + now}},
					{Digest: "sha256:1", Metadata: map[string]string{"revision": revision("1"), "originRevision": "main@sha1:" + before}},
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop"}}
			c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}
			target := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop", Labels: map[string]string{
				"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
			}}}
			k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "shop"}}
			k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name = sourcev1.OCIRepositoryKind, "fleet"
			k.Status = kustomizev1.KustomizationStatus{
				LastAppliedRevision: revision("1"), LastAppliedOriginRevision: "main@sha1:" + before, LastAttemptedRevision: revision("2"),
				Inventory: &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: "apps_shop_apps_Deployment", Version: "v1"}}},
			}
			if tc.edit != nil {
				tc.edit(&k.Status)
			}
			named := metav1.ObjectMeta{Namespace: "flux-system", Name: "fleet"}
			var source client.Object = &sourcev1.OCIRepository{ObjectMeta: named, Status: sourcev1.OCIRepositoryStatus{Artifact: tc.artifact}}
			if tc.kind != "" {
				k.Spec.SourceRef.Kind = tc.kind
				source = &sourcev1.ExternalArtifact{ObjectMeta: named, Status: sourcev1.ExternalArtifactStatus{Artifact: tc.artifact}}
			}
			github := provider("https://github.com/acme/fleet", func(p *v1beta3.Provider) { p.Spec.Type = "github" })
			b := newTestEnv(t, nil, c, target, k, source, github, alert(func(s *v1beta3.AlertSpec) {
				s.EventSources = []v1beta3.EventSource{{Kind: "Canary", Name: "*"}}
			}))
			b.Take(t.Context(), event("Rolling back", func(e *message.Event) {
				e.InvolvedObject.APIVersion, e.InvolvedObject.Kind = "flagger.app/v1beta1", "Canary"
				e.Reason, e.Severity = "Synced", "error"
				e.Metadata = map[string]string{"flagger.app/state": "failure"}
			}))
			b.deliver(t)
			for i := range b.forges.got {
				b.forges.got[i].URL = ""
			}
			if diff := cmp.Diff(inGenre("fluxcd", tc.want), b.forges.got); diff != "" {
				t.Errorf("%s\n%v", diff, b.told.all)
			}
		})
	}
}
