// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"path/filepath"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/pkg/apis/meta"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// GuardCommands installs the policy that guards the commands of pipelines, and waits until
// the API server enforces it. It stays for the tests that follow.
func (p *Playground) GuardCommands(tb testing.TB) {
	tb.Helper()
	root, err := Root()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.ApplyFile(tb.Context(), filepath.Join(root, "config", "admission", "pipeline-commands.yaml")); err != nil {
		tb.Fatal(err)
	}
	forged := &sluicev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "forged-", Namespace: "default", Annotations: map[string]string{
			sluicev1.CommandAnnotation(sluicev1.CommandHold, "only"): `{"by":"somebody else"}`,
		}},
		Spec: sluicev1.PipelineSpec{
			Artifacts: []sluicev1.Artifact{{Name: "app", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}},
			Stages: []sluicev1.Stage{{
				Name: "only", Write: sluicev1.Write{Tag: &sluicev1.WriteTag{Repository: "example.com/app", Tag: "stable"}},
			}},
		},
	}
	_, err = Eventually(tb.Context(), "the API server guards commands", Patience, func(ctx context.Context) (bool, string) {
		err := p.Client.Create(ctx, forged.DeepCopy(), client.DryRunAll)
		return apierrors.IsInvalid(err), "a forged command is answered " + errorText(err)
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func errorText(err error) string {
	if err == nil {
		return "with success"
	}
	return err.Error()
}

// As is a client of the API server in the name of another user.
func (p *Playground) As(tb testing.TB, user string, groups ...string) client.Client {
	tb.Helper()
	config := rest.CopyConfig(p.REST)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	c, err := client.New(config, client.Options{Scheme: p.Client.Scheme()})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
