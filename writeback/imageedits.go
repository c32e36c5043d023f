// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// ImageEdits write the images that policies chose into the fields that have markers.
type ImageEdits struct {
	// Path limits the edits to a directory or a file; "" is everything.
	Path     string
	Policies Policies
	// CommitPerPolicy makes one commit of each policy's changes instead of one of all.
	CommitPerPolicy bool
	// LastChosen are the images that the last run wrote or found written. Of a policy
	// that still chooses the same image, a marker that has another value now and had
	// this one after the last run was changed by somebody else, on purpose.
	LastChosen map[string]edit.Image
}

var _ Edits = ImageEdits{}

// Plan implements [Edits].
func (e ImageEdits) Plan(ctx context.Context, index *Index, files Files) (Planned, error) {
	marked, err := index.Marked(ctx, files, e.Path, e.Policies.Namespace)
	if errors.Is(err, fs.ErrNotExist) && e.Path != "" {
		return Planned{}, fmt.Errorf("%w: there is no such directory or file at the commit; "+
			"correct spec.update.path (%s), which starts at the root of the repository, or push what it names", err, e.Path)
	}
	if err != nil {
		return Planned{}, err
	}
	return index.plan(ctx, files, marked, e.Policies)
}

// Split implements [Edits].
func (e ImageEdits) Split(planned Planned) []Edits {
	if !e.CommitPerPolicy {
		return nil
	}
	var parts []Edits
	for _, policy := range planned.Changed.policies() {
		part := e
		part.Policies = e.Policies.only(policy)
		parts = append(parts, part)
	}
	return parts
}

// WithoutReverted implements [Edits]. A commit whose files cannot be read tells of no
// revert.
func (e ImageEdits) WithoutReverted(ctx context.Context, index *Index, planned Planned, h History) ([]RevertedUpdate, Edits) {
	detector := revertDetector{chosen: e.Policies.images(), last: e.LastChosen, owners: e.Policies.Owners}
	candidates := detector.candidates(planned.Changed)
	if len(candidates) == 0 {
		return nil, e
	}
	files, known := h.Before(ctx)
	if !known {
		return nil, e
	}
	before, err := index.Marked(ctx, files, e.Path, e.Policies.Namespace)
	if err != nil {
		return nil, e // the path was not there
	}
	now, err := index.Marked(ctx, h.Files, e.Path, e.Policies.Namespace)
	if err != nil {
		return nil, e
	}
	policies := detector.reverted(candidates, before, now)
	if len(policies) == 0 {
		return nil, e
	}
	pushed := e.pushedPolicies(ctx, index, detector, h)
	var updates []RevertedUpdate
	for _, policy := range policies {
		update := RevertedUpdate{Policy: policy, Image: e.Policies.Chosen[policy], By: h.Head}
		if pushed[policy] {
			update.Reverted = h.LastPush
		}
		updates = append(updates, update)
	}
	e.Policies = e.Policies.hold(policies)
	return updates, e
}

// pushedPolicies are the policies whose present choice is in the last pushed commit.
func (e ImageEdits) pushedPolicies(ctx context.Context, index *Index, d revertDetector, h History) map[string]bool {
	if h.LastPush == plumbing.ZeroHash {
		return nil
	}
	files, known := h.Pushed()
	if !known {
		return nil
	}
	marked, err := index.Marked(ctx, files, e.Path, e.Policies.Namespace)
	if err != nil {
		return nil
	}
	return d.written(marked)
}
