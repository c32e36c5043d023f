// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/writeback"
)

// commitOfBundle is a commit that writes a bundle to a stage, pushed to a branch.
func commitOfBundle(repo *repository, stage *sluicev1.Stage, fields writeback.ArtifactFields, w promotion.Write) writeback.Request {
	var paths []string
	for _, t := range targetsOf(stage) {
		for _, name := range w.Targets {
			if t.name == name {
				paths = append(paths, t.path)
			}
		}
	}
	branch := branchOf(repo, stage)
	return writeback.Request{
		Remote: repo.remote, Checkout: git.Reference{Branch: branch}, Push: branch,
		Edits:  writeback.BundleEdits{Paths: paths, Fields: fields, Images: imagesOf(w.Bundle)},
		Author: repo.author, Signer: repo.signer,
	}
}

// fixedMessage is the message of a commit, whatever it changes.
func fixedMessage(message string) func(context.Context, writeback.Changed) (string, error) {
	return func(context.Context, writeback.Changed) (string, error) { return message, nil }
}
