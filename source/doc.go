// Package source turns a commit into an artifact: a tarball that any client can
// download by the URL and check by the digest in a source's status, as those of
// Flux's source-controller.
//
//	commit in a mirror --View--> files that are not ignored --Store--> tar.gz
//	                              |                                      |
//	                              '------------- Opener <--- HTTP -------'
//
// A [View] is what of a tree belongs into the artifact: ignore rules applied,
// symlinks replaced by what they point at. A [Store] writes it as a tarball,
// copying from the one before what did not change, and serves it. An [Opener]
// gives consumers the files of an artifact: straight from the mirror when this
// process made it, and from the verified download otherwise. Both ways give the
// same hashes, so a consumer cannot tell, and does not care.
package source
