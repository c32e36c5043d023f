// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// gitEvent is what a message of a forge is about. A message was verified before, and this
// only narrows the targets: what cannot be read names nothing.
type gitEvent struct {
	// repository is its name at the forge: owner/name, group/subgroup/project. Empty is not
	// known.
	repository string
	// branches are those that moved, are proposed or were checked, of the repository or of a
	// fork; none is not known.
	branches []string
}

// maxBranches is how many branches of a message are compared; one with more wakes all that
// its repository does.
const maxBranches = 100

// withBranches returns the event with its branches, in the form of refs or not.
func (e gitEvent) withBranches(branches ...string) gitEvent {
	for _, b := range branches {
		if b != "" {
			e.branches = append(e.branches, strings.TrimPrefix(b, "refs/heads/"))
		}
	}
	if len(e.branches) > maxBranches {
		e.branches = nil
	}
	return e
}

// gitHubEvent reads all events of GitHub, Gitea and Forgejo.
func gitHubEvent(body []byte) gitEvent {
	type run struct {
		Branch string `json:"head_branch"`
	}
	var sent struct {
		Ref        string `json:"ref"`
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
		PullRequest struct {
			Head struct {
				Ref string `json:"ref"`
			} `json:"head"`
		} `json:"pull_request"`
		CheckRun struct {
			Suite run `json:"check_suite"`
		} `json:"check_run"`
		CheckSuite  run `json:"check_suite"`
		WorkflowRun run `json:"workflow_run"`
		MergeGroup  struct {
			Base string `json:"base_ref"`
		} `json:"merge_group"`
		Branches []struct {
			Name string `json:"name"`
		} `json:"branches"`
	}
	_ = json.Unmarshal(body, &sent)
	e := gitEvent{repository: sent.Repository.FullName}.withBranches(sent.Ref, sent.PullRequest.Head.Ref,
		sent.CheckRun.Suite.Branch, sent.CheckSuite.Branch, sent.WorkflowRun.Branch, sent.MergeGroup.Base)
	for _, b := range sent.Branches[:min(len(sent.Branches), maxBranches+1)] {
		e = e.withBranches(b.Name)
	}
	return e
}

// gitLabEvent reads the project of an event, which is the target of a merge request.
func gitLabEvent(body []byte) gitEvent {
	type merge struct {
		Source string `json:"source_branch"`
		Ref    string `json:"ref"`
	}
	var sent struct {
		Ref     string `json:"ref"`
		Project struct {
			Path string `json:"path_with_namespace"`
		} `json:"project"`
		Attributes   merge `json:"object_attributes"`
		MergeRequest merge `json:"merge_request"`
	}
	_ = json.Unmarshal(body, &sent)
	e := gitEvent{repository: sent.Project.Path}
	return e.withBranches(sent.Ref, sent.Attributes.Source, sent.Attributes.Ref, sent.MergeRequest.Source)
}

// bitbucketEvent reads a repository that has a full name in Bitbucket Cloud; in Data Center
// it is in a project, and that of a pull request is below its target.
func bitbucketEvent(body []byte) gitEvent {
	type repository struct {
		FullName string `json:"full_name"`
		Slug     string `json:"slug"`
		Project  struct {
			Key string `json:"key"`
		} `json:"project"`
	}
	var sent struct {
		Repository repository `json:"repository"`
		Cloud      struct {
			Source struct {
				Branch struct {
					Name string `json:"name"`
				} `json:"branch"`
			} `json:"source"`
		} `json:"pullrequest"`
		DataCenter struct {
			From struct {
				Branch string `json:"displayId"`
			} `json:"fromRef"`
			To struct {
				Repository repository `json:"repository"`
			} `json:"toRef"`
		} `json:"pullRequest"`
	}
	_ = json.Unmarshal(body, &sent)
	found := cmp.Or(sent.DataCenter.To.Repository, sent.Repository)
	e := gitEvent{repository: cmp.Or(sent.Repository.FullName, ownedBy(found.Project.Key, found.Slug))}
	return e.withBranches(sent.Cloud.Source.Branch.Name, sent.DataCenter.From.Branch)
}

// azureEvent reads a service hook of Azure DevOps.
func azureEvent(body []byte) gitEvent {
	var sent struct {
		Publisher string `json:"publisherId"`
		Resource  struct {
			Source     string `json:"sourceRefName"`
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
		return gitEvent{}
	}
	e := gitEvent{repository: ownedBy(sent.Resource.Repository.Project.Name, sent.Resource.Repository.Name)}
	return e.withBranches(sent.Resource.Source)
}

// ownedBy is the name of a repository with that of its owner, "" unless both are known.
func ownedBy(owner, name string) string {
	if owner == "" || name == "" {
		return ""
	}
	return owner + "/" + name
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
