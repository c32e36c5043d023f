// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
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

// gitSources has GitRepositories fetch what was pushed to them.
type gitSources struct {
	// served says that they are served by this process, where waker wakes them. Those that
	// somebody else serves are asked for a reconcile through the client.
	served bool
	waker  Waker
	client client.Client
	clock  clock.PassiveClock
}

func (s gitSources) fetch(ctx context.Context, repo *repository) error {
	key := repo.key()
	if s.served {
		s.waker.Wake(key)
		return nil
	}
	object := &metav1.PartialObjectMetadata{}
	object.APIVersion, object.Kind = "source.toolkit.fluxcd.io/v1", "GitRepository"
	object.Namespace, object.Name = key.Namespace, key.Name
	return reconciler.Request(ctx, s.client, object, s.clock.Now())
}
