// SPDX-License-Identifier: Apache-2.0

package report

// Artifact is an artifact of manifests in a registry, as a tag names it.
type Artifact struct {
	// URL names the artifact by its tag, as an OCIRepository does: oci://REPOSITORY:TAG.
	URL string `json:"url"`
	// Digest is the digest of the manifest, as sha256:HEX.
	Digest string `json:"digest"`
	// Source is where the files come from, as whoever pushed them says: the URL of a Git
	// repository.
	Source string `json:"source,omitempty"`
	// Revision is the revision of the source, as BRANCH@sha1:COMMIT.
	Revision string `json:"revision,omitempty"`
	// Created is when the artifact was made, as whoever pushed it says.
	Created string `json:"created,omitempty"`
}

// PushedArtifact is one that was pushed.
type PushedArtifact struct {
	// URL names the artifact by its digest: oci://REPOSITORY@sha256:HEX.
	URL string `json:"url"`
	// Repository is where it is, without tag and digest.
	Repository string `json:"repository"`
	// Tag is the one that names it now.
	Tag string `json:"tag"`
	// Digest is the digest of the manifest, as sha256:HEX.
	Digest string `json:"digest"`
}
