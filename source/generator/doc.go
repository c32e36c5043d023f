// SPDX-License-Identifier: Apache-2.0

// Package generator says which files the artifacts of an ArtifactGenerator have: it knows the
// language of its spec, and decides from lists of paths. What it needs of contents, to merge and
// to extract, it asks [Contents] for.
//
//	spec --Check--> what can mean something
//	     --Expand (directories of a source, if there is a pathPattern)--> outputs
//	output.copy, in order:  from --> paths of a source, without those of exclude
//	                        to   --> where they go; later ones replace earlier ones
//	     --Build--> paths of the artifact, and the hashes of their contents
//
// The copies are those of Flux's source-watcher: a path without a wildcard is copied as cp -r
// does, "dir/**" is what is in dir, and any other pattern keeps the paths that it matches. In
// patterns of from, "**" is one name, as "*" is, unless the strategy is Extract; in those of
// exclude it is any number of directories.
package generator
