// SPDX-License-Identifier: Apache-2.0

// Package writeback commits edits to Git without a checkout: above all, the images
// that image policies chose.
//
//	list refs --> fetch --> plan edits --> write --> push
//	   ^                                              |
//	   +---------- the branch moved meanwhile --------+
//
// The tree objects of a commit are walked, never its files: an [Index] remembers by
// hash which blobs hold markers and which trees have any below, so that a run reads
// what changed since the last one and nothing else. Edited blobs become a commit in
// the mirror, and the push is a compare-and-swap on the branch. A push that loses the
// race starts again from the new head, where the edits are made anew, so that neither
// commit is lost. For that reason a run may take the branch to be where the last one
// left it, and lists the refs only if that proves wrong.
//
// What is edited is up to [Edits]; [ImageEdits] set the fields with image policy
// markers. Edits depend on the files alone: a run that is repeated after a crash finds
// nothing left to do.
//
// Three things outlive a run, in the [Writer]: the index and the last heads of
// branches, both bounded in bytes, and the listed refs of remotes for as long as runs
// overlap. A restart loses all three and costs each branch one round trip and one walk.
package writeback
