// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// idLength is how many hexadecimal digits of its hash a bundle is called by.
const idLength = 12

// NewBundle returns the bundle of these versions. Its id is a hash of the artifacts with
// their digests, or the tags of those without: the same versions are the same bundle.
func NewBundle(versions []sluicev1.Version) sluicev1.Bundle {
	sorted := slices.SortedFunc(slices.Values(versions), func(a, b sluicev1.Version) int { return cmp.Compare(a.Artifact, b.Artifact) })
	hash := sha256.New()
	for _, v := range sorted {
		fmt.Fprintf(hash, "%s\x00%s\n", v.Artifact, cmp.Or(v.Digest, v.Tag))
	}
	return sluicev1.Bundle{ID: hex.EncodeToString(hash.Sum(nil))[:idLength], Versions: sorted}
}

// Describe names a bundle for people: `api 1.4.2, web 1.4.2`.
func Describe(b sluicev1.Bundle) string {
	parts := make([]string, 0, len(b.Versions))
	for _, v := range b.Versions {
		parts = append(parts, v.Artifact+" "+cmp.Or(v.Tag, v.Digest, "?"))
	}
	if len(parts) == 0 {
		return b.ID
	}
	return strings.Join(parts, ", ")
}

// Content is what the files of a target, or its tag, say.
type Content struct {
	// Versions are those that are there, with the parts that fields hold: of a field
	// that holds a tag, the tag alone. An artifact that no field is about has no entry.
	Versions []sluicev1.Version
	// Problem says why the content cannot be read, such as that two fields of an artifact
	// disagree; empty is no problem.
	Problem string
}

// Is reports whether the content is that of a bundle: all parts that fields hold are
// those of the bundle.
func (c Content) Is(b sluicev1.Bundle) bool {
	if c.Problem != "" || len(c.Versions) == 0 {
		return false
	}
	for _, is := range c.Versions {
		i := slices.IndexFunc(b.Versions, func(v sluicev1.Version) bool { return v.Artifact == is.Artifact })
		if i < 0 || !agrees(is, b.Versions[i]) {
			return false
		}
	}
	return true
}

// Same reports whether two contents say the same.
func (c Content) Same(other Content) bool {
	return c.Problem == "" && other.Problem == "" && len(c.Versions) == len(other.Versions) && c.Is(sluicev1.Bundle{Versions: other.Versions})
}

// agrees reports whether no part of is differs from that of want.
func agrees(is, want sluicev1.Version) bool {
	differs := func(a, b string) bool { return a != "" && b != "" && a != b }
	return !differs(is.Image, want.Image) && !differs(is.Tag, want.Tag) && !differs(is.Digest, want.Digest)
}

// KnownBundle is a bundle and when it was first seen.
type KnownBundle struct {
	sluicev1.Bundle `json:",inline"`
	Seen            time.Time `json:"seen"`
}
