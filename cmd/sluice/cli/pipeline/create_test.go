// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/command"
	"github.com/sluice-cd/sluice/test/golden"
	"github.com/sluice-cd/sluice/test/make"
)

// fleet is an automation that has written two policies.
func fleet(changes ...func(*imagev1.ImageUpdateAutomation)) *imagev1.ImageUpdateAutomation {
	a := &imagev1.ImageUpdateAutomation{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "fleet"}}
	a.Spec.SourceRef = imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "fleet", Namespace: "flux-system"}
	a.Spec.Interval = metav1.Duration{Duration: 5 * time.Minute}
	a.Spec.Update = &imagev1.UpdateStrategy{Path: "./apps"}
	a.Spec.GitSpec = &imagev1.GitSpec{
		Checkout: &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Branch: "main"}},
		Commit: imagev1.CommitSpec{
			Author: imagev1.CommitUser{Name: "bot", Email: "bot@acme.example"}, MessageTemplate: "bump",
			SigningKey: &imagev1.SigningKey{},
		},
	}
	a.Spec.GitSpec.Commit.SigningKey.SecretRef.Name = "gpg"
	a.Status.ObservedPolicies = imagev1.ObservedPolicies{"web": {
		Name: "ghcr.io/acme/web", Tag: "1",
	}, "api": {Name: "ghcr.io/acme/api", Tag: "1"}}
	for _, change := range changes {
		change(a)
	}
	return a
}

// applies is a Kustomization of the repository with a path.
func applies(namespace, name, path string, inventory ...string) *kustomizev1.Kustomization {
	return make.Kustomization(namespace, name, func(k *kustomizev1.Kustomization) {
		k.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "fleet", Namespace: "flux-system"}
		k.Spec.Path, k.Spec.Wait = path, true
		k.Status.Inventory = &kustomizev1.ResourceInventory{}
		for _, id := range inventory {
			k.Status.Inventory.Entries = append(k.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: id, Version: "v1"})
		}
	})
}

// strictly reads what was printed as strictly as the API server does.
func strictly(t *testing.T, text string) *sluicev1.Pipeline {
	t.Helper()
	var p sluicev1.Pipeline
	if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return &p
}

func TestAPipelineOfAnAutomation(t *testing.T) {
	shallow := applies("flux-system", "infra", "./apps/infra/")
	shallow.Spec.Wait = false
	tests := map[string]struct {
		objects []client.Object
		golden  string
	}{
		"with all that it says": {[]client.Object{
			fleet(),
			applies("apps", "shop", "./apps/shop", "apps_shop_apps_Deployment", "apps_shop_flagger.app_Canary", "other_web_flagger.app_Canary"),
			shallow, applies("apps", "elsewhere", "./application"),
			make.Kustomization("apps", "another-source"),
		}, "create-automation.yaml"},
		"that pushes elsewhere, and nobody applies": {[]client.Object{fleet(func(a *imagev1.ImageUpdateAutomation) {
			a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "bumps", Options: map[string]string{"ci": "skip"}}
		})}, "create-push.yaml"},
		"that pushes to the branch that it reads": {[]client.Object{
			fleet(func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.GitSpec = &imagev1.GitSpec{Push: &imagev1.PushSpec{Branch: "main"}}
			}),
			make.GitRepository("flux-system", "fleet"),
		}, "create-same-branch.yaml"},
		"that has not run": {[]client.Object{
			fleet(func(a *imagev1.ImageUpdateAutomation) {
				a.Status.ObservedPolicies, a.Spec.GitSpec, a.Spec.Update = nil, nil, nil
				a.Spec.PolicySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}}
			}),
			make.ImagePolicy("apps", "api.v2", func(p *imagev1.ImagePolicy) { p.Labels = map[string]string{"team": "shop"} }),
			make.ImagePolicy("apps", "other"),
		}, "create-fresh.yaml"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := command.NewTerminal(t, interceptor.Funcs{}, tc.objects...)
			seen, err := observeAutomation(t.Context(), c, client.ObjectKey{Namespace: "apps", Name: "fleet"})
			if err != nil {
				t.Fatal(err)
			}
			p, comments, err := fromAutomation(seen, "")
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := printManifest(&out, p, comments); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, "testdata/"+tc.golden, out.String())
			if got := strictly(t, out.String()); got.Name != "fleet" || len(got.Spec.Stages) != 1 || got.Spec.Stages[0].Write.Commit == nil {
				t.Errorf("read as %+v", got)
			}
		})
	}
}

