// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/writeback"
)

// creation is `sluice create pipeline`.
type creation struct {
	cluster  *cluster.Cluster
	from     string
	stages   []string
	policies []string
	source   string
	sources  []string // of stages
}

// CreateCommand is `sluice create pipeline`.
func CreateCommand(c *cluster.Cluster) *cobra.Command {
	n := &creation{cluster: c}
	cmd := &cobra.Command{
		Use:     "pipeline [NAME]",
		Aliases: []string{"pl"},
		Short:   "Print a Pipeline to begin with",
		Long: `Print a Pipeline to begin with, as YAML; nothing is written to the cluster.

With --from it is the one-stage Pipeline that does what an ImageUpdateAutomation does,
and takes back what fails: the policies that the automation may write, its repository,
path, branch, author and signing key; the Kustomizations of the same repository below
that path, which have to be Ready; and the Canaries that they have, which have to
succeed. Comments say what could not be carried over. The automation leaves what the
Pipeline writes to it: delete it when it has nothing else to write.

Otherwise it has the stages that are named, each after the one before it, with the
Kustomizations and Canaries of their paths. A stage without any is verified as soon as
it is written, which comments and standard error say.`,
		Example: `  sluice create pipeline --from automation/fleet -n apps >pipeline.yaml
  sluice create pipeline shop -n apps --source fleet --policy api --policy web \
    --stage staging=./apps/staging --stage production=./apps/production`,
		Args: cobra.MaximumNArgs(1),
		RunE: n.run,
	}
	flags := cmd.Flags()
	flags.StringVar(&n.from, "from", "", "automation/NAME of the ImageUpdateAutomation to begin with")
	flags.StringArrayVar(&n.stages, "stage", nil, "a stage as NAME=PATH; may be repeated, in order")
	flags.StringArrayVar(&n.policies, "policy", nil, "an ImagePolicy whose choice is promoted; may be repeated")
	flags.StringVar(&n.source, "source", "", "the GitRepository that stages are written to")
	flags.StringArrayVar(&n.sources, "stage-source", nil, "another GitRepository that a stage is written to, as STAGE=NAME; may be repeated")
	return cmd
}

func (n *creation) validate(args []string) error {
	switch named := len(n.stages)+len(n.policies)+len(n.sources) > 0 || n.source != ""; {
	case n.from != "" && named:
		return errors.New("--from says it all: leave out --stage, --policy, --source and --stage-source")
	case n.from != "":
		return nil
	case len(args) == 0 || len(n.stages) == 0 || len(n.policies) == 0 || n.source == "":
		return errors.New("name what to begin with: --from automation/NAME, or a NAME with --source, --policy and --stage NAME=PATH")
	}
	return nil
}

