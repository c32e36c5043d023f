// SPDX-License-Identifier: Apache-2.0

package v1

// Reasons of the Ready and Stalled conditions of ImageRepository and
// ImagePolicy. The shared reasons (Succeeded, Progressing, Failed,
// AccessDenied, ...) are those of github.com/fluxcd/pkg/apis/meta.
const (
	// ImageURLInvalidReason means: spec.image is not a repository name, for example
	// because it has a scheme or a tag. Terminal.
	ImageURLInvalidReason = "ImageURLInvalid"

	// InvalidExclusionListReason means: an entry of spec.exclusionList is not a
	// regular expression. Terminal. Sluice extension.
	InvalidExclusionListReason = "InvalidExclusionList"

	// InvalidProviderReason means: spec.provider would send the identity of a cloud
	// to somebody else, without encryption, or through a proxy or past an authority of
	// the object's own. Terminal. Sluice extension.
	InvalidProviderReason = "InvalidProvider"

	// DependencyNotReadyReason means: the ImageRepository that a policy refers to does
	// not exist yet or was never scanned.
	DependencyNotReadyReason = "DependencyNotReady"

	// AuthenticationFailedReason means: a Secret is missing or lacks the keys that are
	// needed, or the registry refused the credentials.
	AuthenticationFailedReason = "AuthenticationFailed"

	// ReadOperationFailedReason means: the registry or the tag snapshot could not be
	// read.
	ReadOperationFailedReason = "ReadOperationFailed"

	// IntervalNotConfiguredReason means: digestReflectionPolicy is Always and
	// spec.interval is not set. Terminal.
	IntervalNotConfiguredReason = "IntervalNotConfigured"

	// InvalidPolicyReason means: spec.policy names no policy, or one whose range or
	// pattern cannot be parsed. Terminal.
	InvalidPolicyReason = "InvalidPolicy"

	// ScanBudgetExceededReason means: the registry has more tags than a scan may
	// list. Sluice extension.
	ScanBudgetExceededReason = "ScanBudgetExceeded"

	// ScanBudgetNearlyUsedReason is the reason of the condition ScanBudget. Sluice extension.
	ScanBudgetNearlyUsedReason = "ScanBudgetNearlyUsed"

	// ScanHeldReason means: a scan found so many tags less than the last one that it
	// is not used before a second look. Sluice extension.
	ScanHeldReason = "ScanHeld"

	// VerificationErrorReason means: no tag qualifies, and signatures that are
	// missing or wrong are among the reasons; or spec.verify or a Secret that it
	// names cannot be used. Sluice extension.
	VerificationErrorReason = "VerificationError"
)

// ScanBudgetCondition of an ImageRepository is True while a scan uses more than
// four fifths of what it may. It is absent otherwise. Sluice extension.
const ScanBudgetCondition = "ScanBudget"

// Reasons of the Ready and Stalled conditions of ImageUpdateAutomation.
const (
	// InvalidUpdateStrategyReason means: spec.update.strategy is not Setters. Terminal.
	InvalidUpdateStrategyReason = "InvalidUpdateStrategy"

	// InvalidSourceConfigReason means: spec.git is missing or names no branch to push
	// to, or spec.sourceRef is not a GitRepository. Terminal.
	InvalidSourceConfigReason = "InvalidSourceConfiguration"

	// SourceManagerFailedReason means: the GitRepository or its credentials could not
	// be read.
	SourceManagerFailedReason = "SourceManagerFailed"

	// GitOperationFailedReason means: fetching, committing or pushing failed.
	GitOperationFailedReason = "GitOperationFailed"

	// UpdateFailedReason means: the files of the repository could not be edited.
	UpdateFailedReason = "UpdateFailed"

	// InvalidPolicySelectorReason means: spec.policySelector cannot be parsed. Terminal.
	InvalidPolicySelectorReason = "InvalidPolicySelector"

	// RemovedTemplateFieldReason means: the commit message template uses a field that
	// the API no longer has (.Updated, .Changed.ImageResult). Terminal.
	RemovedTemplateFieldReason = "RemovedTemplateField"
)
