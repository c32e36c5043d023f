// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GitSpec says where an automation reads from Git, and how it commits and
// pushes.
type GitSpec struct {
	// Checkout says what to edit. Defaults to spec.ref of the GitRepository.
	// +optional
	Checkout *GitCheckoutSpec `json:"checkout,omitempty"`

	// Commit says who commits, and with which message.
	// +required
	Commit CommitSpec `json:"commit"`

	// Push says where commits go. Defaults to the branch that was read.
	// +optional
	Push *PushSpec `json:"push,omitempty"`
}

// HasRefspec reports whether commits are also pushed by a refspec.
func (in *GitSpec) HasRefspec() bool { return in.Push != nil && in.Push.Refspec != "" }

// GitCheckoutSpec names the commit that edits start from.
type GitCheckoutSpec struct {
	// Reference is a branch, tag or commit.
	// +required
	Reference GitReference `json:"ref"`
}

// GitReference names a commit in one of several ways. It has the fields of
// GitRepository's spec.ref, in the same order, so that one converts to the other
// and a new field there fails the build here. With several, commit comes before name, name before
// semver, semver before tag, and tag before branch.
type GitReference struct {
	// Branch to follow.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Tag to use.
	// +optional
	Tag string `json:"tag,omitempty"`

	// SemVer is a range; the highest tag in it is used.
	// +optional
	SemVer string `json:"semver,omitempty"`

	// Name is a full reference, such as `refs/pull/420/head`.
	// +optional
	Name string `json:"name,omitempty"`

	// Commit is the SHA to use.
	// +optional
	Commit string `json:"commit,omitempty"`
}

// CommitSpec says who commits, and with which message.
type CommitSpec struct {
	// Author of the commits, and their committer.
	// +required
	Author CommitUser `json:"author"`

	// SigningKey signs the commits.
	// +optional
	SigningKey *SigningKey `json:"signingKey,omitempty"`

	// MessageTemplate is a Go template of the commit message. It sees
	// .AutomationObject, .Changed and .Values.
	// +optional
	MessageTemplate string `json:"messageTemplate,omitempty"`

	// MessageTemplateValues are .Values of the template.
	// +optional
	MessageTemplateValues map[string]string `json:"messageTemplateValues,omitempty"`

	// Batch waits for more updates before it commits. There is no wait by default.
	// Sluice extension.
	// +optional
	Batch *CommitBatch `json:"batch,omitempty"`

	// Per says what goes into one commit: all updates of a run (`automation`, the
	// default), or those of one policy (`policy`). Sluice extension.
	// +kubebuilder:validation:Enum=automation;policy
	// +optional
	Per CommitPer `json:"per,omitempty"`
}

// CommitBatch says how long an update may wait for others. Sluice extension.
type CommitBatch struct {
	// Quiet is how long no further update must have come before all are committed.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +required
	Quiet metav1.Duration `json:"quiet"`

	// Max is the longest that an update waits, however many follow. Defaults to
	// ten times quiet.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	Max *metav1.Duration `json:"max,omitempty"`
}

// CommitPer says what goes into one commit. Sluice extension.
type CommitPer string

const (
	// CommitPerAutomation puts all updates of a run into one commit.
	CommitPerAutomation CommitPer = "automation"
	// CommitPerPolicy makes one commit for each policy, in order of their names.
	CommitPerPolicy CommitPer = "policy"
)

// CommitUser is a name and an email address.
type CommitUser struct {
	// Name of the user.
	// +optional
	Name string `json:"name,omitempty"`

	// Email address of the user.
	// +required
	Email string `json:"email"`
}

// SigningKey names the Secret of a key that signs commits.
type SigningKey struct {
	// SecretRef names a Secret in the namespace of the automation: with `git.asc`
	// and perhaps `passphrase` for type `gpg`, with `identity` and perhaps
	// `password` for type `ssh`.
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`

	// Type of the key. Defaults to `gpg`.
	// +optional
	Type SigningKeyType `json:"type,omitempty"`
}

// SigningKeyType is a kind of signing key.
//
// +kubebuilder:validation:Enum=gpg;ssh
type SigningKeyType string

const (
	// SigningKeyTypeGPG is an OpenPGP key.
	SigningKeyTypeGPG SigningKeyType = "gpg"
	// SigningKeyTypeSSH is an SSH key.
	SigningKeyTypeSSH SigningKeyType = "ssh"
)

// PushSpec says where commits go.
type PushSpec struct {
	// Branch to push to. It starts at the checkout's commit if it does not exist.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Refspec to push with as well. Deleting (`:dst`) and forcing (`+src:dst`)
	// are refused.
	// +kubebuilder:validation:Pattern="^$|^[^+:]"
	// +optional
	Refspec string `json:"refspec,omitempty"`

	// Options are sent to the server as Git push options.
	// +optional
	Options map[string]string `json:"options,omitempty"`

	// PullRequest proposes the push branch to the branch that is checked out, which has to
	// be another one. Without it, commits are pushed and nothing else. Sluice extension.
	// +optional
	PullRequest *PullRequestSpec `json:"pullRequest,omitempty"`
}
