// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/tree"
)

// Defaults of the schema, which are spelled out in what is printed.
const (
	defaultInterval      = 10 * time.Minute
	defaultVerifyTimeout = 30 * time.Minute
)

// Bounds of the schema.
const (
	maxArtifacts = 16
	maxProofs    = 16
)

// automationSeen is an automation and what belongs to it.
type automationSeen struct {
	automation imagev1.ImageUpdateAutomation
	// policies that it writes; guessed if it has not run yet, so that they are all that
	// it may write.
	policies []string
	guessed  bool
	// follows is the branch of its GitRepository, "" where that could not be read or follows none.
	follows string
	appliers
}

// appliers are what applies the paths of stages: the Kustomizations of the cluster, or why
// they could not be read.
type appliers struct {
	kustomizations []kustomizev1.Kustomization
	unread         error
}

// fromAutomation is the pipeline of one stage that does what an automation does, and
// what could not be carried over. It has the name of the automation if none is given.
func fromAutomation(seen automationSeen, name string) (*sluicev1.Pipeline, []string, error) {
	a := &seen.automation
	p := newPipeline(a.Namespace, cmp.Or(name, a.Name))
	ref := a.Spec.SourceRef
	ref.APIVersion = ""
	p.Spec.SourceRef = &ref
	if a.Spec.Interval.Duration > 0 {
		p.Spec.Interval = a.Spec.Interval
	}
	for _, policy := range seen.policies {
		p.Spec.Artifacts = append(p.Spec.Artifacts, artifact(policy))
	}
	stage := newStage("production", "")
	if a.Spec.Update != nil {
		stage.Write.Path = a.Spec.Update.Path
	}
	comments := carryGit(p, &stage, seen)
	comments = append(comments, seen.prove(p, &stage)...)
	if text := "the artifacts are all policies that the automation may write: leave out those that no marker names; " +
		"sluice explain automation " + a.Name + " lists the markers"; seen.guessed {
		comments = append(comments, "the automation has written nothing yet: "+text)
	} else {
		comments = append(comments, text)
	}
	p.Spec.Stages = []sluicev1.Stage{stage}
	return p, comments, checkNames(p)
}

// carryGit carries over how the automation commits and where it pushes, and says what
// has no counterpart.
func carryGit(p *sluicev1.Pipeline, stage *sluicev1.Stage, seen automationSeen) []string {
	git := seen.automation.Spec.GitSpec
	if git == nil {
		return nil
	}
	var comments []string
	p.Spec.Commit = &sluicev1.Commit{Author: git.Commit.Author, SigningKey: git.Commit.SigningKey}
	if git.Commit.MessageTemplate != "" {
		comments = append(comments,
			"spec.git.commit.messageTemplate: templates of a Pipeline see other fields (spec.stages[].write.commit.messageTemplate)")
	}
	if git.Commit.Batch != nil || git.Commit.Per != "" {
		comments = append(comments, "spec.git.commit.batch and per: a stage gets one commit for each bundle")
	}
	checkout, read := "", seen.follows
	if git.Checkout != nil {
		checkout = git.Checkout.Reference.Branch
		read = checkout
		if checkout == "" {
			comments = append(comments, "spec.git.checkout.ref: a stage is read from the branch that it is written to")
		}
	}
	stage.Write.Branch = checkout
	if push := git.Push; push != nil {
		if push.Branch != "" && push.Branch != read {
			stage.Write.Branch = push.Branch
			comments = append(comments,
				fmt.Sprintf("spec.git.push.branch: the automation reads another branch than it pushes to; the stage reads and writes %s. "+
					"If somebody merges that branch, name the branch that it is merged into, and write a pullRequest", push.Branch))
		}
		if git.HasRefspec() || len(push.Options) > 0 {
			comments = append(comments, "spec.git.push.refspec and options: a stage pushes to its branch, without options")
		}
	}
	return comments
}

