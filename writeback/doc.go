// Package writeback commits chosen images to Git without a checkout.
//
//	Resolve --> Fetch --> marked files --> edit --> Write --> Push
//	   ^                                                       |
//	   +------------- the branch moved meanwhile --------------+
//
// The commit's tree objects are walked, never its files: an [Index] remembers by
// hash which blobs hold markers and which trees have any below, so that a run
// reads what changed since the last one and nothing else. Edited blobs become a
// commit in the mirror, and the push is a compare-and-swap on the branch. A push
// that loses the race starts again from the new head, where the edit is made
// anew, so neither commit is lost. For that reason a run takes the branch to be where
// the one before it was left, and asks only if that was wrong. Because an edit depends only on the files and
// the images, running it again after a crash finds nothing left to do.
package writeback
