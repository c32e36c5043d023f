// SPDX-License-Identifier: Apache-2.0

package v1

// ImageRef is an image that a policy chose.
type ImageRef struct {
	// Name of the image, without tag and digest.
	// +required
	Name string `json:"name"`

	// Tag of the image.
	// +required
	Tag string `json:"tag"`

	// Digest that the tag pointed to when it was looked up, or empty.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// String returns the reference as it is written into manifests: name:tag, with
// @digest if there is one.
func (in *ImageRef) String() string {
	ref := in.Name + ":" + in.Tag
	if in.Digest != "" {
		ref += "@" + in.Digest
	}
	return ref
}
