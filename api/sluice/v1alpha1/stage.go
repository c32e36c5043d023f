// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Stage is an environment: what it is given and when, and how it is judged.
type Stage struct {
	// Name of the stage.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
	// +required
	Name string `json:"name"`

	// After says which stages a bundle has to pass before. A stage without it is given
	// each new bundle.
	// +optional
	After *After `json:"after,omitempty"`

	// Write says how a bundle is written to the stage.
	// +required
	Write Write `json:"write"`

	// Targets are the parts of the stage, such as clusters or regions, that are given a
	// bundle one wave after the other. A stage without them has one part.
	// +kubebuilder:validation:MaxItems=100
	// +listType=map
	// +listMapKey=name
	// +optional
	Targets []Target `json:"targets,omitempty"`

	// Ready are objects that have to be Ready with the values of the bundle. With
	// targets they are looked for in each target's cluster.
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Ready []ReadyReference `json:"ready,omitempty"`

	// Verify are proofs that a bundle works in this stage, all of which it needs.
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Verify []Verification `json:"verify,omitempty"`

	// VerifyTimeout is how long a bundle may take from the moment it is written to the
	// stage until it is verified; then it failed.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="30m"
	// +optional
	VerifyTimeout metav1.Duration `json:"verifyTimeout,omitempty"`

	// Windows are the times when the stage may be written to. Deny wins over Allow. With
	// no Allow window it may be at all other times.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Windows []Window `json:"windows,omitempty"`

	// Approval says who has to agree before a bundle is written to the stage.
	// +optional
	Approval *Approval `json:"approval,omitempty"`

	// OnFailure says what happens when a bundle fails in the stage.
	// +kubebuilder:default={}
	// +optional
	OnFailure OnFailure `json:"onFailure,omitempty"`
}

// Paths are the directories or files that the stage is written to, one of each part.
func (in *Stage) Paths() []string {
	if len(in.Targets) == 0 {
		return []string{in.Write.Path}
	}
	var paths []string
	for i := range in.Targets {
		paths = append(paths, in.PathOf(&in.Targets[i]))
	}
	return paths
}

// PathOf is the directory or file of a target: its own, or else that of the stage.
func (in *Stage) PathOf(t *Target) string {
	if t.Path != "" {
		return t.Path
	}
	return in.Write.Path
}

// AfterPolicy says how many of the stages a bundle has to pass.
type AfterPolicy string

const (
	// AfterAll means that a bundle has to pass all the stages.
	AfterAll AfterPolicy = "All"
	// AfterAny means that one of them is enough.
	AfterAny AfterPolicy = "Any"
)

// After says which stages a bundle has to pass before.
type After struct {
	// Stages that a bundle has to be verified in.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	// +required
	Stages []string `json:"stages"`

	// Policy is All (the default) or Any.
	// +kubebuilder:validation:Enum=All;Any
	// +kubebuilder:default=All
	// +optional
	Policy AfterPolicy `json:"policy,omitempty"`

	// Soak is for how long, in total, a bundle has to have been in such a stage, verified
	// and Ready.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	Soak *metav1.Duration `json:"soak,omitempty"`
}

// Target is a part of a stage.
type Target struct {
	// Name of the target.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
	// +required
	Name string `json:"name"`

	// Wave is the order of targets: those of a wave are written to together, once all of
	// the waves before are verified. The first target that fails stops the stage.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Wave int32 `json:"wave,omitempty"`

	// Path of the target's files, in the place of the stage's.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Path string `json:"path,omitempty"`

	// Tag of the target, in the place of the stage's, if the stage writes tags.
	// +optional
	Tag string `json:"tag,omitempty"`

	// KubeConfig of the cluster that has the target's objects. Defaults to the one that
	// has the pipeline.
	// +optional
	KubeConfig *meta.KubeConfigReference `json:"kubeConfig,omitempty"`

	// Ready are the target's objects, in the place of the stage's.
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Ready []ReadyReference `json:"ready,omitempty"`
}

// ReadyReference names an object that has to be Ready.
type ReadyReference struct {
	// APIVersion of the object. Defaults to the one that Sluice knows of the kinds
	// Kustomization, HelmRelease, Application (of Argo CD) and Canary; others need it.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the object.
	// +required
	Kind string `json:"kind"`

	// Name of the object.
	// +required
	Name string `json:"name"`

	// Namespace of the object. Defaults to that of the pipeline, which is the only one
	// allowed where cross-namespace references are not.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// KubeConfig of the cluster that has the object. Defaults to that of the target.
	// +optional
	KubeConfig *meta.KubeConfigReference `json:"kubeConfig,omitempty"`
}

