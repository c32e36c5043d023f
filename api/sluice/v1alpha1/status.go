// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Version is a version of an artifact.
type Version struct {
	// Artifact is its name in the pipeline.
	// +required
	Artifact string `json:"artifact"`
	// Image is the name of the image or OCI repository, without tag and digest.
	// +optional
	Image string `json:"image,omitempty"`
	// Tag of the version.
	// +optional
	Tag string `json:"tag,omitempty"`
	// Digest of the version, if it is known.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// Bundle is one version of each artifact.
type Bundle struct {
	// ID is computed from the versions: the same versions have the same id.
	// +required
	ID string `json:"id"`
	// Versions of the artifacts, in the order of their names.
	// +optional
	Versions []Version `json:"versions,omitempty"`
}

// StagePhase is where a stage stands.
type StagePhase string

const (
	// StageEmpty stages have no bundle that could be read from their content.
	StageEmpty StagePhase = "Empty"
	// StageVerifying stages have a bundle that is not verified yet.
	StageVerifying StagePhase = "Verifying"
	// StageVerified stages have a verified bundle, and want no other.
	StageVerified StagePhase = "Verified"
	// StageWaiting stages want another bundle, and wait for a gate to open.
	StageWaiting StagePhase = "Waiting"
	// StageProposed stages have an open pull request.
	StageProposed StagePhase = "Proposed"
	// StageWriting stages are being written to.
	StageWriting StagePhase = "Writing"
	// StageRollingBack stages are being given back an earlier bundle.
	StageRollingBack StagePhase = "RollingBack"
	// StageFailed stages have a bundle that failed, and nothing to go back to.
	StageFailed StagePhase = "Failed"
	// StageHeld stages are held by a person.
	StageHeld StagePhase = "Held"
)

// Gate is something that a stage waits for.
type Gate struct {
	// Type of the gate, such as Soak, Window, Approval.
	// +required
	Type GateType `json:"type"`
	// Message says what it waits for, and what to do.
	// +required
	Message string `json:"message"`
	// Since when.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Until when, if that is known.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// GateType is what a stage may wait for.
type GateType string

// The gates, in the order in which they are passed.
const (
	// GateState waits for a person to confirm that the pipeline may go on although its
	// state branch is gone.
	GateState GateType = "State"
	// GateUpstream waits for the bundle to be verified in the stages before.
	GateUpstream GateType = "Upstream"
	// GateSoak waits for the bundle to have been there for long enough.
	GateSoak GateType = "Soak"
	// GateVerdict waits for the verdict on the bundle that the stage has.
	GateVerdict GateType = "Verdict"
	// GateHold waits for a person to end a hold.
	GateHold GateType = "Hold"
	// GateApproval waits for people to agree.
	GateApproval GateType = "Approval"
	// GateWindow waits for a window of the stage.
	GateWindow GateType = "Window"
	// GateFreeze waits for the end of a Freeze.
	GateFreeze GateType = "Freeze"
	// GateReview waits for the pull request: its checks, reviews, conflicts or a person
	// to merge it.
	GateReview GateType = "Review"
	// GateContent waits for a person: the stage's content cannot be written or read.
	GateContent GateType = "Content"
)

// PullRequestStatus is the pull request of a stage.
type PullRequestStatus struct {
	// Number of the pull request.
	// +required
	Number int64 `json:"number"`
	// URL for people.
	// +optional
	URL string `json:"url,omitempty"`
	// State is open, merged or closed.
	// +optional
	State string `json:"state,omitempty"`
	// Bundle that it proposes.
	// +optional
	Bundle string `json:"bundle,omitempty"`
	// Frozen says why it is not changed any more, such as that it is approved.
	// +optional
	Frozen string `json:"frozen,omitempty"`
}

// Consent is a person's decision about a bundle in a stage, or about the stage.
type Consent struct {
	// Bundle is the id of the bundle that it is about; empty if it is about the stage.
	// +optional
	Bundle string `json:"bundle,omitempty"`
	// By whom.
	// +required
	By string `json:"by"`
	// At is when.
	// +required
	At metav1.Time `json:"at"`
	// Reason is why.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Until when it is in force; empty is no limit.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// CommandOutcome is what came of a command.
type CommandOutcome string

const (
	// CommandDone commands were carried out.
	CommandDone CommandOutcome = "Done"
	// CommandRefused commands make no sense, as the message says.
	CommandRefused CommandOutcome = "Refused"
	// CommandIgnored commands are not carried out, since the API server does not check who
	// gives them.
	CommandIgnored CommandOutcome = "Ignored"
)

// CommandStatus is what came of the last command of a verb to a stage.
type CommandStatus struct {
	// Verb of the command.
	// +required
	Verb CommandVerb `json:"verb"`
	// At is the time of the command.
	// +required
	At metav1.Time `json:"at"`
	// Outcome is Done, Refused or Ignored.
	// +required
	Outcome CommandOutcome `json:"outcome"`
	// Message says why it was refused or ignored.
	// +optional
	Message string `json:"message,omitempty"`
}

// TargetStatus is where a part of a stage stands.
type TargetStatus struct {
	// Name of the target; empty for a stage without targets.
	// +optional
	Name string `json:"name,omitempty"`
	// Bundle that its content has; empty if that is none.
	// +optional
	Bundle string `json:"bundle,omitempty"`
	// Ready is True, False or Unknown.
	// +optional
	Ready metav1.ConditionStatus `json:"ready,omitempty"`
	// Message says what is missing.
	// +optional
	Message string `json:"message,omitempty"`
}

// StageStatus is where a stage stands.
type StageStatus struct {
	// Name of the stage.
	// +required
	Name string `json:"name"`
	// Phase of the stage.
	// +optional
	Phase StagePhase `json:"phase,omitempty"`
	// Message says where it stands, in a sentence.
	// +optional
	Message string `json:"message,omitempty"`
	// Has is the bundle that the stage's content has.
	// +optional
	Has *Bundle `json:"has,omitempty"`
	// Since when it has it.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Commit in which it got it, and who made that.
	// +optional
	Commit string `json:"commit,omitempty"`
	// By whom.
	// +optional
	By string `json:"by,omitempty"`
	// Verified is when the bundle was verified.
	// +optional
	Verified *metav1.Time `json:"verified,omitempty"`
	// Wants is the bundle that it is to get, if that is another one.
	// +optional
	Wants *Bundle `json:"wants,omitempty"`
	// Waiting are the closed gates in front of it.
	// +optional
	Waiting []Gate `json:"waiting,omitempty"`
	// PullRequest of the stage, if there is one.
	// +optional
	PullRequest *PullRequestStatus `json:"pullRequest,omitempty"`
	// Hold of a person that stops promotions, if there is one.
	// +optional
	Hold *Consent `json:"hold,omitempty"`
	// Approvals of bundles, the newest last, whether they are still needed or not.
	// +optional
	Approvals []Consent `json:"approvals,omitempty"`
	// Overrides are bundles that people opened windows and freezes for, the newest last.
	// +optional
	Overrides []Consent `json:"overrides,omitempty"`
	// Commands are the last ones of each verb, and what came of them.
	// +listType=map
	// +listMapKey=verb
	// +optional
	Commands []CommandStatus `json:"commands,omitempty"`
	// Targets of the stage.
	// +optional
	Targets []TargetStatus `json:"targets,omitempty"`
	// Landings are the last bundles that the stage got, the newest first.
	// +optional
	Landings []Landing `json:"landings,omitempty"`
}

// LandingKind says why a stage got a bundle.
type LandingKind string

const (
	// LandingPromotion is a promotion by the pipeline.
	LandingPromotion LandingKind = "Promotion"
	// LandingRollback is a rollback by the pipeline.
	LandingRollback LandingKind = "Rollback"
	// LandingManual is somebody else's commit.
	LandingManual LandingKind = "Manual"
)

// Landing is a bundle that a stage got.
type Landing struct {
	// Bundle that it got.
	// +required
	Bundle Bundle `json:"bundle"`
	// At is when.
	// +required
	At metav1.Time `json:"at"`
	// Kind says why.
	// +optional
	Kind LandingKind `json:"kind,omitempty"`
	// Commit in which it got it.
	// +optional
	Commit string `json:"commit,omitempty"`
	// By whom.
	// +optional
	By string `json:"by,omitempty"`
	// Verdict is Verified, Failed, Replaced or empty while there is none.
	// +optional
	Verdict string `json:"verdict,omitempty"`
	// Reason of the verdict.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// Quarantine is a bundle that no stage is given any more.
type Quarantine struct {
	// Bundle that is in quarantine.
	// +required
	Bundle Bundle `json:"bundle"`
	// Artifacts whose versions image policies do not choose meanwhile: those that the stage
	// had not been verified with before. Empty is all.
	// +optional
	Artifacts []string `json:"artifacts,omitempty"`
	// Stage in which it failed; empty if a person put it there.
	// +optional
	Stage string `json:"stage,omitempty"`
	// Reason says why.
	// +optional
	Reason string `json:"reason,omitempty"`
	// By whom, if it was a person.
	// +optional
	By string `json:"by,omitempty"`
	// At is since when.
	// +required
	At metav1.Time `json:"at"`
	// Until when; after that a person may promote it. Empty is until it is lifted.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// Overridden means that somebody put it back into a stage by a commit of theirs.
	// +optional
	Overridden bool `json:"overridden,omitempty"`
}

// PipelineStatus is where a pipeline stands.
type PipelineStatus struct {
	meta.ReconcileRequestStatus `json:",inline"`

	// ObservedGeneration is the generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Summary names what each stage has, in a line.
	// +optional
	Summary string `json:"summary,omitempty"`

	// Candidate is the newest bundle.
	// +optional
	Candidate *Bundle `json:"candidate,omitempty"`

	// Stages, in the order of the spec.
	// +listType=map
	// +listMapKey=name
	// +optional
	Stages []StageStatus `json:"stages,omitempty"`

	// Quarantined are the bundles that no stage is given.
	// +optional
	Quarantined []Quarantine `json:"quarantined,omitempty"`

	// StateCommit is the commit of the state branch that the status was made from.
	// +optional
	StateCommit string `json:"stateCommit,omitempty"`

	// StateSerial is how often the state had been written when the status was made from it.
	// A state branch with a smaller serial was taken back to an older commit. Events that are
	// in the state with a greater one were not told yet.
	// +optional
	StateSerial int64 `json:"stateSerial,omitempty"`

	// State has the decisions if spec.state is None: the content of the file that would
	// be on the state branch.
	// +optional
	State string `json:"state,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, and those of [ApprovalsEnforcedCondition],
	// [StateDurableCondition] and [WarningCondition].
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// GetLastHandledReconcileRequest returns the last reconcile request that was handled.
func (in *PipelineStatus) GetLastHandledReconcileRequest() string { return in.LastHandledReconcileAt }
