// SPDX-License-Identifier: Apache-2.0

// Package source turns the files of a source, such as a commit, into an artifact: a
// tarball that any client can download by the URL and check by the digest in the
// source's status, as those of Flux's source-controller.
//
//	files of a source --View--> files that are not ignored --Store--> tar.gz
//	                             |                                      |
//	                             '------------- Opener <--- HTTP -------'
//
// A [Publisher] decides whether the artifact of a source is current, and makes it.
// A [View] is what of a tree belongs into the artifact: ignore rules applied,
// symlinks replaced by what they point at. A [Store] writes it as a tarball,
// copying from the one before what did not change, and serves it. An [Opener]
// gives consumers the files of an artifact: straight from the mirror when this
// process made it, and from the verified download otherwise. Both ways give the
// same hashes, so a consumer cannot tell, and does not care.
package source
