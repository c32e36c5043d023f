// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// observeRemote reads the credentials, as the GitRepository's own controller does.
func (r *Reconciler) observeRemote(ctx context.Context, repo *sourcev1.GitRepository) (git.Remote, error) {
	remote, err := credential.Read(ctx, r.Client, repo, r.Credentials)
	if err != nil {
		err = fmt.Errorf("GitRepository %s: %w", client.ObjectKeyFromObject(repo), err)
	}
	switch {
	case errors.Is(err, credential.ErrFeatureGate):
		return git.Remote{}, refuse(meta.FeatureGateDisabledReason, "%w", err)
	case errors.Is(err, credential.ErrProvider):
		return git.Remote{}, refuse(imagev1.InvalidSourceConfigReason, "%w", err)
	case err != nil:
		return git.Remote{}, reconciler.WithReason(imagev1.SourceManagerFailedReason, err)
	}
	return remote, nil
}

// host is the Git server that an automation writes to, and the proxy before it; "" if
// that is not known.
func (r *Reconciler) host(ctx context.Context, a *imagev1.ImageUpdateAutomation) string {
	var repo sourcev1.GitRepository
	if err := r.Client.Get(ctx, sourceKey(a), &repo); err != nil {
		return "" // the run will say so
	}
	return credential.Route(&repo)
}
