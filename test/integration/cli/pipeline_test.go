// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/make"
)

// promoting is the fixture with a Pipeline whose production waits for an approval, and
// two users who may edit it: alice may approve it, and mallory may not.
type promoting struct {
	*fixture
	pipeline *sluicev1.Pipeline
}

func newPromoting(t *testing.T) *promoting {
	t.Helper()
	f := &promoting{fixture: newFixture(t)}
	f.GuardCommands(t)
	f.pipeline = make.Pipeline(time.Now(), func(p *sluicev1.Pipeline) { p.Namespace = f.ns })
	status := f.pipeline.Status
	f.create(f.pipeline)
	f.pipeline.Status = status
	f.must(f.Client.Status().Update(t.Context(), f.pipeline))
	f.grant("editor", "pipelines", []string{"get", "list", "watch", "patch"}, "alice", "mallory")
	f.grant("approver", "pipelines/production", []string{"approve"}, "alice")
	return f
}

func (f *promoting) grant(name, resource string, verbs []string, users ...string) {
	f.t.Helper()
	binding := &rbacv1.RoleBinding{ObjectMeta: f.named(name), RoleRef: rbacv1.RoleRef{Kind: "Role", Name: name, APIGroup: rbacv1.GroupName}}
	for _, user := range users {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, Name: user, APIGroup: rbacv1.GroupName})
	}
	f.create(&rbacv1.Role{ObjectMeta: f.named(name), Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{sluicev1.GroupVersion.Group}, Resources: []string{resource}, Verbs: verbs,
	}}}, binding)
}

// carryOut plays the controller for one approval: it waits until it was given, and says that
// it was carried out.
func (f *promoting) carryOut(ctx context.Context) error {
	for {
		var p sluicev1.Pipeline
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(f.pipeline), &p); err != nil {
			return err
		}
		given, err := sluicev1.ParseCommand(p.Annotations["approve.sluice.dev/production"])
		if err == nil {
			before := p.DeepCopy()
			p.Status.Stages[1].Commands = []sluicev1.CommandStatus{{Verb: sluicev1.CommandApprove, At: given.At, Outcome: sluicev1.CommandDone}}
			p.Status.Stages[1].Approvals = []sluicev1.Consent{{Bundle: given.Bundle, By: given.By, At: given.At, Reason: given.Reason}}
			return f.Client.Status().Patch(ctx, &p, client.MergeFrom(before))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestAUserApprovesAStage(t *testing.T) {
	f := newPromoting(t)
	_, errs, err := f.sluice("pipeline", "approve", "shop", "--as", "mallory")
	if err == nil || !strings.Contains(errs, "you need the verb approve on pipelines/production of group sluice.dev") {
		t.Errorf("mallory: %v: %s", err, errs)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var carriedOut errgroup.Group
	carriedOut.Go(func() error { return f.carryOut(ctx) })
	out, errs, err := f.sluice("pipeline", "approve", "shop", "--as", "alice", "--reason", "tested")
	f.must(carriedOut.Wait())
	if err != nil || !strings.HasPrefix(out, f.ns+"/shop: production: approved, api 2, web 2 (") {
		t.Errorf("alice: %v: %s%s", err, out, errs)
	}
	out, _ = f.succeed("explain", "pipeline", "shop")
	if !strings.Contains(out, "by alice ") || !strings.Contains(out, ": tested\n") {
		t.Errorf("who approved and why is not said:\n%s", out)
	}
	_, errs, err = f.sluice("pipeline", "approve", "shop", "production", "--as", "alice")
	if err == nil || !strings.Contains(errs, "cannot approve: you approved it for production") {
		t.Errorf("twice: %v: %s", err, errs)
	}
}

func TestPrintedPipelinesAreAccepted(t *testing.T) {
	f := newFixture(t)
	for name, args := range map[string][]string{
		"of an automation": {"--from", "automation/fleet"},
		"of stages": {
			"shop", "--source", "app", "--policy", "app", "--policy", "other", "--stage", "staging=./staging", "--stage",
			"production=./production",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := f.succeed(append([]string{"create", "pipeline"}, args...)...)
			var p sluicev1.Pipeline
			if err := yaml.UnmarshalStrict([]byte(out), &p); err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			if err := f.Client.Create(t.Context(), &p, client.DryRunAll, client.FieldValidation("Strict")); err != nil {
				t.Errorf("%v in\n%s", err, out)
			}
		})
	}
}
