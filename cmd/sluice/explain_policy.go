package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
)

// explainPolicy is `sluice explain policy`.
type explainPolicy struct {
	cluster    *kube
	output     output
	trial      trial
	file, tags string
	limit      int
	// repositories are the ImageRepositories of the file.
	repositories []imagev1.ImageRepository
}

func explainPolicyCommand(cluster *kube) *cobra.Command {
	e := &explainPolicy{cluster: cluster}
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
		ValidArgsFunction: cluster.complete(policies),
		RunE:              e.run,
	}
	cmd.Flags().StringVarP(&e.file, "file", "f", "", "read the ImagePolicy from this file instead of the cluster; - is standard input")
	cmd.Flags().StringVar(&e.tags, "tags", "", "read the tags from this file, one a line, instead of the registry; - is standard input")
	cmd.Flags().IntVar(&e.limit, "limit", 0, "show only this many tags of each kind, chosen and dropped; 0 is all")
	e.trial.register(cmd)
	e.output.register(cmd)
	return cmd
}

func (e *explainPolicy) run(cmd *cobra.Command, args []string) error {
	if err := e.validate(cmd, args); err != nil {
		return err
	}
	p, c, err := e.policy(cmd, args)
	if err != nil {
		return err
	}
	saved := p.DeepCopy()
	if err := e.trial.apply(cmd.Flags(), &p.Spec); err != nil {
		return err
	}
	judge, err := policy.CompileSpec(&p.Spec, time.Now())
	if err != nil {
		return fmt.Errorf("ImagePolicy %s: %w", p.Name, err)
	}
	if chosen(cmd.Flags(), trialFlags...) && p.Name != "" {
		note(cmd, "trying %s; nothing is saved", judge)
		if saved.Spec.Pin != nil && p.Spec.Pin == nil {
			note(cmd, "without the pin of tag %s", saved.Spec.Pin.Tag)
		}
	}
	if fields := lazyFields(&p.Spec); len(fields) > 0 {
		note(cmd, "%s: not judged here; of the best tags the last verdict is shown, where the status has it", strings.Join(fields, ", "))
	}
	tags, image, err := e.tagsOf(cmd, c, p)
	if err != nil {
		return err
	}
	tags, excluded, err := e.leaveOut(cmd, c, p, tags)
	if err != nil {
		return err
	}
	found := explanationOf(p, judge, tags)
	found.Image, found.Tags = image, append(found.Tags, excluded...)
	return e.output.print(cmd.OutOrStdout(), found.table(e.limit), found.limited(e.limit))
}

// lazyFields are the fields of a spec that only the controller judges, since they
// need its clock or the registry.
func lazyFields(spec *imagev1.ImagePolicySpec) []string {
	var fields []string
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"minAge", spec.MinAge != nil && spec.Pin == nil},
		{"platform", spec.Platform != ""},
		{"reject.digest", slices.ContainsFunc(spec.Reject, func(r imagev1.Rejection) bool { return r.Digest != "" })},
		{"verify", spec.Verify != nil},
	} {
		if field.set {
			fields = append(fields, field.name)
		}
	}
	return fields
}

