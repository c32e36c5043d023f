// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-cd/sluice/internal/registry"
)

// TagsOf is a target with all tags of a repository: none is excluded.
func TagsOf(repository name.Repository, timeout time.Duration) Target {
	canonical := repository.String()
	return Target{
		Repository: repository, Timeout: min(timeout, maxTimeout), canonical: canonical, source: repository.Scheme() + "\n" + canonical,
	}
}

// List returns the tags for a request, and waits for them: it is for kinds whose runs may take
// as long as a registry. It shares listings with [Scanner.Scan], but keeps no snapshot.
// The context ends the wait alone, since others may wait for the same listing.
func (s *Scanner) List(ctx context.Context, request Request) (*Snapshot, error) {
	image := request.Target.Image(request.Access)
	id := image.ID()
	for {
		if list := s.store.listing(id); list != nil && s.isRecent(list, request.Within) {
			s.client.count(request.Target, outcomeShared)
			return s.snapshotOf(request.Target, list)
		}
		if err := s.client.registry.Limited(image); err != nil {
			return nil, err
		}
		if list := s.follow(ctx, id, request); list != nil {
			return s.snapshotOf(request.Target, list)
		}
		call, early := s.joinToWait(context.WithoutCancel(ctx), image, request)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("listing tags of %s: %w", request.Target.Repository, registry.ErrTimeout)
		case <-call.task.Done():
		}
		switch list, err := call.task.Result(); {
		case early, call.isPremature(err, request):
		case err != nil:
			return nil, err
		default:
			return s.snapshotOf(request.Target, list)
		}
	}
}

// joinToWait returns the listCall to wait for. It is early if it may have read the tags
// before what the request knows of happened: then another one has to follow.
func (s *Scanner) joinToWait(ctx context.Context, image registry.Image, request Request) (call *listCall, early bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call = s.listCalls[image.ID()][request.Key.Namespace]
	if call == nil {
		return s.start(ctx, image.ID(), s.client.registry.Host(image), request), false
	}
	call.widen(request, s.MaxTags(request.Target))
	return call, request.Within == 0 && call.task.Started()
}

// snapshotOf is all of a listing, for nobody but the caller.
func (s *Scanner) snapshotOf(target Target, list *listing) (*Snapshot, error) {
	if err := s.client.within(target, list); err != nil {
		return nil, err
	}
	return &Snapshot{source: target.source, list: list, count: list.tags.len(), seen: s.store.seen}, nil
}
