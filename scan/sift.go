package scan

import (
	"context"
	"fmt"

	"github.com/sluice-cd/sluice/internal/background"
)

// sifters is how many objects have their exclusions applied at once outside of the
// workers, one of each namespace.
const sifters = 4

// sift applies an object's exclusions to a list where that takes long: some
// expressions take seconds for many tags, which no worker has.
type sift struct {
	source   string
	done     bool
	snapshot *Snapshot
	err      error
}

// sift starts one, unless one is under way for the same exclusions.
func (s *Scanner) sift(ctx context.Context, ask Ask, list *listing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.sifts[ask.Key]; known != nil && known.source == ask.Target.source {
		return
	}
	started := &sift{source: ask.Target.source}
	s.sifts[ask.Key] = started
	go func() {
		snapshot, err := s.exclude(ctx, ask, list)
		s.mu.Lock()
		started.done, started.snapshot, started.err = true, snapshot, err
		wanted, done := s.sifts[ask.Key] == started, s.done
		s.mu.Unlock()
		if !wanted {
			return
		}
		for _, tell := range done {
			tell(ask.Key)
		}
	}()
}

func (s *Scanner) exclude(ctx context.Context, ask Ask, list *listing) (snapshot *Snapshot, err error) {
	err = background.Try(ctx, func() error {
		if err := s.sifters.take(ctx, ask.Key.Namespace); err != nil {
			return err
		}
		defer s.sifters.give(ask.Key.Namespace)
		snapshot = newSnapshot(ask.Target, list, nil)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("applying spec.exclusionList to the tags of %s: %w", ask.Target.Repository, err)
	}
	return snapshot, nil
}

// sifted takes what a sift came to, if it is what the object wants.
func (s *Scanner) sifted(ask Ask) *sift {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.sifts[ask.Key]
	if known == nil || !known.done {
		return nil
	}
	delete(s.sifts, ask.Key)
	if known.source != ask.Target.source {
		return nil
	}
	return known
}
