// SPDX-License-Identifier: Apache-2.0

package make

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// Bundle is a bundle of the artifacts api and web, of one tag.
func Bundle(tag string) sluicev1.Bundle {
	return promotion.NewBundle([]sluicev1.Version{
		{Artifact: "api", Image: "ghcr.io/acme/api", Tag: tag}, {Artifact: "web", Image: "ghcr.io/acme/web", Tag: tag},
	})
}

// Pipeline is the Pipeline apps/shop, from staging to production. Staging has bundle 2,
// which is verified, and production has bundle 1; there bundle 2 waits for an approval.
func Pipeline(now time.Time, changes ...func(*sluicev1.Pipeline)) *sluicev1.Pipeline {
	at := func(ago time.Duration) metav1.Time { return metav1.NewTime(now.Add(-ago)) }
	since := func(ago time.Duration) *metav1.Time { t := at(ago); return &t }
	policy := func(name string) sluicev1.Artifact {
		return sluicev1.Artifact{Name: name, ImagePolicyRef: &meta.LocalObjectReference{Name: name}}
	}
	one, two := Bundle("1"), Bundle("2")
	landed := func(b sluicev1.Bundle, ago time.Duration) sluicev1.Landing {
		return sluicev1.Landing{
			Bundle: b, At: at(ago), Kind: sluicev1.LandingPromotion, Commit: "c0ffee0123456789", By: "Sluice", Verdict: promotion.VerdictVerified,
		}
	}
	p := &sluicev1.Pipeline{
		TypeMeta:   metav1.TypeMeta{APIVersion: sluicev1.GroupVersion.String(), Kind: sluicev1.PipelineKind},
		ObjectMeta: named("apps", "shop"),
		Spec: sluicev1.PipelineSpec{
			Artifacts: []sluicev1.Artifact{policy("api"), policy("web")},
			SourceRef: &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "fleet"},
			Stages: []sluicev1.Stage{
				{Name: "staging", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: "staging"}},
				{
					Name: "production", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: "production"},
					After: &sluicev1.After{Stages: []string{"staging"}}, Approval: &sluicev1.Approval{MinApprovals: 1},
				},
			},
		},
		Status: sluicev1.PipelineStatus{
			Candidate: &two, Summary: "staging=api 2, web 2 production=api 1, web 1",
			Conditions: []metav1.Condition{{
				Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason, Message: "all is done",
				LastTransitionTime: at(time.Hour),
			}},
			Stages: []sluicev1.StageStatus{
				{
					Name: "staging", Phase: sluicev1.StageVerified, Message: "api 2, web 2 is verified", Has: &two, Since: since(10 * time.Minute),
					Commit: "c0ffee0123456789", By: "Sluice", Verified: since(5 * time.Minute),
					Landings: []sluicev1.Landing{landed(two, 10*time.Minute), landed(one, 20*time.Hour)},
				},
				{
					Name: "production", Phase: sluicev1.StageWaiting, Message: "api 2, web 2: 0 of 1 approvals", Has: &one, Since: since(19 * time.Hour),
					Commit: "beef0123456789", By: "Sluice", Verified: since(18 * time.Hour), Wants: &two,
					Waiting:  []sluicev1.Gate{{Type: sluicev1.GateApproval, Message: "0 of 1 approvals of api 2, web 2"}},
					Landings: []sluicev1.Landing{landed(one, 19*time.Hour)},
				},
			},
		},
	}
	return changed(p, changes)
}
