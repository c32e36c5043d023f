// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// Write says how a bundle is written to a stage.
//
// +kubebuilder:validation:XValidation:rule="[has(self.commit), has(self.pullRequest), has(self.tag)].filter(x, x).size() == 1",message="exactly one of commit, pullRequest and tag is required"
// +kubebuilder:validation:XValidation:rule="!has(self.tag) || !has(self.path) && !has(self.branch) && !has(self.setters) && !has(self.sourceRef)",message="sourceRef, path, branch and setters are for stages in Git"
type Write struct {
	// Commit pushes to the branch.
	// +optional
	Commit *WriteCommit `json:"commit,omitempty"`

	// PullRequest opens a pull request against the branch.
	// +optional
	PullRequest *PullRequest `json:"pullRequest,omitempty"`

	// Tag points a tag of a registry at the bundle's artifact: promotion without Git.
	// +optional
	Tag *WriteTag `json:"tag,omitempty"`

	// SourceRef names the GitRepository that the stage is written to, with its own address
	// and credentials. Defaults to the pipeline's, which has the state branch in any case.
	// +optional
	SourceRef *imagev1.CrossNamespaceSourceReference `json:"sourceRef,omitempty"`

	// Path of the stage's files, a directory or a file. In the files below it the fields
	// with a marker of an artifact's ImagePolicy get the version of the bundle.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Path string `json:"path,omitempty"`

	// Branch of the repository. Defaults to the branch of the stage's GitRepository.
	// +kubebuilder:validation:MaxLength=244
	// +optional
	Branch string `json:"branch,omitempty"`

	// Setters are fields without markers that get the version, too.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Setters []Setter `json:"setters,omitempty"`
}

// WriteCommit pushes to a branch.
type WriteCommit struct {
	// MessageTemplate is a Go template of the commit message. It sees .Pipeline (with
	// .Namespace and .Name), .Stage, .Bundle (with .ID and .Versions), .From (a bundle),
	// .Changes (each .Artifact, .From, .To), .Verified (each .Stage, .At, .Commit), .Gates
	// (sentences), .Rollback, .Reason and .By. Lines that say what was decided are added
	// to it.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	MessageTemplate string `json:"messageTemplate,omitempty"`
}

// AutoMerge says who merges a pull request.
type AutoMerge string

const (
	// AutoMergeSelf means that Sluice merges once all is green and every gate is open.
	AutoMergeSelf AutoMerge = "self"
	// AutoMergePlatform means that the forge is asked to merge by itself.
	AutoMergePlatform AutoMerge = "platform"
	// AutoMergeNever means that a person merges.
	AutoMergeNever AutoMerge = "never"
)

// MergeMethod says how a pull request becomes part of its branch.
type MergeMethod string

// The methods of merging. A forge may know, or allow, only some of them.
const (
	MergeMethodMerge       MergeMethod = "merge"
	MergeMethodSquash      MergeMethod = "squash"
	MergeMethodRebase      MergeMethod = "rebase"
	MergeMethodFastForward MergeMethod = "fast-forward"
)

// PullRequest says how pull requests look, and who merges them.
type PullRequest struct {
	// TitleTemplate is a Go template of the title; see messageTemplate of a commit for
	// what it sees.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	TitleTemplate string `json:"titleTemplate,omitempty"`

	// BodyTemplate is a Go template of the text.
	// +kubebuilder:validation:MaxLength=16384
	// +optional
	BodyTemplate string `json:"bodyTemplate,omitempty"`

	// BranchPrefix starts the name of the branch that is proposed, before
	// <namespace>.<pipeline>.<stage>, so that two clusters can share a repository. That of the
	// first stage that has one starts the name of the pipeline's state branch, too.
	// +kubebuilder:validation:Pattern="^[A-Za-z0-9][A-Za-z0-9._/-]{0,48}$"
	// +kubebuilder:default="sluice/"
	// +optional
	BranchPrefix string `json:"branchPrefix,omitempty"`

	// Labels of the pull request.
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

	// Draft keeps the pull request a draft while a gate of the stage is closed.
	// +optional
	Draft bool `json:"draft,omitempty"`

	// AutoMerge is self (the default), platform or never.
	// +kubebuilder:validation:Enum=self;platform;never
	// +kubebuilder:default=self
	// +optional
	AutoMerge AutoMerge `json:"autoMerge,omitempty"`

	// MergeMethod is merge, squash, rebase or fast-forward. Defaults to what the
	// repository allows, in this order.
	// +kubebuilder:validation:Enum=merge;squash;rebase;fast-forward
	// +optional
	MergeMethod MergeMethod `json:"mergeMethod,omitempty"`
}

// WriteTag points a tag at an artifact.
type WriteTag struct {
	// Repository of the tag, such as `ghcr.io/acme/shop-manifests`. If it is another one
	// than the artifact's, the artifact is copied.
	// +kubebuilder:validation:MinLength=1
	// +required
	Repository string `json:"repository"`

	// Tag that is moved.
	// +kubebuilder:validation:Pattern="^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
	// +required
	Tag string `json:"tag"`

	// Artifact that it points at, if the pipeline has several.
	// +optional
	Artifact string `json:"artifact,omitempty"`

	// SecretRef names a Secret of type kubernetes.io/dockerconfigjson in the namespace of
	// the pipeline.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// Insecure allows plain HTTP.
	// +optional
	Insecure bool `json:"insecure,omitempty"`
}

// Setter names a field that gets the version of an artifact. Everything else in the
// file stays as it is.
//
// +kubebuilder:validation:XValidation:rule="[has(self.yaml), has(self.json), has(self.kustomizeImage), has(self.helmValues), has(self.regex)].filter(x, x).size() == 1",message="exactly one of yaml, json, kustomizeImage, helmValues and regex is required"
type Setter struct {
	// Artifact whose version the field gets.
	// +required
	Artifact string `json:"artifact"`

	// File, from the stage's (or target's) path.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +required
	File string `json:"file"`

	// YAML is the path of a field in a YAML file, such as
	// `spec.template.spec.containers[name=app].image`. In a file of several documents it
	// is looked for in the one in which it is found.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	YAML string `json:"yaml,omitempty"`

	// JSON is the path of a field in a JSON file, in the same notation.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	JSON string `json:"json,omitempty"`

	// KustomizeImage is the name of an entry of `images` in a kustomization, whose
	// newName, newTag and digest are set.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	KustomizeImage string `json:"kustomizeImage,omitempty"`

	// HelmValues are paths of the fields of an image in the values of a chart.
	// +optional
	HelmValues *HelmValues `json:"helmValues,omitempty"`

	// Regex is a regular expression with a group named `version`, which is replaced. It
	// has to match exactly once.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Regex string `json:"regex,omitempty"`

	// Part of the image that yaml, json and regex write: `reference` (name:tag@digest),
	// `tag` (the default), `name` or `digest`.
	// +kubebuilder:validation:Enum=reference;tag;name;digest
	// +optional
	Part string `json:"part,omitempty"`
}

// HelmValues are paths of fields in the values of a chart, such as `image.tag`.
type HelmValues struct {
	// Repository is the field of the image's name.
	// +optional
	Repository string `json:"repository,omitempty"`
	// Tag is the field of the tag.
	// +optional
	Tag string `json:"tag,omitempty"`
	// Digest is the field of the digest.
	// +optional
	Digest string `json:"digest,omitempty"`
}
