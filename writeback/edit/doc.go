// SPDX-License-Identifier: Apache-2.0

// Package edit writes chosen images into YAML without touching anything else.
//
// A field is marked by a comment on its line, a JSON object that names an
// image policy and, optionally, which part of the image the field holds:
//
//	image: ghcr.io/acme/app:1.4.2 # {"$imagepolicy": "apps:acme"}
//	newTag: 1.4.2                 # {"$imagepolicy": "apps:acme:tag"}
//
// Formatting a file anew would lose blank lines, quotes, line endings and, in
// a Helm template, meaning. So the file is never re-emitted: a scanner finds
// the bytes of the one scalar on the marked line, and those bytes alone are
// replaced, in the quoting style they had. The scanner reads one line at a
// time and is deliberately simple; where the document is valid YAML, a real
// parser has to agree with it, before the edit (a scalar of this value starts
// here) and after it (this scalar changed, nothing else did). Where it is not,
// as in a Helm template, only lines that can be read in one way are edited.
//
// Where a marker is not on the line of its value, the parser says which value it is
// the comment of, and the lines where that one's bytes are.
//
// A literal block scalar that holds YAML, as a patch in a kustomization does, is
// read like a file of its own. In a folded one a comment is text, so it is left
// alone. What a parser costs is bounded: see [MaxSize] and [MaxDocument].
//
// A [Field] has no marker: its file is YAML, JSON or any text, and a path or a regular
// expression says where it is. It is written by the same rules.
//
// Every marker is accounted for: it is set, it is up to date already, or there
// is a Reason why it was left alone.
package edit
