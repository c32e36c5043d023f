// SPDX-License-Identifier: Apache-2.0

package message

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
)

// Status is a commit status that an event comes to.
type Status struct {
	// Commit is the full hash.
	Commit string
	// State is pending, success or failure.
	State string
	// Description is for people, in some words.
	Description string
	// Name is kind/name of the object, which some forges show.
	Name string
}

// States of commits.
const (
	StatePending = "pending"
	StateSuccess = "success"
	StateFailure = "failure"
)

// progressing are the reasons of events about something that goes on.
var progressing = map[string]bool{meta.ProgressingReason: true, meta.ProgressingWithRetryReason: true}

// StatusOf is the status of the commit that an event is about. The error says that the
// event names no commit.
func StatusOf(e Event) (Status, error) {
	revision, ok := e.GetRevision()
	if !ok {
		return Status{}, fmt.Errorf("the event has no revision in its metadata")
	}
	commit, ok := CommitOf(revision)
	if !ok {
		return Status{}, fmt.Errorf("revision %q is no commit of Git", revision)
	}
	status := Status{
		Commit: commit, State: StateSuccess, Description: Describe(e),
		Name: strings.ToLower(e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name),
	}
	switch said := e.Metadata[StateKey]; {
	case said == StatePending, said == StateSuccess, said == StateFailure:
		// A check that failed once is a warning, and does not end the release.
		status.State, status.Description = said, e.Message
	case failed(e):
		status.State = StateFailure
	case progressing[e.Reason]:
		status.State = StatePending
	}
	return status, nil
}

// StateKey is the metadata by which the event of a Canary says how the release stands.
const StateKey = "state"

// Link is the address that a commit status leads to: the metadata url, in which {kind},
// {namespace}, {name} and {commit} stand for the object and the commit, or else the
// repository, if that is a page.
func Link(e Event, commit, repository string) string {
	link := e.Metadata[linkKey]
	if link == "" {
		if u, err := parse(repository); err == nil {
			u.User = nil
			return strings.TrimSuffix(u.String(), ".git")
		}
		return ""
	}
	o := e.InvolvedObject
	return strings.NewReplacer("{kind}", url.PathEscape(o.Kind), "{namespace}", url.PathEscape(o.Namespace),
		"{name}", url.PathEscape(o.Name), "{commit}", commit).Replace(link)
}

// linkKey is the metadata that is the link of a commit status.
const linkKey = "url"

// commitHash is the hash of a commit at the end of a revision: main@sha1:1234..., or as it
// was before, main/1234....
var commitHash = regexp.MustCompile(`(?:^|[@:/])([0-9a-f]{40}|[0-9a-f]{64})$`)

// CommitOf is the hash of the commit in a revision of Git.
func CommitOf(revision string) (string, bool) {
	found := commitHash.FindStringSubmatch(revision)
	if found == nil {
		return "", false
	}
	return found[1], true
}

// DefaultContext is the name of a commit status, unless the Provider has an expression
// for it: kind/name/ and the first part of the UID of the Provider, so that two clusters
// do not overwrite one another's.
func DefaultContext(e Event, providerUID string) string {
	first, _, _ := strings.Cut(providerUID, "-")
	return strings.ToLower(fmt.Sprintf("%s/%s/%s", e.InvolvedObject.Kind, e.InvolvedObject.Name, first))
}

// Genre is what comes before the name of a commit status at Azure DevOps, whose policies of branches demand both: fluxcd, or
// fluxcd: and the summary.
func Genre(e Event) string {
	if summary, ok := e.Metadata[summaryKey]; ok {
		return "fluxcd:" + summary
	}
	return "fluxcd"
}

// UpdatesStatus reports whether an event was told for nothing but commit statuses.
func UpdatesStatus(e Event) bool {
	key := e.InvolvedObject.GroupVersionKind().Group + "/" + eventv1.MetaCommitStatusKey
	return e.Metadata[key] == eventv1.MetaCommitStatusUpdateValue
}

// NamesCommit reports whether an event names a commit itself.
func NamesCommit(e Event) bool { return e.Metadata[eventv1.Group+"/"+eventv1.MetaCommitKey] != "" }

// ChangeRequest is the number of the pull request that an event is about, "" if none.
func ChangeRequest(e Event) string { return e.Metadata[eventv1.Group+"/"+eventv1.MetaChangeRequestKey] }

// CommentMarker is the line by which the comment about an object is found again. GitLab
// calls pull requests merge requests.
func CommentMarker(forge, providerUID string, e Event) string {
	prefix := "flux-pr-comment-key"
	if forge == "gitlab" {
		prefix = "flux-mr-comment-key"
	}
	o := e.InvolvedObject
	return fmt.Sprintf("<!-- %s:%s/%s/%s/%s -->", prefix, providerUID, o.Kind, o.Namespace, o.Name)
}
