// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// forgejo is another name of the API of Gitea.
const forgejo = "forgejo"

// providerOf is the provider of a repository's forge, as package forge calls it.
func (r *run) providerOf(repo *repository) (string, error) {
	if f := r.pipeline.Spec.Forge; f != nil && f.Provider != "" {
		if f.Provider == forgejo {
			return forge.Gitea, nil
		}
		return f.Provider, nil
	}
	found, err := forge.Detect(repo.object.Spec.URL)
	if err != nil {
		return "", refuse("spec.forge.provider: %w", err)
	}
	return found, nil
}

// openForge connects to the forge of a repository: as the Secret of spec.forge, which is
// the pipeline's own, or else as that of the GitRepository, which admits the pipeline. The
// latter is sent to the host of the repository alone: spec.forge.url needs the former.
func (r *run) openForge(ctx context.Context, repo *repository) (forge.Forge, error) {
	if r.Forges == nil {
		return nil, refuse("spec.stages.write.pullRequest: this process does not speak with forges")
	}
	provider, err := r.providerOf(repo)
	if err != nil {
		return nil, err
	}
	remote := forge.Remote{URL: repo.object.Spec.URL, Provider: provider, Kind: sluicev1.PipelineKind, Name: r.pipeline.Name}
	if f := r.pipeline.Spec.Forge; f != nil && f.URL != "" {
		if remote.API, err = forge.ParseAPI(provider, f.URL); err != nil {
			return nil, refuse("spec.forge.url: %w", err)
		}
	}
	if remote.Secret, err = r.forgeSecret(ctx, repo); err != nil {
		return nil, err
	}
	if proxy := repo.remote.Auth.Proxy; proxy != "" {
		if remote.Proxy, err = url.Parse(proxy); err != nil {
			return nil, refuse("GitRepository %s: its proxy is no URL", repo.key())
		}
	}
	found, err := r.Forges.For(remote)
	if err != nil {
		return nil, forgeError(r.secretField(), err)
	}
	return found, nil
}

// secretField is the field that names the forge's Secret.
func (r *run) secretField() string {
	if f := r.pipeline.Spec.Forge; f != nil && f.SecretRef != nil {
		return "spec.forge.secretRef"
	}
	return "spec.forge.secretRef (the default is the Secret of the GitRepository)"
}

// forgeSecret reads the Secret that the forge is asked with; nil if there is none.
func (r *run) forgeSecret(ctx context.Context, repo *repository) (*corev1.Secret, error) {
	key := client.ObjectKey{Namespace: r.pipeline.Namespace}
	switch f := r.pipeline.Spec.Forge; {
	case f != nil && f.SecretRef != nil:
		key.Name = f.SecretRef.Name
	case repo.object.Spec.SecretRef != nil:
		key = client.ObjectKey{Namespace: repo.object.Namespace, Name: repo.object.Spec.SecretRef.Name}
	default:
		return nil, refuse("spec.forge.secretRef: pull requests need a Secret with a token, and GitRepository %s has none",
			repo.key())
	}
	var secret corev1.Secret
	if err := r.Client.Get(ctx, key, &secret); err != nil {
		return nil, reconciler.WithReason(sluicev1.ForgeFailedReason, fmt.Errorf("%s: reading secret %s: %w", r.secretField(), key, err))
	}
	return &secret, nil
}

// forgeError is an error of a forge that names the field that it is about. One that only a
// person resolves is terminal.
func forgeError(field string, err error) error {
	text := fmt.Errorf("%s: %w", field, err)
	if limited := (*forge.RateLimited)(nil); errors.As(err, &limited) {
		text = fmt.Errorf("%w, which is at %s", text, limited.Until.UTC().Format(time.RFC3339))
	}
	err = reconciler.WithReason(sluicev1.ForgeFailedReason, text)
	if forge.Terminal(err) {
		return reconcile.TerminalError(err)
	}
	return err
}

// atForge does something about the pull request of a stage.
func (r *run) atForge(ctx context.Context, stage string, do func(pulls) (bool, error)) (bool, error) {
	return r.forStage(ctx, stage, func() (bool, error) {
		p, err := r.pulls(ctx, stage)
		var did bool
		if err == nil {
			did, err = do(p)
		}
		if err != nil && p.seen != nil {
			p.seen.stale = true
		}
		return did, err
	})
}

// headBranch is the branch that proposes to a stage.
func headBranch(p *sluicev1.Pipeline, stage *sluicev1.Stage) string {
	prefix := stage.Write.PullRequest.BranchPrefix
	if prefix == "" {
		prefix = defaultPrefix
	}
	return prefix + stageName(p, stage.Name)
}

// statusName is the commit status that shows the gates of a stage.
func statusName(p *sluicev1.Pipeline, stage string) string {
	return defaultPrefix + stageName(p, stage)
}

// defaultPrefix starts the names of branches that propose.
const defaultPrefix = "sluice/"

// maxStageName is the most bytes of the name of a stage at a forge.
const maxStageName = 100

// stageName names the stage of a pipeline at a forge. It is flat, so that no branch is in
// the way of another, and unique, for namespaces and stages have no dots. What is too
// long, or no name of a branch, ends with a hash.
func stageName(p *sluicev1.Pipeline, stage string) string {
	name := strings.Join([]string{p.Namespace, p.Name, stage}, ".")
	if len(name) <= maxStageName && !strings.HasSuffix(name, ".lock") {
		return name
	}
	hash := fmt.Sprintf("-%x", sha256.Sum256([]byte(name)))[:13]
	return strings.TrimRight(name[:min(len(name), maxStageName-len(hash))], ".-") + hash
}
