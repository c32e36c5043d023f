// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PullRequestSpec says how the pull request of a push branch looks, and who merges it.
// Sluice extension.
type PullRequestSpec struct {
	// TitleTemplate is a Go template of the title. It sees what messageTemplate of the
	// commit sees: .AutomationObject, .Changed and .Values.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	TitleTemplate string `json:"titleTemplate,omitempty"`

	// BodyTemplate is a Go template of the text; it sees the same.
	// +kubebuilder:validation:MaxLength=16384
	// +optional
	BodyTemplate string `json:"bodyTemplate,omitempty"`

	// Labels of the pull request. They are set when it is opened, as are reviewers,
	// assignees and draft, and belong to people afterwards.
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Labels []string `json:"labels,omitempty"`

	// Reviewers that are asked for a review.
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Reviewers []string `json:"reviewers,omitempty"`

	// Assignees of the pull request.
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Assignees []string `json:"assignees,omitempty"`

	// Draft opens it as a draft. A draft is not merged before a person marks it as ready.
	// +optional
	Draft bool `json:"draft,omitempty"`

	// AutoMerge is never (the default), self or platform.
	// +kubebuilder:validation:Enum=never;self;platform
	// +optional
	AutoMerge AutoMerge `json:"autoMerge,omitempty"`

	// MergeMethod is merge, squash, rebase or fast-forward. Defaults to what the
	// repository allows, in this order.
	// +kubebuilder:validation:Enum=merge;squash;rebase;fast-forward
	// +optional
	MergeMethod MergeMethod `json:"mergeMethod,omitempty"`

	// Provider of the API. By default it is told from the host of the repository.
	// +kubebuilder:validation:Enum=github;gitlab;gitea;forgejo;bitbucket;bitbucketserver;azuredevops
	// +optional
	Provider string `json:"provider,omitempty"`

	// URL of the API, if it is not at its usual place on the host of the repository, such as
	// https://git.example.com/api/v4. It needs a secretRef: the Secret of the GitRepository
	// is sent to the host of the repository alone.
	// +kubebuilder:validation:Pattern="^https?://.+$"
	// +optional
	URL string `json:"url,omitempty"`

	// SecretRef names a Secret in the namespace of the automation with `token`, or the
	// keys of a GitHub App. Defaults to the Secret of the GitRepository.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`
}

// AutoMerge says who merges a pull request. Sluice extension.
type AutoMerge string

// Who merges.
const (
	// AutoMergeNever means that a person merges.
	AutoMergeNever AutoMerge = "never"
	// AutoMergeSelf means that Sluice merges what it pushed once the forge has all that the
	// branch demands: checks, approvals.
	AutoMergeSelf AutoMerge = "self"
	// AutoMergePlatform means that the forge is asked to merge by itself.
	AutoMergePlatform AutoMerge = "platform"
)

// MergeMethod says how a pull request becomes part of its branch. Sluice extension.
type MergeMethod string

// The methods of merging. A forge may know, or allow, only some of them.
const (
	MergeMethodMerge       MergeMethod = "merge"
	MergeMethodSquash      MergeMethod = "squash"
	MergeMethodRebase      MergeMethod = "rebase"
	MergeMethodFastForward MergeMethod = "fast-forward"
)

// PullRequestState is what became of a pull request. Sluice extension.
type PullRequestState string

// The states.
const (
	PullRequestOpen   PullRequestState = "open"
	PullRequestMerged PullRequestState = "merged"
	PullRequestClosed PullRequestState = "closed"
)

// PullRequestStatus is the last pull request of an automation. Sluice extension.
type PullRequestStatus struct {
	// Number of the pull request.
	// +required
	Number int64 `json:"number"`

	// URL for people.
	// +optional
	URL string `json:"url,omitempty"`

	// State is open, merged or closed.
	// +required
	State PullRequestState `json:"state"`

	// Base is the branch that it is to be merged into, and Branch the push branch.
	// +required
	Base string `json:"base"`

	// Branch is the push branch.
	// +required
	Branch string `json:"branch"`

	// Head is the commit that was pushed for it. No other one is merged by Sluice.
	// +optional
	Head string `json:"head,omitempty"`

	// Digest stands for what it changes: which fields of which files to which values.
	// +optional
	Digest string `json:"digest,omitempty"`

	// TextDigest stands for the title and the text that it was given. People may edit them;
	// they are written again when they are to say something else.
	// +optional
	TextDigest string `json:"textDigest,omitempty"`

	// WaitsFor says what has to happen next, such as the review of a person.
	// +optional
	WaitsFor string `json:"waitsFor,omitempty"`

	// Frozen says why it keeps what it proposes although there is something newer, such as
	// that it is approved.
	// +optional
	Frozen string `json:"frozen,omitempty"`

	// LeftAlone is the head with commits of somebody else that was commented on.
	// +optional
	LeftAlone string `json:"leftAlone,omitempty"`

	// Queued is the head that was seen in the merge queue last: one that left it is put
	// back by people alone.
	// +optional
	Queued string `json:"queued,omitempty"`

	// AutoMerge means that the forge was asked to merge it by itself.
	// +optional
	AutoMerge bool `json:"autoMerge,omitempty"`
}

// DeclinedProposal is what a person does not want: what a pull request proposed that was
// closed. It is not proposed again; other content is. Sluice extension.
type DeclinedProposal struct {
	// Digest of what was proposed.
	// +required
	Digest string `json:"digest"`

	// Number of the pull request. Reopening it ends this.
	// +required
	Number int64 `json:"number"`

	// By whom it was closed, if the forge says so.
	// +optional
	By string `json:"by,omitempty"`

	// At is when that was seen.
	// +required
	At metav1.Time `json:"at"`
}

// Reasons of the Ready and Stalled conditions of an automation with spec.git.push.pullRequest.
// Sluice extension.
const (
	// InvalidSpecReason means: a field of spec.git.push.pullRequest cannot be used. Terminal.
	InvalidSpecReason = "InvalidSpec"
	// ForgeFailedReason means: the API of the Git server failed or refused.
	ForgeFailedReason = "ForgeFailed"
	// NotOursReason means: the push branch, or the pull request that it has, is somebody
	// else's.
	NotOursReason = "NotOurs"
)

// Reasons of events on an automation with spec.git.push.pullRequest. Sluice extension.
const (
	// PullRequestOpenedReason means: a pull request was opened.
	PullRequestOpenedReason = "PullRequestOpened"
	// PullRequestUpdatedReason means: it proposes something else now.
	PullRequestUpdatedReason = "PullRequestUpdated"
	// PullRequestMergedReason means: it was merged, by whomever.
	PullRequestMergedReason = "PullRequestMerged"
	// PullRequestClosedReason means: it was closed because nothing is left to propose.
	PullRequestClosedReason = "PullRequestClosed"
	// PullRequestDeclinedReason means: a person closed it.
	PullRequestDeclinedReason = "PullRequestDeclined"
	// PullRequestReopenedReason means: a person opened it again.
	PullRequestReopenedReason = "PullRequestReopened"
	// PullRequestLeftAloneReason means: somebody else committed to its branch.
	PullRequestLeftAloneReason = "PullRequestLeftAlone"
	// PullRequestAbandonedReason means: the spec names other branches now, or no pull
	// request, and one was left open.
	PullRequestAbandonedReason = "PullRequestAbandoned"
)
