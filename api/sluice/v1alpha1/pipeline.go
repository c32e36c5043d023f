// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"cmp"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// PipelineKind is the kind of [Pipeline].
const PipelineKind = "Pipeline"

// PipelineSpec says which artifacts go together through which stages.
//
// +kubebuilder:validation:XValidation:rule="has(self.sourceRef) || self.stages.all(s, has(s.write.tag))",message="sourceRef is required unless every stage writes a tag"
// +kubebuilder:validation:XValidation:rule="self.stages.all(s, !has(s.after) || s.after.stages.all(a, self.stages.exists(o, o.name == a)))",message="stages[].after.stages names a stage that is not in stages: correct the name, or add the stage"
type PipelineSpec struct {
	// Artifacts are what a bundle consists of: one version of each.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +required
	Artifacts []Artifact `json:"artifacts"`

	// Together says which versions may form a bundle. By default the newest of each
	// artifact do, whenever one of them changes.
	// +optional
	Together *Together `json:"together,omitempty"`

	// SourceRef names the GitRepository that stages are written to, unless they name
	// another one, and that has the state branch; it has the address and the credentials.
	// It may be left out if all stages write tags.
	// +optional
	SourceRef *imagev1.CrossNamespaceSourceReference `json:"sourceRef,omitempty"`

	// Commit says who commits. Defaults to Sluice.
	// +optional
	Commit *Commit `json:"commit,omitempty"`

	// Forge says how to reach the API of the Git server, for stages that write pull
	// requests.
	// +optional
	Forge *Forge `json:"forge,omitempty"`

	// Stages, each after those that it names.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +required
	Stages []Stage `json:"stages"`

	// State says where decisions are kept: on the branch `sluice/state/<namespace>.<name>`
	// of the repository (`Branch`, the default if there is a sourceRef), or in the status
	// alone (`None`). Without the object nobody knows then what was in quarantine, verified,
	// soaked, approved, held or rolled back: a Pipeline that is deleted and applied again, or
	// restored into another cluster, begins anew with what its stages have, and may promote
	// a bundle that failed before. What is there is taken over when the field is changed.
	// +kubebuilder:validation:Enum=Branch;None
	// +optional
	State StateCarrier `json:"state,omitempty"`

	// Interval is the longest time between two looks at everything. Changes are acted on
	// at once.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="10m"
	// +optional
	Interval metav1.Duration `json:"interval,omitempty"`

	// Suspend stops the pipeline: nothing is written, merged or rolled back.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// StateCarrier says where decisions are kept.
type StateCarrier string

const (
	// StateBranch keeps decisions on a branch of the repository.
	StateBranch StateCarrier = "Branch"
	// StateNone keeps decisions in the status alone.
	StateNone StateCarrier = "None"
)

// Artifact is a part of a bundle, and where its versions come from.
//
// +kubebuilder:validation:XValidation:rule="has(self.imagePolicyRef) != has(self.ociRepositoryRef)",message="exactly one of imagePolicyRef and ociRepositoryRef is required"
type Artifact struct {
	// Name of the artifact in this pipeline.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
	// +required
	Name string `json:"name"`

	// ImagePolicyRef names the ImagePolicy, in the namespace of the pipeline, whose
	// choice is the newest version.
	// +optional
	ImagePolicyRef *meta.LocalObjectReference `json:"imagePolicyRef,omitempty"`

	// OCIRepositoryRef names the OCIRepository, in the namespace of the pipeline, whose
	// artifact is the newest version.
	// +optional
	OCIRepositoryRef *meta.LocalObjectReference `json:"ociRepositoryRef,omitempty"`
}

// Together says which versions may form a bundle.
type Together struct {
	// SameTag takes only versions that have the same tag.
	// +optional
	SameTag bool `json:"sameTag,omitempty"`

	// WaitFor is how long a new version of one artifact waits for new versions of the
	// others. After that a bundle is formed of what there is, unless sameTag forbids it.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	WaitFor *metav1.Duration `json:"waitFor,omitempty"`
}

// Commit says who commits, and with which key.
type Commit struct {
	// Author of commits, and their committer.
	// +optional
	Author imagev1.CommitUser `json:"author,omitempty"`

	// SigningKey signs commits.
	// +optional
	SigningKey *imagev1.SigningKey `json:"signingKey,omitempty"`
}

// Forge says how to reach the API of a Git server.
type Forge struct {
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

	// SecretRef names a Secret in the namespace of the pipeline with `token`, or the
	// keys of a GitHub App. Defaults to the Secret of the GitRepository.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`
}

// Pipeline takes bundles of artifacts from stage to stage: each stage gets exactly what
// was verified in the stages before it, and is given back what it had if that fails.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=flux"
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:resource:shortName=pl
// +kubebuilder:printcolumn:name="Bundle",type=string,JSONPath=`.status.candidate.versions[*].tag`
// +kubebuilder:printcolumn:name="Stages",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Pipeline struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PipelineSpec `json:"spec,omitempty"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status PipelineStatus `json:"status,omitempty"`
}

// GetConditions returns the conditions of the status.
func (in *Pipeline) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions sets the conditions of the status.
func (in *Pipeline) SetConditions(conditions []metav1.Condition) { in.Status.Conditions = conditions }

// Stage returns the stage of this name, or nil.
func (in *PipelineSpec) Stage(name string) *Stage {
	for i := range in.Stages {
		if in.Stages[i].Name == name {
			return &in.Stages[i]
		}
	}
	return nil
}

// SourceOf is the reference to the repository that a stage is written to: its own, or the
// pipeline's; nil if there is none.
func (in *PipelineSpec) SourceOf(stage *Stage) *imagev1.CrossNamespaceSourceReference {
	if stage.Write.SourceRef != nil {
		return stage.Write.SourceRef
	}
	return in.SourceRef
}

// Sources are the GitRepositories that the pipeline or one of its stages is written to,
// each of them once.
func (in *Pipeline) Sources() []types.NamespacedName {
	refs := []*imagev1.CrossNamespaceSourceReference{in.Spec.SourceRef}
	for i := range in.Spec.Stages {
		refs = append(refs, in.Spec.Stages[i].Write.SourceRef)
	}
	var sources []types.NamespacedName
	for _, ref := range refs {
		if ref == nil {
			continue
		}
		key := types.NamespacedName{Namespace: cmp.Or(ref.Namespace, in.Namespace), Name: ref.Name}
		if !slices.Contains(sources, key) {
			sources = append(sources, key)
		}
	}
	return sources
}

// PipelineList is a list of pipelines.
//
// +kubebuilder:object:root=true
type PipelineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Pipeline `json:"items"`
}
