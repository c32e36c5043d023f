// SPDX-License-Identifier: Apache-2.0

package v1beta3

// Reasons of the Ready and Stalled conditions. The shared reasons (Succeeded, Failed,
// InvalidCELExpression) are those of github.com/fluxcd/pkg/apis/meta.
const (
	// ValidationFailedReason means: the spec cannot work as it is, and names the field.
	// Terminal.
	ValidationFailedReason = "ValidationFailed"

	// SecretFailedReason means: a Secret that the Provider names is missing, or lacks a
	// key that its type needs.
	SecretFailedReason = "SecretFailed"

	// ProviderNotFoundReason means: there is no Provider of the name that the Alert has.
	ProviderNotFoundReason = "ProviderNotFound"

	// DispatchFailedReason is the reason of events about messages that were not delivered; the
	// name is Flux's.
	DispatchFailedReason = "NotificationDispatchFailed"

	// MetadataConflictReason is the reason of events about keys of metadata that two sources
	// set; the name is Flux's.
	MetadataConflictReason = "MetadataAppendFailed"

	// SourceFailedReason is the reason of events about objects whose labels could not be read;
	// the name is Flux's.
	SourceFailedReason = "SourceFetchFailed"
)

// WarningKey is the metadata of an event of severity info about what works, and is
// probably a mistake: "true". Commit statuses pass over it.
const WarningKey = "event.toolkit.fluxcd.io/warning"
