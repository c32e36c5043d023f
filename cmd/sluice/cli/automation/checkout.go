// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"context"
	"fmt"
	"os"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback"
)

// checkOutFiles fetches the commit that an automation reads, as its controller does:
// with the credentials of the GitRepository, which the user needs the right to read.
// The returned function removes the mirror.
func checkOutFiles(cmd *cobra.Command, c client.Client, a *imagev1.ImageUpdateAutomation) (writeback.Files, string, func(), error) {
	key := sourceKey(a)
	var repo sourcev1.GitRepository
	if err := cluster.Get(cmd.Context(), c, key, &repo); err != nil {
		return nil, "", nil, fmt.Errorf("spec.sourceRef: %w", err)
	}
	remote, err := credential.Read(cmd.Context(), c, &repo, credential.Options{Client: c})
	if apierrors.IsForbidden(err) {
		return nil, "", nil, fmt.Errorf(
			"GitRepository %s: %w\nyou may not read the credentials of the repository: use a local checkout with --dir PATH",
			key, err,
		)
	}
	if err != nil {
		return nil, "", nil, fmt.Errorf("GitRepository %s: %w", key, err)
	}
	dir, err := os.MkdirTemp("", "sluice-")
	if err != nil {
		return nil, "", nil, fmt.Errorf("making a folder to fetch into: %w", err)
	}
	remove := func() { _ = os.RemoveAll(dir) }
	var files tree.Tree
	var revision string
	err = output.Await(cmd, "fetching "+remote.String(), func() error {
		files, revision, err = checkout(cmd.Context(), git.NewMirrors(dir, clock.RealClock{}), remote, referenceOf(a, &repo))
		return err
	})
	if err != nil {
		remove()
		return nil, "", nil, fmt.Errorf("GitRepository %s: %w\nto read a local checkout instead, use --dir PATH",
			key, credential.Advise(&repo, err))
	}
	return files, revision, remove, nil
}

// referenceOf is what the automation checks out.
func referenceOf(a *imagev1.ImageUpdateAutomation, repo *sourcev1.GitRepository) git.Reference {
	if a.Spec.GitSpec != nil && a.Spec.GitSpec.Checkout != nil {
		return git.Reference(a.Spec.GitSpec.Checkout.Reference)
	}
	if repo.Spec.Reference != nil {
		return git.Reference(*repo.Spec.Reference)
	}
	return git.Reference{}
}

// checkout fetches one commit and opens its tree.
func checkout(ctx context.Context, mirrors *git.Mirrors, remote git.Remote, ref git.Reference) (tree.Tree, string, error) {
	mirror, err := mirrors.Get(ctx, remote)
	if err != nil {
		return nil, "", err
	}
	selected, err := mirror.Select(ctx, ref)
	if err != nil {
		return nil, "", err
	}
	if err := mirror.Fetch(ctx, selected.Ref, selected.Commit); err != nil {
		return nil, "", err
	}
	files, err := mirror.Tree(selected.Commit)
	return files, selected.Revision(), err
}
