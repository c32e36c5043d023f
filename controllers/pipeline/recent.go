// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// shareRecent is for how long pipelines share a list of what changed last. What happens in
// that time, and is told by nobody, is seen within an interval.
const shareRecent = 10 * time.Second

// recentKey is a repository as one credential sees it.
type recentKey struct {
	repository    types.NamespacedName
	secret        types.NamespacedName
	provider, api string
}

// recents are the pull requests that changed last, for the pipelines on a repository, which
// are woken together: one request for all of them. A restart loses nothing. Entries go when
// they are too old to be shared.
type recents struct {
	mu    sync.Mutex
	lists map[recentKey]*recentList
}

// recentList is asked for by one pipeline at a time; others wait for its answer.
type recentList struct {
	mu    sync.Mutex
	at    time.Time // before it was asked for
	pulls []forge.PullRequest
}

// of is a list that was asked for after a time, or else it is asked for now.
func (r *recents) of(
	ctx context.Context, key recentKey, since, now time.Time, ask func(context.Context) ([]forge.PullRequest, error),
) ([]forge.PullRequest, error) {
	l := r.list(key, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() && !l.at.Before(since) && now.Sub(l.at) <= shareRecent {
		return l.pulls, nil
	}
	pulls, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	l.at, l.pulls = now, append([]forge.PullRequest{}, pulls...)
	return l.pulls, nil
}

// list is the entry of a key. Those that nobody can share any more are dropped.
func (r *recents) list(key recentKey, now time.Time) *recentList {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, l := range r.lists {
		if other != key && l.mu.TryLock() {
			if now.Sub(l.at) > shareRecent {
				delete(r.lists, other)
			}
			l.mu.Unlock()
		}
	}
	if r.lists[key] == nil {
		if r.lists == nil {
			r.lists = map[recentKey]*recentList{}
		}
		r.lists[key] = &recentList{at: time.Time{}}
	}
	return r.lists[key]
}

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

// happenedAt is when something happened that may be news at the forge: somebody asked for a
// reconcile of the pipeline, or a repository moved. Times of Kubernetes have no fractions: it
// was within the second.
func happenedAt(p *sluicev1.Pipeline, repos repositories, now time.Time) time.Time {
	var last time.Time
	later := func(at time.Time) {
		if at.Nanosecond() == 0 && !at.IsZero() {
			at = at.Add(time.Second)
		}
		if at.After(last) {
			last = at
		}
	}
	if asked, ok := meta.ReconcileAnnotationValue(p.Annotations); ok {
		at, err := time.Parse(time.RFC3339Nano, asked)
		if err != nil {
			at = now
		}
		later(at)
	}
	for _, repo := range repos {
		if a := repo.object.Status.Artifact; a != nil {
			later(a.LastUpdateTime.Time)
		}
	}
	return last
}
