// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// recentKey is a repository as one credential sees it.
type recentKey struct {
	repository    types.NamespacedName
	secret        types.NamespacedName
	provider, api string
}

// recentPullRequests remembers, by repository, the pull requests that changed last: pipelines that
// ask for those of the same repository within a moment share one request.
type recentPullRequests = sharedRequests[recentKey, []forge.PullRequest]

// recentKeyOf is the repository of a pipeline as its credential sees it.
func recentKeyOf(p *sluicev1.Pipeline, repo *repository) recentKey {
	key := recentKey{repository: repo.key()}
	if ref := repo.object.Spec.SecretRef; ref != nil {
		key.secret = types.NamespacedName{Namespace: repo.object.Namespace, Name: ref.Name}
	}
	if f := p.Spec.Forge; f != nil {
		key.provider, key.api = f.Provider, f.URL
		if f.SecretRef != nil {
			key.secret = types.NamespacedName{Namespace: p.Namespace, Name: f.SecretRef.Name}
		}
	}
	return key
}

// lastRequestAt is when somebody last asked for a reconcile of the pipeline; its zero value is
// never.
func lastRequestAt(p *sluicev1.Pipeline, now time.Time) time.Time {
	asked, ok := meta.ReconcileAnnotationValue(p.Annotations)
	if !ok {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, asked)
	if err != nil {
		return now
	}
	return at
}

// lastChangeAt is when something last happened after which answers of the forge may differ:
// somebody asked for a reconcile of the pipeline, or a repository got a new commit. Of a time
// without fractions of a second, as Kubernetes writes them, it is the end of that second.
func lastChangeAt(p *sluicev1.Pipeline, repos repositories, now time.Time) time.Time {
	var last time.Time
	later := func(at time.Time) {
		if at.Nanosecond() == 0 && !at.IsZero() {
			at = at.Add(time.Second)
		}
		if at.After(last) {
			last = at
		}
	}
	later(lastRequestAt(p, now))
	for _, repo := range repos {
		if a := repo.object.Status.Artifact; a != nil {
			later(a.LastUpdateTime.Time)
		}
	}
	return last
}
