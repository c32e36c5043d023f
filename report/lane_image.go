// SPDX-License-Identifier: Apache-2.0

package report

import (
	"path"
	"strings"

	"github.com/sluice-cd/sluice/internal/shorten"
)

// imageOf is the image of the policy among those of a workload, or else the first one.
func (c *chain) imageOf(images []string) string {
	if r := c.repository; r != nil {
		for _, image := range images {
			if c.graph.imageName(image) == c.graph.imageName(r.Spec.Image) {
				return image
			}
		}
	}
	if len(images) > 0 {
		return images[0]
	}
	return ""
}

// coming is the version that is applied, if users have another one.
func (c *chain) coming() string {
	applied := tagOf(c.imageOf(c.target.Images))
	if applied == tagOf(c.imageOf(c.workload.Images)) {
		return ""
	}
	return applied
}

// shortArtifact abbreviates the hash of a revision such as main@sha1:0123..., whose branch or tag says nothing in a lane.
func shortArtifact(revision string) string {
	return shorten.Commit(revision[strings.LastIndexByte(revision, ':')+1:])
}

// tagOf is the tag of an image, or its digest in short, or else its name.
func tagOf(image string) string {
	named, digest, _ := strings.Cut(image, "@")
	base := path.Base(named)
	if _, tag, ok := strings.Cut(base, ":"); ok {
		return tag
	}
	if digest != "" {
		return shortArtifact(digest)
	}
	return base
}
