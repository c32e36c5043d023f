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

// bundleOf is the bundle of these versions. One that is known keeps its id, whatever its
// artifacts were called when it got that.
func (s State) bundleOf(versions []sluicev1.Version) sluicev1.Bundle {
	b := NewBundle(versions)
	known, taken := s.Bundle(b.ID)
	if taken && sameVersions(known.Versions, b.Versions) {
		return b
	}
	if i := slices.IndexFunc(s.Bundles, func(k KnownBundle) bool { return sameVersions(k.Versions, b.Versions) }); i >= 0 {
		b.ID = s.Bundles[i].ID
		return b
	}
	if taken { // by tags of another image that the artifact had
		hash := sha256.New()
		for _, v := range b.Versions {
			fmt.Fprintf(hash, "%s\x00%s\x00%s\n", v.Artifact, v.Image, cmp.Or(v.Digest, v.Tag))
		}
		b.ID = hex.EncodeToString(hash.Sum(nil))[:idLength]
	}
	return b
}

// withBundle is the state with a bundle among those that are known. One that was seen first in fields that
// hold tags alone gets the names that others have: it may have to be written where those are.
func (s State) withBundle(b sluicev1.Bundle, now time.Time) State {
	i := slices.IndexFunc(s.Bundles, func(known KnownBundle) bool { return known.ID == b.ID })
	if i < 0 {
		s.Bundles = append(slices.Clip(s.Bundles), KnownBundle{Bundle: b, Seen: now})
		return s
	}
	versions := slices.Clone(s.Bundles[i].Versions)
	for n, has := range versions {
		for _, v := range b.Versions {
			if v.Artifact == has.Artifact {
				versions[n].Image, versions[n].Tag = cmp.Or(has.Image, v.Image), cmp.Or(has.Tag, v.Tag)
			}
		}
	}
	if slices.Equal(versions, s.Bundles[i].Versions) {
		return s
	}
	s.Bundles = slices.Clone(s.Bundles)
	s.Bundles[i].Versions = versions
	return s
}

// identify is the bundle that a content is, false if that is none. If it may be several, because fields hold
// only tags, it is the first of those that are expected.
func (s State) identify(c Content, expected []string, newest map[string]Newest) (sluicev1.Bundle, bool) {
	if c.Problem != "" || len(c.Versions) == 0 {
		return sluicev1.Bundle{}, false
	}
	for _, id := range expected {
		if b, known := s.Bundle(id); known && c.Is(b) {
			return sluicev1.Bundle{ID: id, Versions: c.Versions}, true
		}
	}
	for _, b := range slices.Backward(s.Bundles) {
		if c.Is(b.Bundle) {
			return sluicev1.Bundle{ID: b.ID, Versions: c.Versions}, true
		}
	}
	return s.bundleOf(withImages(c.Versions, newest)), true
}

// withImages are versions with the images of their artifacts, which fields may lack: by its
// image an artifact is recognised after it was renamed.
func withImages(versions []sluicev1.Version, newest map[string]Newest) []sluicev1.Version {
	whole := slices.Clone(versions)
	for i := range whole {
		whole[i].Image = cmp.Or(whole[i].Image, newest[whole[i].Artifact].Image)
	}
	return whole
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
	// Versions are the versions that are there, with the parts that fields hold: of a field
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
		want, ok := counterpart(b.Versions, is)
		if !ok || !agrees(is, want) {
			return false
		}
	}
	return true
}

// Same reports whether two contents say the same.
func (c Content) Same(other Content) bool {
	return c.Problem == "" && other.Problem == "" && len(c.Versions) == len(other.Versions) && c.Is(sluicev1.Bundle{Versions: other.Versions})
}

// counterpart is the version of the same artifact: the one of the same name or, where the
// pipeline renamed it, of the same image.
func counterpart(versions []sluicev1.Version, of sluicev1.Version) (sluicev1.Version, bool) {
	i := slices.IndexFunc(versions, func(v sluicev1.Version) bool { return v.Artifact == of.Artifact })
	if i < 0 {
		i = slices.IndexFunc(versions, func(v sluicev1.Version) bool { return v.Image != "" && v.Image == of.Image })
	}
	if i < 0 {
		return sluicev1.Version{}, false
	}
	return versions[i], true
}

// sameVersion reports whether two versions are the same: the same digest or, where that is
// not known, the same tag of an image. The name of the artifact tells only where the image
// does not, which fields may lack, and registries may be mirrored.
func sameVersion(a, b sluicev1.Version) bool {
	sameImage, sameName := a.Image != "" && a.Image == b.Image, a.Artifact == b.Artifact
	if a.Digest != "" || b.Digest != "" {
		return a.Digest == b.Digest && (sameImage || sameName)
	}
	return a.Tag == b.Tag && (sameImage || sameName && (a.Image == "" || b.Image == ""))
}

// sameVersions reports whether two bundles are of the same versions.
func sameVersions(a, b []sluicev1.Version) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(v sluicev1.Version) bool {
		other, ok := counterpart(b, v)
		return !ok || !sameVersion(v, other)
	})
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
