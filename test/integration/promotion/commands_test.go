// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// Users, all of whom may edit pipelines: alice approves and holds production, mallory
// commands nothing, and the names of the others have to be escaped in JSON.
const (
	alice   = "alice"
	mallory = "mallory"
	quoted  = `al"ice\, <b>&\u0022` + "\u2028"
)

// commands is a namespace with a pipeline whose commands the API server guards.
type commands struct {
	*testing.T
	p         *harness.Playground
	namespace string
}

func newCommands(t *testing.T) *commands {
	t.Helper()
	c := &commands{T: t, p: harness.Installed(t)}
	c.p.GuardCommands(t)
	c.namespace = c.p.NewNamespace(t, "commands-", nil)
	verbs := []string{"get", "list", "watch", "create", "update", "patch"}
	c.grant("editor", []string{"pipelines", "pipelines/status"}, verbs, alice, mallory, quoted)
	c.grant("approver", []string{"pipelines/production"}, []string{"approve", "hold"}, alice, quoted)
	return c
}

func (c *commands) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *commands) grant(name string, resources, verbs []string, users ...string) {
	c.Helper()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{sluicev1.GroupVersion.Group}, Resources: resources, Verbs: verbs}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
	}
	for _, user := range users {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user})
	}
	c.must(c.p.Client.Create(c.Context(), role))
	c.must(c.p.Client.Create(c.Context(), binding))
}

func (c *commands) pipeline(name string, annotations map[string]string) *sluicev1.Pipeline {
	stage := func(name string) sluicev1.Stage {
		return sluicev1.Stage{Name: name, Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: name}}
	}
	return &sluicev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name, Annotations: annotations},
		Spec: sluicev1.PipelineSpec{
			Suspend:   true,
			Artifacts: []sluicev1.Artifact{{Name: "app", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}},
			SourceRef: &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "fleet"},
			Stages:    []sluicev1.Stage{stage("staging"), stage("production")},
		},
	}
}

// by is a command as `sluice pipeline` writes it.
func by(user string) string {
	return sluicev1.Command{By: user, At: metav1.Now(), Reason: "it was tried"}.String()
}

// large is an annotation map of the size that the API server still takes.
func large(with map[string]string) map[string]string {
	annotations := map[string]string{}
	for i := range 18_000 {
		annotations[fmt.Sprintf("a.b/%d", i)] = ""
	}
	for k, v := range with {
		annotations[k] = v
	}
	return annotations
}

const approve, hold = "approve.sluice.dev/production", "hold.sluice.dev/production"

