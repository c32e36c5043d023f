// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// connection is how the pipeline reaches the forge of a repository.
func (r *run) connection(repo *repository) forge.Connection {
	c := forge.Connection{
		Field: "spec.forge", Kind: sluicev1.PipelineKind, Object: client.ObjectKeyFromObject(r.pipeline),
		Repository: repo.object, Proxy: repo.remote.Auth.Proxy,
	}
	if f := r.pipeline.Spec.Forge; f != nil {
		c.Provider, c.URL, c.SecretRef = f.Provider, f.URL, f.SecretRef
	}
	return c
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
// the way of another, and unique, for namespaces and stages have no dots.
func stageName(p *sluicev1.Pipeline, stage string) string {
	return branchName(strings.Join([]string{p.Namespace, p.Name, stage}, "."), maxStageName)
}

// branchName is a name as one of a branch: what is too long, or no name of a branch, ends with
// a hash.
func branchName(name string, longest int) string {
	if len(name) <= longest && !strings.HasSuffix(name, ".lock") {
		return name
	}
	hash := fmt.Sprintf("-%x", sha256.Sum256([]byte(name)))[:13]
	return strings.TrimRight(name[:min(len(name), longest-len(hash))], ".-") + hash
}
