// SPDX-License-Identifier: Apache-2.0

// Package policy explains the choice of an ImagePolicy: of the cluster, of a file, or
// one that is only tried.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/manifest"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/report"
)

// explanation is `sluice explain policy`.
type explanation struct {
	cluster    *cluster.Cluster
	output     output.Flags
	draft      draft
	file, tags string
	limit      int
	// repositories are the ImageRepositories of the file.
	repositories []imagev1.ImageRepository
}

// ExplainCommand is `sluice explain policy`.
func ExplainCommand(c *cluster.Cluster) *cobra.Command {
	e := &explanation{cluster: c}
	cmd := &cobra.Command{
		Use:     "policy [NAME]",
		Aliases: []string{"imagepolicy"},
		Short:   "Say what a policy makes of every tag",
		Long: `Say what a policy makes of every tag: its rank, or what dropped it.

The policy is that of the cluster, of --file, or what the flags that try another
policy say by themselves. The tags are those of the registry, read with the
credentials of the ImageRepository, or those of --tags. Nothing is saved.

What the ImageRepository excludes is left out, as the controller does: that of the
cluster, or of --file. Where there is none, its default leaves out *.sig.

A cluster's policy also shows what its status knows of the best tags: digests,
when they were first seen, and why they were not chosen although they rank.`,
		Example: `  sluice explain policy podinfo -n apps
  sluice explain policy podinfo -n apps --range '>=6.0.0 <7.0.0'
  crane ls ghcr.io/stefanprodan/podinfo | sluice explain policy --tags - --range 6.x
  sluice explain policy --file policy.yaml --tags tags.txt -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.Complete(func() client.ObjectList { return &imagev1.ImagePolicyList{} }),
		RunE:              e.run,
	}
	cmd.Flags().StringVarP(&e.file, "file", "f", "", "read the ImagePolicy from this file instead of the cluster; - is standard input")
	cmd.Flags().StringVar(&e.tags, "tags", "", "read the tags from this file, one a line, instead of the registry; - is standard input")
	cmd.Flags().IntVar(&e.limit, "limit", 0, "show only this many tags of each kind, chosen and dropped; 0 is all")
	e.draft.register(cmd)
	e.output.Register(cmd)
	return cmd
}

func (e *explanation) run(cmd *cobra.Command, args []string) error {
	if err := e.validate(cmd, args); err != nil {
		return err
	}
	p, c, err := e.policy(cmd, args)
	if err != nil {
		return err
	}
	saved := p.DeepCopy()
	if refusal := report.Refusal(p.Status.Conditions); refusal != "" {
		output.Note(cmd, "ImagePolicy %s: %s", p.Name, refusal)
	}
	if err := e.draft.apply(cmd.Flags(), &p.Spec); err != nil {
		return err
	}
	rule, err := policy.CompileSpec(&p.Spec, time.Now())
	if err != nil {
		return fmt.Errorf("ImagePolicy %s: %w", p.Name, err)
	}
	if chosen(cmd.Flags(), draftFlags...) && p.Name != "" {
		output.Note(cmd, "trying %s; nothing is saved", rule)
		if saved.Spec.Pin != nil && p.Spec.Pin == nil {
			output.Note(cmd, "without the pin of tag %s", saved.Spec.Pin.Tag)
		}
	}
	if fields := report.FieldsForTheController(&p.Spec); len(fields) > 0 {
		output.Note(cmd, "%s: not judged here; of the best tags the last verdict is shown, where the status has it", strings.Join(fields, ", "))
	}
	tags, image, err := e.tagsOf(cmd, c, p)
	if err != nil {
		return err
	}
	tags, excluded, err := e.exclude(cmd, c, p, tags)
	if err != nil {
		return err
	}
	found := report.Explain(p, rule, slices.Values(tags))
	found.Image, found.Tags = image, append(found.Tags, excluded...)
	found = found.Limited(e.limit)
	return e.output.Print(cmd.OutOrStdout(), table(found), found)
}

func (e *explanation) validate(cmd *cobra.Command, args []string) error {
	if err := e.output.Validate(); err != nil {
		return err
	}
	alone := len(args) == 0 && e.file == ""
	switch {
	case alone && !chosen(cmd.Flags(), append([]string{"pin"}, ruleFlags...)...):
		return errors.New("which policy? name one of the cluster, or give --file, or try one with --range, --alphabetical or --numerical")
	case alone && e.tags == "":
		return errors.New("which tags? a policy of flags alone needs --tags FILE, one tag a line")
	case e.file == "-" && e.tags == "-":
		return errors.New("--file and --tags cannot both be standard input")
	case e.limit < 0:
		return errors.New("--limit: must not be negative")
	}
	return nil
}

// policy finds the policy, and connects to the cluster if that is needed at all.
func (e *explanation) policy(cmd *cobra.Command, args []string) (*imagev1.ImagePolicy, client.Client, error) {
	if len(args) == 0 && e.file == "" {
		return &imagev1.ImagePolicy{}, nil, nil
	}
	var c client.Client
	var err error
	if e.file == "" || e.tags == "" {
		if c, err = e.cluster.Client(); errors.Is(err, cluster.ErrUnconfigured) {
			err = fmt.Errorf("%w; without a cluster give the policy as --file, or leave its name out and say it in flags, and the tags as --tags",
				err)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if e.file != "" {
		p, err := e.fromFile(cmd, args)
		return p, c, err
	}
	p := &imagev1.ImagePolicy{}
	return p, c, e.cluster.Get(cmd.Context(), c, args[0], p)
}

// fromFile takes the named policy of the file, or the only one.
func (e *explanation) fromFile(cmd *cobra.Command, args []string) (*imagev1.ImagePolicy, error) {
	content, err := manifest.ReadFile(cmd, e.file)
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	documents, err := manifest.Split(content)
	if err != nil {
		return nil, fmt.Errorf("--file: reading %s: %w", e.file, err)
	}
	if e.repositories, err = repositoriesOf(documents); err != nil {
		return nil, fmt.Errorf("--file %s: %w", e.file, err)
	}
	var found *imagev1.ImagePolicy
	for _, document := range slices.DeleteFunc(documents, func(d []byte) bool { return !manifest.IsPolicy(d) }) {
		p, err := manifest.ParsePolicy(document)
		if err != nil {
			return nil, fmt.Errorf("--file %s: %w", e.file, err)
		}
		if len(args) > 0 && p.Name != args[0] {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("--file %s has several ImagePolicies: name one of them", e.file)
		}
		found = p
	}
	if found == nil {
		return nil, fmt.Errorf("--file %s has no ImagePolicy of that name", e.file)
	}
	return found, nil
}

// tagsOf returns the tags to judge, and the name of the image if it is known.
func (e *explanation) tagsOf(cmd *cobra.Command, c client.Client, p *imagev1.ImagePolicy) (tags []string, image string, err error) {
	if e.tags != "" {
		tags, err = readTags(cmd, e.tags)
		return tags, "", err
	}
	key := report.RepositoryOf(p)
	if key.Namespace == "" {
		if key.Namespace, err = e.cluster.Namespace(); err != nil {
			return nil, "", err
		}
	}
	var repo imagev1.ImageRepository
	if err := cluster.Get(cmd.Context(), c, key, &repo); err != nil {
		return nil, "", fmt.Errorf("spec.imageRepositoryRef: %w", err)
	}
	tags, err = scanTags(cmd, c, &repo)
	return tags, repo.Spec.Image, err
}
