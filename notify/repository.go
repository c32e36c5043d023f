// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// filterByRepository keeps the Pipelines that are written to the repository that a message
// is about, all if it names none. Unlike images, repositories go by one name: an
// organization tells of all that it has, and a Pipeline that is woken asks the forge.
func (h *Hooks) filterByRepository(
	ctx context.Context, items []metav1.PartialObjectMetadata, in client.InNamespace, named string,
) ([]metav1.PartialObjectMetadata, error) {
	if named == "" || len(items) == 0 {
		return items, nil
	}
	var pipelines sluicev1.PipelineList
	if err := h.Reader.List(ctx, &pipelines, in); err != nil {
		return nil, fmt.Errorf("listing the sources of %s in '%s': %w", sluicev1.PipelineKind, string(in), err)
	}
	sources := map[string][]types.NamespacedName{}
	for i := range pipelines.Items {
		sources[pipelines.Items[i].Name] = pipelines.Items[i].Sources()
	}
	var kept []metav1.PartialObjectMetadata
	urls := map[string]map[string]string{} // by namespace and name
	for _, item := range items {
		for _, source := range sources[item.Name] {
			if urls[source.Namespace] == nil {
				found, err := h.repositoryURLs(ctx, client.InNamespace(source.Namespace))
				if err != nil {
					return nil, err
				}
				urls[source.Namespace] = found
			}
			if isRepository(urls[source.Namespace][source.Name], named) {
				kept = append(kept, item)
				break
			}
		}
	}
	return kept, nil
}

// repositoryURLs are the URLs of the GitRepositories of a namespace, by their names.
func (h *Hooks) repositoryURLs(ctx context.Context, in client.InNamespace) (map[string]string, error) {
	var list sourcev1.GitRepositoryList
	if err := h.Reader.List(ctx, &list, in); err != nil {
		return nil, fmt.Errorf("listing the URLs of %s in '%s': %w", sourcev1.GitRepositoryKind, string(in), err)
	}
	urls := map[string]string{}
	for i := range list.Items {
		urls[list.Items[i].Name] = list.Items[i].Spec.URL
	}
	return urls, nil
}

// isRepository reports whether the URL of a Git repository can be that of one by a name
// such as owner/name. Hosts are not compared, since a forge has several names, and neither
// is what is before the name in the path: the forge may be below it, and Bitbucket and
// Azure DevOps put words of their own there. Case makes no difference to forges.
func isRepository(gitURL, name string) bool {
	u, err := url.Parse(gitURL)
	if err != nil || name == "" {
		return false
	}
	elements := strings.Split(strings.Trim(u.Path, "/"), "/")
	if i := slices.Index(elements, "_git"); i >= 0 {
		elements = slices.Delete(elements, i, i+1)
		if isProject := i == 0 || i == 1 && strings.EqualFold(u.Hostname(), "dev.azure.com"); isProject && i < len(elements) {
			elements = slices.Insert(elements, i, elements[i]) // a project and its repository by one name
		}
	}
	path, name := "/"+strings.Join(elements, "/"), "/"+strings.Trim(name, "/")
	return strings.HasSuffix(strings.ToLower(strings.TrimSuffix(path, ".git")), strings.ToLower(name))
}

// The repository that a message is about, by the forge that sends it. A message was
// verified before, and the name only narrows the targets: what cannot be read names none.

// gitHubRepository is that of all events of GitHub, Gitea and Forgejo.
func gitHubRepository(body []byte) string {
	var sent struct {
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
	}
	_ = json.Unmarshal(body, &sent)
	return sent.Repository.FullName
}

// gitLabRepository is the project of an event, which is the target of a merge request.
func gitLabRepository(body []byte) string {
	var sent struct {
		Project struct {
			Path string `json:"path_with_namespace"`
		} `json:"project"`
	}
	_ = json.Unmarshal(body, &sent)
	return sent.Project.Path
}

// bitbucketRepository has a full name in Bitbucket Cloud; in Data Center it is in a
// project, and that of a pull request is below its target.
func bitbucketRepository(body []byte) string {
	type repository struct {
		FullName string `json:"full_name"`
		Slug     string `json:"slug"`
		Project  struct {
			Key string `json:"key"`
		} `json:"project"`
	}
	var sent struct {
		Repository  repository `json:"repository"`
		PullRequest struct {
			To struct {
				Repository repository `json:"repository"`
			} `json:"toRef"`
		} `json:"pullRequest"`
	}
	_ = json.Unmarshal(body, &sent)
	if sent.Repository.FullName != "" {
		return sent.Repository.FullName
	}
	found := cmp.Or(sent.PullRequest.To.Repository, sent.Repository)
	return ownedBy(found.Project.Key, found.Slug)
}

// azureRepository is that of a service hook of Azure DevOps.
func azureRepository(body []byte) string {
	var sent struct {
		Publisher string `json:"publisherId"`
		Resource  struct {
			Repository struct {
				Name    string `json:"name"`
				Project struct {
					Name string `json:"name"`
				} `json:"project"`
			} `json:"repository"`
		} `json:"resource"`
	}
	_ = json.Unmarshal(body, &sent)
	if sent.Publisher != "tfs" {
		return ""
	}
	return ownedBy(sent.Resource.Repository.Project.Name, sent.Resource.Repository.Name)
}

// ownedBy is the name of a repository with that of its owner, "" unless both are known.
func ownedBy(owner, name string) string {
	if owner == "" || name == "" {
		return ""
	}
	return owner + "/" + name
}
