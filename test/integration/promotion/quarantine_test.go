// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// policyChooses waits until the policy has chosen a tag, and says why not another one.
func (f *fleet) policyChooses(tag, because string) {
	f.Helper()
	_, err := harness.Eventually(f.Context(), "the policy chooses "+tag, harness.Patience, func(context.Context) (bool, string) {
		p := &imagev1.ImagePolicy{}
		f.must(f.p.Client.Get(f.Context(), client.ObjectKey{Namespace: f.namespace, Name: "app"}, p))
		text := fmt.Sprintf("%+v %+v", p.Status.LatestRef, p.Status.Decision)
		return p.Status.LatestRef != nil && p.Status.LatestRef.Tag == tag && strings.Contains(text, because), text
	})
	f.must(err)
}

// TestAVersionInQuarantineIsChosenByNobody: 1.1.0 never becomes Ready in production.
func TestAVersionInQuarantineIsChosenByNobody(t *testing.T) {
	f := newFleet(t, others)
	f.pipelineBecomes("both stages are verified with what they have", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.0.0") && verified(p, "production", "1.0.0")
	})
	f.must(f.p.Client.Patch(t.Context(), kustomizationOf(client.ObjectKey{Namespace: f.namespace, Name: "production"}), neverHealthy))
	f.push("1.1.0")
	f.pipelineBecomes("production has the old version again, and staging the new one", func(p *sluicev1.Pipeline) bool {
		return len(p.Status.Quarantined) == 1 && verified(p, "staging", "1.1.0") && p.Status.Stages[1].Has != nil &&
			p.Status.Stages[1].Has.Versions[0].Tag == "1.0.0"
	})
	f.policyChooses("1.0.0", "in quarantine by pipeline "+f.namespace+"/shop: ")
	f.pipelineBecomes("nothing is new to the pipeline", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.1.0") && p.Status.Candidate != nil && p.Status.Candidate.Versions[0].Tag == "1.1.0"
	})
	f.push("1.2.0")
	f.policyChooses("1.2.0", "")
	f.pipelineBecomes("a newer version goes on", func(p *sluicev1.Pipeline) bool { return verified(p, "staging", "1.2.0") })
}

func TestAFreezeSaysWhetherItIsInForce(t *testing.T) {
	f := newFleet(t, others, "--controllers=promotion")
	freeze := &sluicev1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}}
	freeze.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": f.namespace}}
	now := metav1.Now()
	begin, end := metav1.NewTime(now.Add(-harness.Patience)), metav1.NewTime(now.Add(harness.Patience*60))
	freeze.Spec.Windows = []sluicev1.Window{{Name: "incident", Kind: sluicev1.WindowDeny, From: &begin, To: &end}}
	f.must(f.p.Client.Create(t.Context(), freeze))
	t.Cleanup(func() { f.must(client.IgnoreNotFound(f.p.Client.Delete(context.Background(), freeze))) })
	says := func(what string, ok func(*sluicev1.Freeze) bool) {
		t.Helper()
		_, err := harness.Eventually(t.Context(), what, harness.Patience, func(context.Context) (bool, string) {
			f.must(f.p.Client.Get(t.Context(), client.ObjectKeyFromObject(freeze), freeze))
			return ok(freeze), fmt.Sprintf("%+v", freeze.Status)
		})
		f.must(err)
	}
	says("it is in force", func(f *sluicev1.Freeze) bool {
		return f.Status.Active && f.Status.Window == "incident" && f.Status.Pipelines == 1 && f.Status.NextChange != nil &&
			apimeta.IsStatusConditionTrue(f.Status.Conditions, meta.ReadyCondition)
	})
	f.must(f.p.Client.Delete(t.Context(), f.pipeline()))
	says("it selects none any more", func(f *sluicev1.Freeze) bool { return f.Status.Active && f.Status.Pipelines == 0 })
	before := freeze.DeepCopy()
	freeze.Spec.Windows[0].From, freeze.Spec.Windows[0].To = nil, nil
	freeze.Spec.Windows[0].Cron, freeze.Spec.Windows[0].Until = "0 0 31 2 *", "06:00"
	f.must(f.p.Client.Patch(t.Context(), freeze, client.MergeFrom(before)))
	says("it is stalled, and freezes", func(f *sluicev1.Freeze) bool {
		stalled := apimeta.FindStatusCondition(f.Status.Conditions, meta.StalledCondition)
		return f.Status.Active && stalled != nil && strings.Contains(stalled.Message, `spec.windows: invalid window "incident"`)
	})
}
