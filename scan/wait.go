// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-cd/sluice/internal/registry"
)

// TagsOf is the target of whoever wants all tags of a repository: nothing is left out.
func TagsOf(repository name.Repository, timeout time.Duration) Target {
	canonical := repository.String()
	return Target{
		Repository: repository, Timeout: min(timeout, maxTimeout), canonical: canonical, source: repository.Scheme() + "\n" + canonical,
	}
}

// List returns the tags for ask, and waits for them: it is for kinds whose runs may take
// as long as a registry. It shares listings with [Scanner.Scan], but keeps no snapshot.
// The context ends the wait alone, since others may wait for the same listing.
func (s *Scanner) List(ctx context.Context, ask Ask) (*Snapshot, error) {
	image := ask.Target.Image(ask.Access)
	id := image.ID()
	for {
		if list := s.store.listing(id); list != nil && s.isRecent(list, ask.Within) {
			s.client.count(ask.Target, outcomeShared)
			return s.whole(ask.Target, list)
		}
		if err := s.client.registry.Limited(image); err != nil {
			return nil, err
		}
		if list := s.follow(ctx, id, ask); list != nil {
			return s.whole(ask.Target, list)
		}
		f, early := s.joinToWait(context.WithoutCancel(ctx), image, ask)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("listing tags of %s: %w", ask.Target.Repository, registry.ErrTimeout)
		case <-f.ended:
		}
		switch {
		case early, f.isPremature(f.err, ask):
		case f.err != nil:
			return nil, f.err
		default:
			return s.whole(ask.Target, f.list)
		}
	}
}

// joinToWait returns the listCall to wait for. It is early if it may have read the tags
// before what ask knows of happened: then another one has to follow.
func (s *Scanner) joinToWait(ctx context.Context, image registry.Image, ask Ask) (f *listCall, early bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.listCalls[image.ID()][ask.Key.Namespace]
	if f == nil {
		return s.start(ctx, image.ID(), s.client.registry.Host(image), ask), false
	}
	f.widen(ask, s.MaxTags(ask.Target))
	return f, ask.Within == 0 && f.task.Started()
}

// whole is all of a listing, for nobody but the caller.
func (s *Scanner) whole(target Target, list *listing) (*Snapshot, error) {
	if err := s.client.within(target, list); err != nil {
		return nil, err
	}
	return &Snapshot{source: target.source, list: list, count: list.tags.len(), seen: s.store.seen}, nil
}
