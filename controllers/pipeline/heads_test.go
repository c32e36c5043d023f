// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// Each pipeline that had pushed to a branch asked the server for its head whenever another
// one pushed: of 500 pipelines on one repository, 499.
func TestWhatAnotherPipelinePushesCostsNoRequest(t *testing.T) {
	e := newEnv(t)
	e.repo.Commit("main", gitserver.Files{"other/app.yaml": "image: registry/other:1 # {\"$imagepolicy\": \"apps:other\"}\n"})
	e.fetch()
	policy := &imagev1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "other"}}
	must(t, e.Client.Create(t.Context(), policy))
	other := shop(func(p *sluicev1.Pipeline) {
		p.Name, p.UID, p.Spec.Artifacts[0].ImagePolicyRef.Name = "other", "2", "other"
		p.Spec.Stages = p.Spec.Stages[:1]
		p.Spec.Stages[0].Write.Path, p.Spec.Stages[0].Ready = "other", nil
	})
	promote := func(tag string) {
		t.Helper()
		policy.Status.LatestRef = &imagev1.ImageRef{Name: "registry/other", Tag: tag}
		policy.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason}}
		e.update(policy)
		if _, err := e.Reconcile(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		e.fetch()
		if has := other.Status.Stages[0].Has; has == nil || has.Versions[0].Tag != tag {
			t.Fatalf("the other pipeline is %+v", other.Status.Stages[0])
		}
	}
	e.reconcile()
	promote("1")
	e.release("2")
	e.reconcile() // it pushes, too
	e.reconcile()
	for _, tag := range []string{"2", "3"} {
		promote(tag)
		before := e.server.Requests()
		e.reconcile()
		if after := e.server.Requests(); after != before {
			t.Errorf("%d requests, since another pipeline promoted %s", after-before, tag)
		}
	}
	e.want("2", "1")
}