func TestWhoMayGiveACommand(t *testing.T) {
	c := newCommands(t)
	for name, tc := range map[string]struct {
		user        string
		before, set map[string]string
		want        string // in the error; empty is none
	}{
		"somebody who may": {alice, nil, map[string]string{approve: by(alice)}, ""},
		"two at once":      {alice, nil, map[string]string{approve: by(alice), hold: by(alice)}, ""},
		"somebody who may edit the pipeline alone": {
			mallory, nil, map[string]string{approve: by(mallory)}, "to write approve.sluice.dev/production takes the verb",
		},
		"in the name of somebody who may": {
			mallory, nil, map[string]string{approve: by(alice)},
			`the value of approve.sluice.dev/production has to begin with {"by":"mallory"`,
		},
		"somebody who may, in the name of another one": {alice, nil, map[string]string{approve: by(mallory)}, `has to begin with {"by":"alice"`},
		"a name that only begins as one's own":         {alice, nil, map[string]string{approve: by("alice2")}, `has to begin with {"by":"alice"`},
		"a value that is no JSON":                      {alice, nil, map[string]string{approve: "yes"}, "has to begin with"},
		"another stage": {
			alice, nil, map[string]string{"approve.sluice.dev/staging": by(alice)}, "takes the verb",
		},
		"another verb": {alice, nil, map[string]string{"rollback.sluice.dev/production": by(alice)}, "takes the verb"},
		"one of two that one may not give": {
			alice, nil, map[string]string{approve: by(alice), "promote.sluice.dev/production": by(alice)}, "takes the verb",
		},
		"three at once": {
			alice, nil, map[string]string{approve: by(alice), hold: by(alice), "lift.sluice.dev/production": by(alice)}, "two commands at most",
		},
		"a stage that is called like a resource": {mallory, nil, map[string]string{"approve.sluice.dev/status": by(mallory)}, "takes the verb"},
		"a name with quotes and more":            {quoted, nil, map[string]string{approve: by(quoted)}, ""},
		"what is no command": {
			mallory, nil, map[string]string{"approved.sluice.dev/production": "x", "sluice.dev/production": "x"}, "",
		},
		"a label beside somebody's old command": {mallory, map[string]string{approve: by(alice)}, map[string]string{"team": "m"}, ""},
		"somebody's old command with another value": {
			mallory, map[string]string{approve: by(alice)}, map[string]string{approve: by(alice) + " "}, "has to begin with",
		},
		"one command more than there were": {
			alice, map[string]string{approve: by("root"), hold: by("root")}, map[string]string{hold: by(alice)}, "",
		},
		"as many annotations as there can be": {
			mallory, nil, large(map[string]string{approve: by(alice)}), "sluice-pipeline-commands",
		},
		"an annotation as large as it can be": {
			mallory, nil, map[string]string{"team": strings.Repeat("x", 250_000), approve: by(alice)}, "has to begin with",
		},
		"a command as large as it can be": {
			mallory, nil, map[string]string{approve: by(alice) + strings.Repeat(" ", 250_000)}, "has to begin with",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := *c
			c.T = t
			c.update(tc.user, tc.before, tc.set, tc.want)
			if len(tc.before) == 0 {
				c.create(tc.user, tc.set, tc.want)
			}
		})
	}
}

// update has a user set annotations of a pipeline that has others.
func (c *commands) update(user string, before, set map[string]string, want string) {
	c.Helper()
	p := c.given(before)
	patch := client.MergeFrom(p.DeepCopy())
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	for k, v := range set {
		p.Annotations[k] = v
	}
	c.answered("an update", c.p.As(c.T, user).Patch(c.Context(), p, patch), want)
}

// given is a pipeline whose commands were written by those whom they name.
func (c *commands) given(annotations map[string]string) *sluicev1.Pipeline {
	c.Helper()
	p := c.pipeline("", nil)
	p.GenerateName = "shop-"
	c.must(c.p.Client.Create(c.Context(), p))
	for name, value := range annotations {
		command, err := sluicev1.ParseCommand(value)
		c.must(err)
		patch := client.MergeFrom(p.DeepCopy())
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[name] = value
		c.must(c.p.As(c.T, command.By, "system:masters").Patch(c.Context(), p, patch))
	}
	return p
}

func (c *commands) create(user string, annotations map[string]string, want string) {
	c.Helper()
	c.answered("a creation", c.p.As(c.T, user).Create(c.Context(), c.pipeline("new", annotations), client.DryRunAll), want)
}