func (n *creation) run(cmd *cobra.Command, args []string) error {
	if err := n.validate(args); err != nil {
		return err
	}
	ns, err := n.cluster.Namespace()
	if err != nil {
		return err
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if n.from == "" {
		p, err := n.ofStages(ns, name)
		if err != nil {
			return err
		}
		return n.print(cmd, p, n.appliers(cmd.Context()).proveAll(p))
	}
	kind, of, _ := strings.Cut(n.from, "/")
	if !slices.Contains([]string{"automation", "imageupdateautomation", "iua"}, strings.ToLower(kind)) || of == "" {
		return fmt.Errorf("--from: %q is no automation/NAME; list them with sluice get automations", n.from)
	}
	c, err := n.cluster.Client()
	if err != nil {
		return err
	}
	seen, err := observeAutomation(cmd.Context(), c, client.ObjectKey{Namespace: ns, Name: of})
	if err != nil {
		return err
	}
	p, comments, err := fromAutomation(seen, name)
	if err != nil {
		return err
	}
	output.Note(cmd, "the automation leaves what this Pipeline writes to it: delete it when it has nothing else to write")
	return n.print(cmd, p, comments)
}

// print prints a pipeline. What is left to people is told beside it, too, for whoever pipes
// it into kubectl.
func (n *creation) print(cmd *cobra.Command, p *sluicev1.Pipeline, comments []string) error {
	for _, c := range comments {
		output.Note(cmd, "%s", c)
	}
	return printManifest(cmd.OutOrStdout(), p, comments)
}

// appliers are those of the cluster, if there is one.
func (n *creation) appliers(ctx context.Context) appliers {
	c, err := n.cluster.Client()
	if err != nil {
		return appliers{unread: err}
	}
	return appliersOf(ctx, c)
}

func appliersOf(ctx context.Context, c client.Client) appliers {
	var list kustomizev1.KustomizationList
	err := cluster.List(ctx, c, &list)
	return appliers{kustomizations: list.Items, unread: err}
}

// observeAutomation reads an automation and what belongs to it.
func observeAutomation(ctx context.Context, c client.Client, key client.ObjectKey) (automationSeen, error) {
	var seen automationSeen
	if err := cluster.Get(ctx, c, key, &seen.automation); err != nil {
		return seen, err
	}
	seen.policies = slices.Sorted(maps.Keys(seen.automation.Status.ObservedPolicies))
	if len(seen.policies) == 0 {
		var list imagev1.ImagePolicyList
		selector, err := writeback.SelectorOf(&seen.automation)
		if err != nil {
			return seen, err
		}
		if err := cluster.List(ctx, c, &list, client.InNamespace(key.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
			return seen, err
		}
		for _, p := range list.Items {
			seen.policies = append(seen.policies, p.Name)
		}
		seen.guessed = true
	}
	seen.follows = trackedBranch(ctx, c, &seen.automation)
	seen.appliers = appliersOf(ctx, c)
	return seen, nil
}

// trackedBranch is the branch that the GitRepository of an automation follows, which is the one
// that it reads unless it names another; "" where that cannot be read, or follows no branch.
func trackedBranch(ctx context.Context, c client.Client, a *imagev1.ImageUpdateAutomation) string {
	key := client.ObjectKey{Namespace: cmp.Or(a.Spec.SourceRef.Namespace, a.Namespace), Name: a.Spec.SourceRef.Name}
	var repository sourcev1.GitRepository
	if err := cluster.Get(ctx, c, key, &repository); err != nil {
		return ""
	}
	if repository.Spec.Reference == nil {
		return git.Reference{}.BranchName()
	}
	return git.Reference(*repository.Spec.Reference).BranchName()
}

// ofStages is a pipeline of the stages that were named.
func (n *creation) ofStages(namespace, name string) (*sluicev1.Pipeline, error) {
	p := newPipeline(namespace, name)
	p.Spec.SourceRef = &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: n.source}
	for _, policy := range n.policies {
		p.Spec.Artifacts = append(p.Spec.Artifacts, artifact(policy))
	}
	for _, text := range n.stages {
		stage, path, ok := strings.Cut(text, "=")
		if !ok || stage == "" || path == "" {
			return nil, fmt.Errorf("--stage: %q is no NAME=PATH", text)
		}
		if p.Spec.Stage(stage) != nil {
			return nil, fmt.Errorf("--stage: there are two stages named %s", stage)
		}
		next := newStage(stage, path)
		if before := len(p.Spec.Stages); before > 0 {
			next.After = &sluicev1.After{Stages: []string{p.Spec.Stages[before-1].Name}, Policy: sluicev1.AfterAll}
		}
		p.Spec.Stages = append(p.Spec.Stages, next)
	}
	for _, text := range n.sources {
		stage, source, _ := strings.Cut(text, "=")
		spec := p.Spec.Stage(stage)
		switch {
		case source == "" || spec == nil:
			return nil, fmt.Errorf("--stage-source: %q is no STAGE=NAME of a stage that --stage names", text)
		case spec.Write.SourceRef != nil:
			return nil, fmt.Errorf("--stage-source: there are two for stage %s", stage)
		}
		spec.Write.SourceRef = &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: source}
	}
	return p, checkNames(p)
}

func newPipeline(namespace, name string) *sluicev1.Pipeline {
	return &sluicev1.Pipeline{
		TypeMeta:   metav1.TypeMeta{APIVersion: sluicev1.GroupVersion.String(), Kind: sluicev1.PipelineKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       sluicev1.PipelineSpec{Interval: metav1.Duration{Duration: defaultInterval}},
	}
}

func newStage(name, path string) sluicev1.Stage {
	return sluicev1.Stage{
		Name: name, Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: path},
		VerifyTimeout: metav1.Duration{Duration: defaultVerifyTimeout},
	}
}

// artifact takes the newest version from an ImagePolicy, whose name may have dots, which
// that of an artifact may not.
func artifact(policy string) sluicev1.Artifact {
	return sluicev1.Artifact{Name: strings.ReplaceAll(policy, ".", "-"), ImagePolicyRef: &meta.LocalObjectReference{Name: policy}}
}