// prove names the Kustomizations that apply what the stage is written to, and the
// Canaries that they have, and says what that does not prove.
func (seen appliers) prove(p *sluicev1.Pipeline, stage *sluicev1.Stage) []string {
	if seen.unread != nil {
		return []string{stage.Name + ": Kustomizations could not be read: " +
			"name those that apply its path in ready, or every version is verified as soon as it is committed"}
	}
	comments := []string{}
	for i := range seen.kustomizations {
		k := &seen.kustomizations[i]
		if !follows(k, p, stage) || !tree.Below(k.Spec.Path, stage.Write.Path) {
			continue
		}
		stage.Ready = append(stage.Ready,
			sluicev1.ReadyReference{Kind: "Kustomization", Name: k.Name, Namespace: unless(k.Namespace, p.Namespace)})
		if !k.Spec.Wait && len(k.Spec.HealthChecks) == 0 {
			comments = append(comments,
				fmt.Sprintf("Kustomization %s has neither wait nor healthChecks: it is Ready once it is applied, whether or not anything runs", k.Name))
		}
		stage.Verify = append(stage.Verify, canariesOf(k, p.Namespace)...)
	}
	if len(stage.Ready)+len(stage.Verify) == 0 {
		comments = append(comments, fmt.Sprintf("%s: no Kustomization of its repository is at or below %s: "+
			"name what applies it in ready, or every version is verified as soon as it is committed", stage.Name, cmp.Or(stage.Write.Path, "./")))
	}
	if len(stage.Ready) > maxProofs || len(stage.Verify) > maxProofs {
		comments = append(comments, fmt.Sprintf("%s: there are %d Kustomizations and %d Canaries, "+
			"and a stage may name %d of each: make stages or targets of them",
			stage.Name, len(stage.Ready), len(stage.Verify), maxProofs))
		stage.Ready, stage.Verify = stage.Ready[:min(len(stage.Ready), maxProofs)], stage.Verify[:min(len(stage.Verify), maxProofs)]
	}
	return comments
}

// proveAll does that for all stages.
func (seen appliers) proveAll(p *sluicev1.Pipeline) []string {
	var comments []string
	for i := range p.Spec.Stages {
		comments = append(comments, seen.prove(p, &p.Spec.Stages[i])...)
	}
	return comments
}

// follows reports whether a Kustomization applies what a stage is written to.
func follows(k *kustomizev1.Kustomization, p *sluicev1.Pipeline, stage *sluicev1.Stage) bool {
	ref, source := k.Spec.SourceRef, cmp.Or(stage.Write.SourceRef, p.Spec.SourceRef)
	return ref.Kind == "GitRepository" && ref.Name == source.Name &&
		cmp.Or(ref.Namespace, k.Namespace) == cmp.Or(source.Namespace, p.Namespace)
}

// unless is a namespace, empty if it is the one that is meant anyway.
func unless(namespace, home string) string {
	if namespace == home {
		return ""
	}
	return namespace
}

// canariesOf are the Canaries in the inventory of a Kustomization, whose ids are
// namespace_name_group_kind.
func canariesOf(k *kustomizev1.Kustomization, home string) []sluicev1.Verification {
	if k.Status.Inventory == nil {
		return nil
	}
	var found []sluicev1.Verification
	for _, entry := range k.Status.Inventory.Entries {
		parts := strings.Split(entry.ID, "_")
		if len(parts) == 4 && parts[2] == flaggerv1.GroupVersion.Group && parts[3] == flaggerv1.CanaryKind {
			found = append(found, sluicev1.Verification{Canary: &sluicev1.CanaryVerification{Name: parts[1], Namespace: unless(parts[0], home)}})
		}
	}
	return found
}

// nameOfPart is the schema's pattern of the names of artifacts and stages.
var nameOfPart = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// checkNames refuses what the API server would.
func checkNames(p *sluicev1.Pipeline) error {
	if n := len(p.Spec.Artifacts); n == 0 || n > maxArtifacts {
		return fmt.Errorf("a Pipeline has 1 to %d artifacts, not %d: name the policies with --policy", maxArtifacts, n)
	}
	var names []string
	for _, a := range p.Spec.Artifacts {
		if !nameOfPart.MatchString(a.Name) || slices.Contains(names, a.Name) {
			return fmt.Errorf("policy %s: %q cannot be the name of an artifact, or is one already", a.ImagePolicyRef.Name, a.Name)
		}
		names = append(names, a.Name)
	}
	for _, s := range p.Spec.Stages {
		if !nameOfPart.MatchString(s.Name) {
			return fmt.Errorf("%q cannot be the name of a stage: it takes lower case letters, digits and dashes", s.Name)
		}
	}
	return nil
}

// printManifest prints a pipeline as a manifest, below comments.
func printManifest(w io.Writer, p *sluicev1.Pipeline, comments []string) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	if err != nil {
		return err
	}
	delete(object, "status")
	prune(object)
	text, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	head := ""
	if len(comments) > 0 {
		head = "# Left to you:\n"
	}
	for _, c := range comments {
		head += "# - " + strings.Join(strings.Fields(c), " ") + "\n"
	}
	_, err = io.WriteString(w, head+string(text))
	return err
}

// prune drops what is empty, except write.commit, which says something by being there.
func prune(object map[string]any) {
	for key, value := range object {
		switch v := value.(type) {
		case nil:
			delete(object, key)
		case map[string]any:
			prune(v)
			if written := key == "commit" && object["artifacts"] == nil; len(v) == 0 && !written {
				delete(object, key)
			}
		case []any:
			for _, item := range v {
				if fields, ok := item.(map[string]any); ok {
					prune(fields)
				}
			}
		}
	}
}
