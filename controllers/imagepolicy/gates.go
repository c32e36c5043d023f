package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/signature"
	"github.com/sluice-cd/sluice/policy"
)

// found looks the digest up for the gates that are about it. It does not for the
// minimum age, which can often do without.
func (s *search) found(ctx context.Context, c *candidate) (string, error) {
	spec := s.policy.Spec
	if s.aging() || spec.Platform == "" && spec.Verify == nil && !s.compiled.RejectsDigests() {
		return "", nil
	}
	return "", s.digest(ctx, c)
}

// aging reports whether the minimum age counts. It does not for a pin: who pins a
// tag has decided when.
func (s *search) aging() bool {
	min := s.policy.Spec.MinAge
	return min != nil && min.Duration > 0 && s.compiled.Pin() == nil
}

// oldEnough drops what was first seen too short a time ago. The clock belongs to
// the tag with its digest: a tag that is moved is as young as a new one. The last
// choice then stays at the digest that it was made for, if it has one.
func (s *search) oldEnough(ctx context.Context, c *candidate) (string, error) {
	if !s.aging() {
		return "", nil
	}
	if first := s.tags.FirstSeen(c.tag); !first.IsZero() && !s.old(first) && s.Store.Looked(s.tags, c.tag) {
		s.recall(c)
		if c.firstSeen.IsZero() {
			c.firstSeen = first
		}
		return s.tooYoung(c), nil // whatever it points to now
	}
	if err := s.digest(ctx, c); err != nil {
		return "", err
	}
	c.firstSeen = s.Store.SeenIn(s.tags, c.tag, c.digest)
	if s.old(c.firstSeen) {
		return "", nil
	}
	why := s.tooYoung(c)
	if last := s.last(c); last != "" && last != c.digest {
		if seen := s.Store.SeenIn(s.tags, c.tag, last); s.old(seen) {
			c.digest, c.firstSeen, c.kept = last, seen, true
			return "", nil
		}
	}
	return why, nil
}

func (s *search) old(first time.Time) bool {
	return !s.now.Before(first.Add(s.policy.Spec.MinAge.Duration))
}

func (s *search) tooYoung(c *candidate) string {
	at := c.firstSeen.Add(s.policy.Spec.MinAge.Duration)
	sooner(&s.maturity, at)
	return fmt.Sprintf("younger than %s, old enough at %s", s.policy.Spec.MinAge.Duration, timeOf(at).UTC().Format(time.RFC3339))
}

// restore tells the clock what the status remembers, in case that its own memory
// was lost: else every restart would make everything young again.
func (s *search) restore() {
	last := s.policy.Status.LatestRef
	if !s.aging() || s.policy.Status.Decision == nil || last != nil && last.Name != s.from.repo.Spec.Image {
		return
	}
	for _, c := range s.policy.Status.Decision.Candidates {
		if c.FirstSeen != nil && c.Digest != "" {
			s.Store.Restore(s.tags.Image(), c.Tag, c.Digest, c.FirstSeen.Time)
		}
	}
}

// recall copies what the status says of a candidate that is not looked up again,
// so that the status keeps it.
func (s *search) recall(c *candidate) {
	if s.policy.Status.Decision == nil {
		return
	}
	for _, known := range s.policy.Status.Decision.Candidates {
		if known.Tag == c.tag && known.FirstSeen != nil {
			c.digest, c.firstSeen = known.Digest, known.FirstSeen.Time
		}
	}
}

// fits drops images that are not made for the platform. What a digest is made for
// never changes.
func (s *search) fits(ctx context.Context, c *candidate) (string, error) {
	wanted := s.policy.Spec.Platform
	if wanted == "" {
		return "", nil
	}
	if err := s.digest(ctx, c); err != nil {
		return "", err
	}
	had, err := s.platforms(ctx, c.digest)
	switch {
	case err != nil || policy.Fits(wanted, had):
		return "", err
	case len(had) == 0:
		return "made for no platform", nil
	}
	return "made for " + few(had) + " only", nil
}

func (s *search) platforms(ctx context.Context, digest string) ([]string, error) {
	key := imageDigest{s.tags.Image(), digest}
	if had, ok := s.memory().platforms.get(key); ok {
		return had, nil
	}
	access, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	had, err := ask(ctx, s, "platforms of "+digest, func(ctx context.Context) ([]string, error) {
		return s.Registry.Platforms(ctx, s.from.target.Image(access), digest)
	})
	if err == nil {
		s.memory().platforms.put(key, had)
	}
	return had, err
}

// allowed drops digests that spec.reject names.
func (s *search) allowed(ctx context.Context, c *candidate) (string, error) {
	if !s.compiled.RejectsDigests() {
		return "", nil
	}
	if err := s.digest(ctx, c); err != nil {
		return "", err
	}
	if r, ok := s.compiled.RejectsDigest(c.digest); ok {
		return policy.Because(r), nil
	}
	return "", nil
}

// signed drops images without a signature that counts. One that is missing may
// come later: signatures are made after the push. So that verdict is reached again
// after a while.
func (s *search) signed(ctx context.Context, c *candidate) (string, error) {
	if s.policy.Spec.Verify == nil {
		return "", nil
	}
	if err := s.digest(ctx, c); err != nil {
		return "", err
	}
	key, err := s.verdictKey(ctx, c.digest)
	if err != nil {
		return "", err
	}
	known, _ := s.memory().verdicts.get(key)
	if !known.holds(s.now, s.asked) {
		if known, err = s.verify(ctx, c.digest, known); err != nil {
			return "", err
		}
		s.memory().verdicts.put(key, known)
	}
	if known.why != "" {
		sooner(&s.recheck, known.until)
	}
	c.signer = known.signer
	return known.why, nil
}

func (s *search) verify(ctx context.Context, digest string, before verdict) (verdict, error) {
	ref := s.from.target.Repository.Digest(digest)
	evidence, err := ask(ctx, s, "signatures of "+digest+" for "+s.trust.id, func(ctx context.Context) (signature.Evidence, error) {
		verifier, err := s.verifier(ctx)
		if err != nil {
			return signature.Evidence{}, err
		}
		return verifier.Verify(ctx, ref)
	})
	switch {
	case errors.Is(err, signature.ErrUnverified):
		said := strings.Replace(err.Error(), " of "+ref.String(), "", 1) // the candidate is at hand
		return before.again(s.now, short(said)), nil
	case errors.Is(err, background.ErrPending), errors.Is(err, errBound), errors.Is(err, signature.ErrConfig):
		return verdict{}, err
	case err != nil:
		return verdict{}, fmt.Errorf("verifying %s: %w", ref, err)
	}
	return verdict{known: true, signer: evidence.String()}, nil
}