// Verification is a proof that a bundle works.
//
// +kubebuilder:validation:XValidation:rule="[has(self.canary), has(self.job), has(self.metrics)].filter(x, x).size() == 1",message="exactly one of canary, job and metrics is required"
type Verification struct {
	// Name of the verification, in messages. Defaults to what it is.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Name string `json:"name,omitempty"`

	// Canary has to have succeeded with the images of the bundle. It may be Sluice's own
	// or Flagger's.
	// +optional
	Canary *CanaryVerification `json:"canary,omitempty"`

	// Job is run once for each bundle that is Ready in the stage, and has to complete.
	// +optional
	Job *JobVerification `json:"job,omitempty"`

	// Metrics have to be within their ranges for as long as they are looked at.
	// +optional
	Metrics *MetricsVerification `json:"metrics,omitempty"`
}

// CanaryVerification names a Canary.
type CanaryVerification struct {
	// Name of the Canary.
	// +required
	Name string `json:"name"`

	// Namespace of the Canary. Defaults to that of the pipeline.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// KubeConfig of the cluster that has the Canary. Defaults to that of the target.
	// +optional
	KubeConfig *meta.KubeConfigReference `json:"kubeConfig,omitempty"`
}

// JobVerification is a Job that proves a bundle.
type JobVerification struct {
	// Template of the Job: its labels and annotations in metadata, and its spec. It is created in the namespace of the pipeline; environment
	// variables SLUICE_PIPELINE, SLUICE_STAGE, SLUICE_TARGET, SLUICE_BUNDLE and, for each
	// artifact, SLUICE_VERSION_<ARTIFACT> are added to its containers.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +required
	Template runtime.RawExtension `json:"template"`
}

// MetricsVerification looks at metrics for a while.
type MetricsVerification struct {
	// Checks are the metrics, as a Canary has them: with a thresholdRange and a
	// templateRef or a query. There are no builtin checks, which compare a canary.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +required
	Checks []flaggerv1.CanaryMetric `json:"checks"`

	// For is how long they are looked at, one look in each interval.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="5m"
	// +optional
	For metav1.Duration `json:"for,omitempty"`

	// Interval between two looks.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="30s"
	// +optional
	Interval metav1.Duration `json:"interval,omitempty"`

	// Failures is how many looks may find a metric out of its range. A look without an
	// answer, such as of a server that is away, is none.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Failures int32 `json:"failures,omitempty"`
}

// Approval says who has to agree.
type Approval struct {
	// Required means that a bundle waits for an approval.
	// +kubebuilder:default=true
	// +optional
	Required *bool `json:"required,omitempty"`

	// MinApprovals is how many people have to agree.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	// +kubebuilder:default=1
	// +optional
	MinApprovals int32 `json:"minApprovals,omitempty"`

	// ValidFor is how long an approval stands until the bundle is written. Defaults to
	// no limit.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	ValidFor *metav1.Duration `json:"validFor,omitempty"`
}

// RollbackMode says how a stage is given back what it had.
type RollbackMode string

const (
	// RollbackByWrite writes as the stage is written otherwise.
	RollbackByWrite RollbackMode = "Write"
	// RollbackByCommit commits to the branch even if the stage takes pull requests.
	RollbackByCommit RollbackMode = "Commit"
)

// OnFailure says what happens when a bundle fails in a stage. It is quarantined in
// either case: no stage is given it any more.
type OnFailure struct {
	// Rollback gives the stage back the newest bundle that was verified in it.
	// +kubebuilder:default=true
	// +optional
	Rollback *bool `json:"rollback,omitempty"`

	// Mode is Write (the default), the way in which the stage is written otherwise, or
	// Commit, past pull requests.
	// +kubebuilder:validation:Enum=Write;Commit
	// +kubebuilder:default=Write
	// +optional
	Mode RollbackMode `json:"mode,omitempty"`

	// Quarantine is after which time a person may promote the bundle again without
	// lifting its quarantine. It is never promoted again by itself. Defaults to no time.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	Quarantine *metav1.Duration `json:"quarantine,omitempty"`
}
