// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// Proposal is the pull request of a stage as it was left.
type Proposal struct {
	Bundle string    `json:"bundle"`
	At     time.Time `json:"at"`
	// Head is the commit that was pushed last.
	Head string `json:"head,omitempty"`
	// Number of the pull request; 0 until it is seen open. After is that of the one before it.
	Number int64 `json:"number,omitempty"`
	After  int64 `json:"after,omitempty"`
	// Base is the branch that it was opened into.
	Base string `json:"base,omitempty"`
	// HandsOff is a head that somebody else pushed, which was commented on.
	HandsOff string `json:"handsOff,omitempty"`
	// Merged is since when it is seen merged, and the content does not have the bundle.
	Merged *time.Time `json:"merged,omitempty"`
	// Kind is Promotion or Rollback.
	Kind sluicev1.LandingKind `json:"kind"`
	// Targets that it is about, if the stage has any: those of a wave.
	Targets []string `json:"targets,omitempty"`
	// Queued is the head that was seen in the merge queue last.
	Queued string `json:"queued,omitempty"`
	// AutoMerge means that the forge was asked to merge it by itself.
	AutoMerge bool `json:"autoMerge,omitempty"`
}

// isOf reports whether a pull request is the one of the proposal. What was opened by a process that
// crashed before it saw that came after the one before.
func (p *Proposal) isOf(pr *pullrequest.PullRequest) bool {
	return p.Number == pr.Number || p.Number == 0 && pr.Number > p.After
}

// Ignored is a bundle whose pull request a person closed.
type Ignored struct {
	Bundle string    `json:"bundle"`
	By     string    `json:"by,omitempty"`
	Number int64     `json:"number,omitempty"`
	At     time.Time `json:"at"`
	// Kind and Targets are those of the proposal, for it may be opened again.
	Kind    sluicev1.LandingKind `json:"kind,omitempty"`
	Targets []string             `json:"targets,omitempty"`
}
