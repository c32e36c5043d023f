// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/manifest"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/scan"
)

// repositoriesOf are the ImageRepositories among the documents of a file.
func repositoriesOf(documents [][]byte) ([]imagev1.ImageRepository, error) {
	var found []imagev1.ImageRepository
	for _, document := range documents {
		if !manifest.IsImage(document, imagev1.ImageRepositoryKind) {
			continue
		}
		repo, err := manifest.ParseRepository(document)
		if err != nil {
			return nil, err
		}
		found = append(found, *repo)
	}
	return found, nil
}

// exclude takes the tags out of a list that the ImageRepository excludes, and says of
// each why. A list that comes from the registry is without them already.
func (e *explanation) exclude(
	cmd *cobra.Command, c client.Client, p *imagev1.ImagePolicy, tags []string,
) (kept []string, excluded []report.Tag, err error) {
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
			excluded = append(excluded, report.Tag{Tag: tag, Gate: report.GateExclusion, Why: "left out by " + entry})
		}
	}
	if !known && p.Name != "" {
		output.Note(cmd, "the ImageRepository %s is not known: its exclusions are taken for the default, *.sig", report.RepositoryOf(p).Name)
	}
	return kept, excluded, nil
}

// repository finds the ImageRepository of a policy in the file or the cluster. One
// that is not there is one that says nothing of exclusions.
func (e *explanation) repository(cmd *cobra.Command, c client.Client, p *imagev1.ImagePolicy) (*imagev1.ImageRepository, bool) {
	key := report.RepositoryOf(p)
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
