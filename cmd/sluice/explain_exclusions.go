package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/scan"
)

// gateExclusion is what drops the tags that a policy never sees.
const gateExclusion policy.Gate = "exclusionList"

// repositoriesOf are the ImageRepositories among manifests.
func repositoriesOf(manifests [][]byte) ([]imagev1.ImageRepository, error) {
	var found []imagev1.ImageRepository
	for _, manifest := range manifests {
		if !isImage(manifest, imagev1.ImageRepositoryKind) {
			continue
		}
		if err := current(manifest); err != nil {
			return nil, err
		}
		var repo imagev1.ImageRepository
		if err := yaml.UnmarshalStrict(manifest, &repo); err != nil {
			return nil, fmt.Errorf("reading ImageRepository: %w", err)
		}
		found = append(found, repo)
	}
	return found, nil
}

// leaveOut takes the tags out of a list that the ImageRepository excludes, and says
// of each why. Tags of the registry are without them already.
func (e *explainPolicy) leaveOut(cmd *cobra.Command, c client.Client, p *imagev1.ImagePolicy, tags []string) (kept []string, excluded []tagLine, err error) {
	if e.tags == "" {
		return tags, nil, nil
	}
	repo, known := e.repository(cmd, c, p)
	excludes, err := scan.Exclusions(repo.GetExclusionList())
	if err != nil {
		return nil, nil, fmt.Errorf("ImageRepository %s: %w", repo.Name, err)
	}
	seen := map[string]bool{}
	for _, tag := range tags {
		entry := excludes(tag)
		if entry == "" {
			kept = append(kept, tag)
			continue
		}
		if !seen[tag] {
			seen[tag] = true
			excluded = append(excluded, tagLine{Line: policy.Line{Tag: tag, Gate: gateExclusion, Why: "left out by " + entry}})
		}
	}
	if !known && p.Name != "" {
		note(cmd, "the ImageRepository %s is not known: its exclusions are taken for the default, *.sig", repositoryKey(p).Name)
	}
	return kept, excluded, nil
}

// repository finds the ImageRepository of a policy in the file or the cluster. One
// that is not there is one that says nothing of exclusions.
func (e *explainPolicy) repository(cmd *cobra.Command, c client.Client, p *imagev1.ImagePolicy) (*imagev1.ImageRepository, bool) {
	key := repositoryKey(p)
	for i := range e.repositories {
		repo := &e.repositories[i]
		if repo.Name == key.Name && (repo.Namespace == key.Namespace || repo.Namespace == "" || key.Namespace == "") {
			return repo, true
		}
	}
	repo := &imagev1.ImageRepository{}
	if c == nil || key.Name == "" || c.Get(cmd.Context(), key, repo) != nil {
		return &imagev1.ImageRepository{}, false
	}
	return repo, true
}
