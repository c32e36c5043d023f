// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"net/http"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Two automations that proposed one branch made it anew in turn, each without what the other
// wrote, or left it to each other.
func TestTwoAutomationsOfOnePushBranch(t *testing.T) {
	for name, tc := range map[string]struct {
		other func(*imagev1.ImageUpdateAutomation)
		taken bool
	}{
		"one that came first": {other: func(*imagev1.ImageUpdateAutomation) {}, taken: true},
		"one that came later": {other: func(a *imagev1.ImageUpdateAutomation) { a.Name = "zoo" }},
		"one that came later, and commits": {
			other: func(a *imagev1.ImageUpdateAutomation) { a.Name, a.Spec.GitSpec.Push.PullRequest = "zoo", nil }, taken: true,
		},
		// Both were taken for those of another branch.
		"one of the same repository by another address": {
			other: func(a *imagev1.ImageUpdateAutomation) { a.Spec.SourceRef.Name = "same" }, taken: true,
		},
		"one that pushes there by a refspec": {
			other: func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.GitSpec.Push = &imagev1.PushSpec{Refspec: "HEAD:refs/heads/updates"}
			}, taken: true,
		},
		"one that is suspended":             {other: func(a *imagev1.ImageUpdateAutomation) { a.Spec.Suspend = true }},
		"one of another branch":             {other: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push.Branch = "others" }},
		"one of a repository that is gone":  {other: func(a *imagev1.ImageUpdateAutomation) { a.Spec.SourceRef.Name = "gone" }},
		"one that has no specification yet": {other: func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPI(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
			f := proposingFixture(t)
			other := automation(proposes(server.at), func(a *imagev1.ImageUpdateAutomation) { a.Name, a.UID = "another", "2" }, tc.other)
			must(t, f.Client.Create(t.Context(), other))
			must(t, f.Client.Create(t.Context(), source(func(r *sourcev1.GitRepository) { r.Name, r.Spec.URL = "same", f.repo.URL+"/" })))
			_, err := f.Reconcile(t.Context(), automation(proposes(server.at)))
			want := "spec.git.push.branch: ImageUpdateAutomation " + client.ObjectKeyFromObject(other).String() + " pushes to branch 'updates'"
			if taken := strings.Contains(err.Error(), want); taken != tc.taken {
				t.Errorf("it fails with %v", err)
			}
			if reason := reconciler.ReasonOf(err, f.Reason); tc.taken && reason != imagev1.InvalidSpecReason {
				t.Errorf("the reason is %s", reason)
			}
		})
	}
}