func TestAPipelineWhoseKustomizationsCannotBeReadSaysSo(t *testing.T) {
	p, comments, err := fromAutomation(automationSeen{
		automation: *fleet(), policies: []string{"api"}, appliers: appliers{unread: errors.New("forbidden")},
	},
		"shop")
	if err != nil || p.Name != "shop" || len(comments) < 2 ||
		!strings.HasPrefix(comments[len(comments)-2], "production: Kustomizations could not be read") {
		t.Errorf("%v: %q", err, comments)
	}
}

func TestAPipelineOfStages(t *testing.T) {
	n := &creation{
		source: "fleet", policies: []string{"api", "web"},
		stages: []string{"staging=./apps/staging", "production=./apps/production"},
	}
	p, err := n.ofStages("apps", "shop")
	if err != nil {
		t.Fatal(err)
	}
	staging := applies("apps", "staging", "./apps/staging", "staging_shop_flagger.app_Canary")
	staging.Spec.SourceRef.Namespace = ""
	comments := appliersOf(t.Context(), command.NewTerminal(t, interceptor.Funcs{}, staging)).proveAll(p)
	var out bytes.Buffer
	if err := printManifest(&out, p, comments); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/create-stages.yaml", out.String())
	if got := strictly(t, out.String()); got.Spec.Stages[1].After.Stages[0] != "staging" {
		t.Errorf("read as %+v", got)
	}
}

func TestAPipelineWithARepositoryForAStage(t *testing.T) {
	n := &creation{
		source: "fleet", policies: []string{"api"}, stages: []string{"staging=.", "production=."},
		sources: []string{"production=fleet-production"},
	}
	p, err := n.ofStages("apps", "shop")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printManifest(&out, p, nil); err != nil {
		t.Fatal(err)
	}
	got := strictly(t, out.String())
	if ref := got.Spec.Stages[1].Write.SourceRef; got.Spec.Stages[0].Write.SourceRef != nil || ref == nil || ref.Kind != "GitRepository" ||
		ref.Name != "fleet-production" {
		t.Errorf("printed\n%s", &out)
	}
}

func TestPipelinesThatAreNotPrinted(t *testing.T) {
	many := policyNames(maxArtifacts + 1)
	tests := map[string]struct {
		n    creation
		args []string
		want string
	}{
		"of nothing":               {creation{}, nil, "name what to begin with"},
		"of stages without a name": {creation{source: "s", policies: []string{"a"}, stages: []string{"a=b"}}, nil, "name what to begin with"},
		"of both": {
			creation{from: "automation/fleet", source: "s"}, nil, "leave out --stage, --policy, --source and --stage-source",
		},
		"of a stage without a path": {
			creation{source: "s", policies: []string{"a"}, stages: []string{"staging"}}, []string{"shop"}, "is no NAME=PATH",
		},
		"of a stage that comes twice": {
			creation{source: "s", policies: []string{"a"}, stages: []string{"a=b", "a=c"}}, []string{"shop"},
			"two stages named a",
		},
		"of a stage of capitals": {
			creation{source: "s", policies: []string{"a"}, stages: []string{"Prod=b"}}, []string{"shop"},
			"cannot be the name of a stage",
		},
		"of a policy that comes twice": {
			creation{source: "s", policies: []string{"a.b", "a-b"}, stages: []string{"a=b"}}, []string{"shop"}, "policy a-b",
		},
		"of a source of no stage": {
			creation{source: "s", policies: []string{"a"}, stages: []string{"a=b"}, sources: []string{"c=d"}},
			[]string{"shop"}, `"c=d" is no STAGE=NAME`,
		},
		"of two sources of a stage": {
			creation{source: "s", policies: []string{"a"}, stages: []string{"a=b"}, sources: []string{"a=c", "a=d"}},
			[]string{"shop"}, "two for stage a",
		},
		"of too many policies": {creation{source: "s", policies: many, stages: []string{"a=b"}}, []string{"shop"}, "1 to 16 artifacts, not 17"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := tc.n.validate(tc.args)
			if err == nil {
				_, err = tc.n.ofStages("apps", tc.args[0])
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// policyNames are names of so many policies.
func policyNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, "p"+string(rune('a'+i)))
	}
	return names
}
