// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// wakes reports whether the GitRepository is woken by what is done.
func (e *env) wakes(do func()) bool {
	e.t.Helper()
	*e.woken = nil
	do()
	return slices.Contains(*e.woken, types.NamespacedName{Namespace: "apps", Name: "fleet"})
}

// Without it a release would wait for the interval of the GitRepository.
func TestAPushedCommitWakesItsSource(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	e.release("2")
	if !e.wakes(e.reconcile) {
		t.Error("it was not woken")
	}
	e.want("2", "1")
	if e.wakes(e.reconcile) {
		t.Error("it was woken by a run that pushed nothing")
	}
}

func TestAMergeWakesItsSource(t *testing.T) {
	e := newGitHubEnv(t, approved)
	e.verify("2")
	e.want("2", "1")
	if !e.wakes(func() {
		e.pipeline.Spec.Stages[1].Approval = nil
		e.pipeline.Generation++
		e.reconcile()
	}) {
		t.Error("it was not woken")
	}
	e.want("2", "2")
}

// guardCommands installs the policy that commands count under.
func (e *env) guardCommands() {
	e.t.Helper()
	policy, err := builtinPolicy()
	must(e.t, err)
	_, text, _ := bytes.Cut(policyManifest, []byte("\n---\n"))
	var binding admissionv1.ValidatingAdmissionPolicyBinding
	must(e.t, yaml.UnmarshalStrict(text, &binding))
	e.create(policy)
	e.create(&binding)
}

func TestACommandIsCarriedOut(t *testing.T) {
	e := newEnv(t)
	e.guardCommands()
	e.reconcile()
	command := `{"by":"alice","at":"` + e.clock.Now().UTC().Format(time.RFC3339) + `"}`
	e.pipeline.Annotations = map[string]string{sluicev1.CommandAnnotation(sluicev1.CommandHold, "staging"): command}
	e.release("2")
	e.reconcile()
	e.want("1", "1")
	waits := e.pipeline.Status.Stages[0].Waiting
	if !slices.ContainsFunc(waits, func(g sluicev1.Gate) bool { return strings.Contains(g.Message, "alice") }) {
		t.Errorf("staging waits for %+v", waits)
	}
}

func TestWhatIsSaidOfAWrite(t *testing.T) {
	now := metav1.Now()
	b := promotion.NewBundle([]sluicev1.Version{{Artifact: "app", Image: "registry/app", Tag: "2"}})
	w := promotion.Write{Stage: "production", Bundle: b, Reason: "Deployment app: crash loop\nsee the log", By: "alice"}
	d := promotion.Decision{State: promotion.State{Stages: map[string]promotion.StageState{
		"staging": {Landings: []promotion.Landing{{Bundle: b.ID, Verdict: promotion.VerdictVerified, VerdictAt: &now.Time, Commit: "abc"}}},
	}}}
	m := (&run{pipeline: shop()}).message(w, d)
	if body := defaultBody(m); !strings.Contains(body, "Why:\n\n    Deployment app: crash loop\n    see the log\n") {
		t.Errorf("the body is\n%s", body)
	}
	said, err := commitMessage(t.Context(), "", "", m)
	if err != nil || !strings.Contains(said, "\n\nDeployment app: crash loop\nsee the log\n\n") ||
		!strings.Contains(said, "Sluice-Requested-By: alice\n") {
		t.Errorf("the commit says %q, %v", said, err)
	}
}

func TestPullRequestsAreSharedByThoseWhoSeeThemAlike(t *testing.T) {
	ref := func(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }
	repo := func(secret string) *repository {
		object := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "sources", Name: "fleet"}}
		if secret != "" {
			object.Spec.SecretRef = ref(secret)
		}
		return &repository{object: object}
	}
	forge := func(f sluicev1.Forge) *sluicev1.Pipeline {
		return shop(func(p *sluicev1.Pipeline) { p.Spec.Forge = &f })
	}
	fleet := types.NamespacedName{Namespace: "sources", Name: "fleet"}
	for name, tc := range map[string]struct {
		pipeline *sluicev1.Pipeline
		repo     *repository
		want     recentKey
	}{
		"without a credential": {shop(), repo(""), recentKey{repository: fleet}},
		"with that of the repository": {
			shop(), repo("git"), recentKey{repository: fleet, secret: types.NamespacedName{Namespace: "sources", Name: "git"}},
		},
		"with the pipeline's own": {
			forge(sluicev1.Forge{SecretRef: ref("own")}), repo("git"),
			recentKey{repository: fleet, secret: types.NamespacedName{Namespace: "apps", Name: "own"}},
		},
		"of another API": {
			forge(sluicev1.Forge{Provider: "gitea", URL: "https://example.com/api/v1"}), repo(""),
			recentKey{repository: fleet, provider: "gitea", api: "https://example.com/api/v1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := recentKeyOf(tc.pipeline, tc.repo); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