func (e *explainPolicy) validate(cmd *cobra.Command, args []string) error {
	if err := e.output.validate(); err != nil {
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
func (e *explainPolicy) policy(cmd *cobra.Command, args []string) (*imagev1.ImagePolicy, client.Client, error) {
	if len(args) == 0 && e.file == "" {
		return &imagev1.ImagePolicy{}, nil, nil
	}
	var c client.Client
	var err error
	if e.file == "" || e.tags == "" {
		if c, err = e.cluster.client(); errors.Is(err, errUnconfigured) {
			err = fmt.Errorf("%w; without a cluster give the policy as --file, or leave its name out and say it in flags, and the tags as --tags", err)
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
	return p, c, e.cluster.get(cmd.Context(), c, args[0], p)
}

// fromFile takes the named policy of the file, or the only one.
func (e *explainPolicy) fromFile(cmd *cobra.Command, args []string) (*imagev1.ImagePolicy, error) {
	content, err := readFile(cmd, e.file)
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	manifests, err := documents(content)
	if err != nil {
		return nil, fmt.Errorf("--file: reading %s: %w", e.file, err)
	}
	if e.repositories, err = repositoriesOf(manifests); err != nil {
		return nil, fmt.Errorf("--file %s: %w", e.file, err)
	}
	var found *imagev1.ImagePolicy
	for _, manifest := range slices.DeleteFunc(manifests, func(m []byte) bool { return !isPolicy(m) }) {
		p, err := parsePolicy(manifest)
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
func (e *explainPolicy) tagsOf(cmd *cobra.Command, c client.Client, p *imagev1.ImagePolicy) (tags []string, image string, err error) {
	if e.tags != "" {
		tags, err = readTags(cmd, e.tags)
		return tags, "", err
	}
	key := repositoryKey(p)
	if key.Namespace == "" {
		if key.Namespace, err = e.cluster.namespace(); err != nil {
			return nil, "", err
		}
	}
	var repo imagev1.ImageRepository
	if err := fetch(cmd.Context(), c, key, &repo); err != nil {
		return nil, "", fmt.Errorf("spec.imageRepositoryRef: %w", err)
	}
	tags, err = scanTags(cmd, c, &repo)
	return tags, repo.Spec.Image, err
}

// tagLine is what became of a tag, with what the status knows.
type tagLine struct {
	policy.Line `json:",inline"`
	Chosen      bool       `json:"chosen,omitempty"`
	Digest      string     `json:"digest,omitempty"`
	FirstSeen   *time.Time `json:"firstSeen,omitempty"`
}

// explanation is all that there is to say about a choice.
type explanation struct {
	Namespace string    `json:"namespace,omitempty"`
	Policy    string    `json:"policy,omitempty"`
	Image     string    `json:"image,omitempty"`
	Rule      string    `json:"rule"`
	Total     int       `json:"total"`
	Qualified int       `json:"qualified"`
	Why       string    `json:"why"`
	Tags      []tagLine `json:"tags"`
}

func explanationOf(p *imagev1.ImagePolicy, judge *policy.Policy, tags []string) explanation {
	decision := judge.Select(slices.Values(tags))
	found := explanation{
		Namespace: p.Namespace, Policy: p.Name, Rule: judge.String(),
		Total: decision.Total, Qualified: decision.Qualified(), Why: decision.Why(),
	}
	known := map[string]imagev1.Candidate{}
	if p.Status.Decision != nil {
		for _, candidate := range p.Status.Decision.Candidates {
			known[candidate.Tag] = candidate
		}
	}
	for _, line := range judge.Explain(slices.Values(tags)) {
		l := tagLine{Line: line}
		l.Chosen = p.Status.LatestRef != nil && p.Status.LatestRef.Tag == line.Tag
		if candidate, ok := known[line.Tag]; ok {
			l.Digest = candidate.Digest
			if candidate.FirstSeen != nil {
				l.FirstSeen = &candidate.FirstSeen.Time
			}
			if l.Gate == "" {
				l.Gate, l.Why = policy.Gate(candidate.Gate), candidate.Dropped
			}
		}
		found.Tags = append(found.Tags, l)
	}
	return found
}

// limited keeps the first n of the tags that rank and of those that do not.
func (x explanation) limited(n int) explanation {
	if n == 0 {
		return x
	}
	var ranked, dropped int
	var kept []tagLine
	for _, l := range x.Tags {
		count := &dropped
		if l.Rank > 0 {
			count = &ranked
		}
		if *count++; *count <= n {
			kept = append(kept, l)
		}
	}
	x.Tags = kept
	return x
}

func (x explanation) table(limit int) table {
	t := table{columns: []string{"TAG", "RANK", "DROPPED BY", "WHY", "COMPARED", "FIRST SEEN", "DIGEST"}, wide: 4}
	for _, l := range x.limited(limit).Tags {
		rank, why, seen := "", l.Why, ""
		if l.Rank > 0 {
			rank = strconv.Itoa(l.Rank)
		}
		switch {
		case l.Chosen && why == "":
			why = "chosen"
		case l.Chosen:
			why += "; the present choice"
		case why == "" && l.Rank == 1:
			why = "first by " + x.Rule
		}
		if l.FirstSeen != nil {
			seen = l.FirstSeen.UTC().Format(time.RFC3339)
		}
		t.add(l.Tag, rank, string(l.Gate), why, l.Text, seen, l.Digest)
	}
	return t
}
