// SPDX-License-Identifier: Apache-2.0

package v1

// Annotations of the events of choices and pushes, for receivers of events that
// do not want to parse messages. Where a commit has several changes the values are
// lists, separated by commas, all in the same order.
const (
	// RevisionAnnotation is what an automation's branch is at, as branch@sha1:commit,
	// what a policy chose, and which set of tags a repository was found to have.
	RevisionAnnotation = "image.toolkit.fluxcd.io/revision"
	// CommitAnnotation is the id of the commit.
	CommitAnnotation = "image.toolkit.fluxcd.io/commit"
	// PolicyAnnotation is the name of the policy.
	PolicyAnnotation = "image.toolkit.fluxcd.io/policy"
	// OldAnnotation is the value or the image before.
	OldAnnotation = "image.toolkit.fluxcd.io/old"
	// NewAnnotation is the value or the image after.
	NewAnnotation = "image.toolkit.fluxcd.io/new"
)
