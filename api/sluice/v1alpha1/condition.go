// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Conditions of a Pipeline besides Ready, Reconciling and Stalled.
const (
	// ApprovalsEnforcedCondition is False when a stage needs approval, or has been given a
	// command, and the ValidatingAdmissionPolicy that guards the annotations is not
	// installed: then commands in annotations are ignored. It is absent when no stage
	// cares.
	ApprovalsEnforcedCondition = "ApprovalsEnforced"

	// WarningCondition is True while something of an object, of this or another API, is probably a
	// mistake, and works all the same. Ready is True beside it, and its message has the first of the
	// warnings: that is where people look.
	WarningCondition = "Warning"

	// StateDurableCondition is False when decisions are kept in the status alone.
	StateDurableCondition = "StateDurable"
)

// Reasons of the Ready and Stalled conditions. The shared reasons (Succeeded,
// Progressing, AccessDenied, ...) are those of github.com/fluxcd/pkg/apis/meta.
const (
	// InvalidSpecReason means that the spec cannot be used as it is. Terminal.
	InvalidSpecReason = "InvalidSpec"

	// PathInUseReason means that another Pipeline writes the same fields. Terminal, until that one
	// changes.
	PathInUseReason = "PathInUse"

	// GitOperationFailedReason means that fetching or pushing failed.
	GitOperationFailedReason = "GitOperationFailed"

	// ForgeFailedReason means that the API of the Git server failed or refused.
	ForgeFailedReason = "ForgeFailed"

	// RegistryFailedReason means that a tag could not be read or moved.
	RegistryFailedReason = "RegistryFailed"

	// SourceRequestFailedReason means that a source which another controller serves could not be
	// asked to fetch what was written.
	SourceRequestFailedReason = "SourceRequestFailed"

	// StateInvalidReason means that the file on the state branch cannot be read.
	StateInvalidReason = "StateInvalid"

	// StateInStatusReason means that decisions are kept in the status alone.
	StateInStatusReason = "StateInStatus"

	// NoRollbackTargetReason means that a bundle failed, and that there is none before it
	// that was verified.
	NoRollbackTargetReason = "NoRollbackTarget"

	// StageFailedReason means that a stage has a bundle that failed.
	StageFailedReason = "StageFailed"

	// PolicyInstalledReason of ApprovalsEnforced means that the API server guards commands.
	PolicyInstalledReason = "PolicyInstalled"

	// PolicyMissingReason of ApprovalsEnforced means that it does not, and that commands in annotations
	// are ignored until its policy is installed.
	PolicyMissingReason = "PolicyMissing"

	// AppliedElsewhereReason is the reason of the warning about a target whose Kustomizations apply other
	// folders: each is Ready at the commit of a bundle, and nothing says that anybody applies that.
	AppliedElsewhereReason = "AppliedElsewhere"

	// QuarantineOverriddenReason means that somebody put a quarantined bundle back.
	QuarantineOverriddenReason = "QuarantineOverridden"
)

// CommandGivenReason is the reason of the event which says what somebody did at the web page, and why.
const CommandGivenReason = "CommandGiven"