func (c *commands) answered(what string, err error, want string) {
	c.Helper()
	switch {
	case want == "" && err != nil:
		c.Errorf("%s is refused: %v", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		c.Errorf("%s is answered with %v, want %q", what, err, want)
	}
}

// TestACommandThatWasTakenAwayIsNotPutBackByAnybody: an old approval would count again.
func TestACommandThatWasTakenAwayIsNotPutBackByAnybody(t *testing.T) {
	c := newCommands(t)
	given := by(alice)
	p := c.given(map[string]string{approve: given})
	patch := client.MergeFrom(p.DeepCopy())
	delete(p.Annotations, approve)
	c.must(c.p.As(t, mallory).Patch(t.Context(), p, patch))
	patch = client.MergeFrom(p.DeepCopy())
	p.Annotations = map[string]string{approve: given}
	c.answered("the annotation that is put back", c.p.As(t, mallory).Patch(t.Context(), p, patch), "has to begin with")
}

// TestAStatusIsPatchedWhateverTheAnnotationsSay: the controller has no verb on a stage,
// and through a status no annotation is written.
func TestAStatusIsPatchedWhateverTheAnnotationsSay(t *testing.T) {
	c := newCommands(t)
	p := c.given(map[string]string{approve: by(alice)})
	merge := fmt.Sprintf(`{"metadata":{"annotations":{%q:"forged"}},"status":{"summary":"staging=app 1"}}`, hold)
	c.must(c.p.As(t, mallory).Status().Patch(t.Context(), p, client.RawPatch("application/merge-patch+json", []byte(merge))))
	c.must(c.p.Client.Get(t.Context(), client.ObjectKeyFromObject(p), p))
	if _, forged := p.Annotations[hold]; p.Status.Summary != "staging=app 1" || forged || len(p.Annotations) != 1 {
		t.Errorf("the status is %+v, annotations %v", p.Status, p.Annotations)
	}
}

// TestApplyKeepsSomebodysOldCommand as kubectl does it: the manifest has the annotation
// that a person wrote, or has none.
func TestApplyKeepsSomebodysOldCommand(t *testing.T) {
	c := newCommands(t)
	given := by(alice)
	p := c.given(map[string]string{approve: given})
	for name, annotations := range map[string]string{"with it": fmt.Sprintf("{%q: %q}", approve, given), "without it": "{}"} {
		manifest := fmt.Sprintf(`{"apiVersion":"sluice.dev/v1alpha1","kind":"Pipeline","metadata":{"name":%q,"namespace":%q,"annotations":%s},
"spec":{"interval":"5m","artifacts":[{"name":"app","imagePolicyRef":{"name":"app"}}],"sourceRef":{"kind":"GitRepository","name":"fleet"},
"stages":[{"name":"staging","write":{"commit":{},"path":"staging"}},{"name":"production","write":{"commit":{},"path":"production"}}]}}`,
			p.Name, c.namespace, annotations)
		err := c.p.As(t, mallory).Patch(t.Context(), p.DeepCopy(), client.RawPatch("application/apply-patch+yaml", []byte(manifest)),
			client.FieldOwner("kubectl"), client.ForceOwnership)
		if err != nil || apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnApprovalLetsAVersionIntoProduction takes the way of a command through the API
// server, the policy and the program.
func TestAnApprovalLetsAVersionIntoProduction(t *testing.T) {
	f := newFleet(t, others)
	f.p.GuardCommands(t)
	c := &commands{T: t, p: f.p, namespace: f.namespace}
	c.grant("editor", []string{"pipelines"}, []string{"get", "patch"}, alice)
	c.grant("approver", []string{"pipelines/production"}, []string{"approve"}, alice)
	p := f.pipelineBecomes("both stages are verified with what they have", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.0.0") && verified(p, "production", "1.0.0")
	})
	patch := client.MergeFrom(p.DeepCopy())
	p.Spec.Stages[1].Approval = &sluicev1.Approval{}
	f.must(f.p.Client.Patch(t.Context(), p, patch))
	f.push("1.1.0")
	p = f.pipelineBecomes("production waits for an approval", func(p *sluicev1.Pipeline) bool {
		waiting := p.Status.Stages[1].Waiting
		return verified(p, "staging", "1.1.0") && len(waiting) == 1 && waiting[0].Type == sluicev1.GateApproval
	})
	if !apimeta.IsStatusConditionTrue(p.Status.Conditions, sluicev1.ApprovalsEnforcedCondition) {
		t.Errorf("the conditions are %+v", p.Status.Conditions)
	}
	patch = client.MergeFrom(p.DeepCopy())
	p.Annotations = map[string]string{approve: by(alice)}
	f.must(f.p.As(t, alice).Patch(t.Context(), p, patch))
	p = f.pipelineBecomes("production has the new version", func(p *sluicev1.Pipeline) bool { return verified(p, "production", "1.1.0") })
	if approvals := p.Status.Stages[1].Approvals; len(approvals) != 1 || approvals[0].By != alice {
		t.Errorf("the approvals are %+v", approvals)
	}
}
