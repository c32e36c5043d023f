package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/scan"
)

const (
	// lookUps bounds the candidates that one run asks a registry about, so that
	// a worker is not held for long. The next run, a moment later, goes on.
	lookUps = 20
	// pause is that moment.
	pause = time.Second
	// firstReach is the number of candidates that are ranked at first. Only when
	// all are dropped, more are: ten times as many, up to maxReach.
	firstReach, maxReach = 25, 2500
)

// errBound ends a run that has used up its look-ups.
var errBound = errors.New("the look-ups of this run are used up")

// search looks for the best tag that passes every gate. It is one run's; what
// must outlive it is in the Reconciler's memory.
type search struct {
	*Reconciler
	policy   *imagev1.ImagePolicy
	compiled *policy.Policy
	from     source
	tags     *scan.Snapshot
	now      time.Time
	work     int64 // of one look at all tags, see package pattern

	access  *registry.Access
	trust   *trust
	asked   time.Time         // when somebody asked for this search, zero if nobody did
	left    int               // look-ups that this run may still do
	digests map[string]string // of tags, by runs of one search

	decision policy.Decision
	looked   []*candidate // best first
	listed   []policy.Ranked
	chosen   *candidate
	bound    bool // the run ended before it had looked at all it could
	pending  bool // it did because a look-up goes on outside of the workers
	// surveying says that it is the look at all tags that does.
	surveying bool
	maturity  time.Time
	recheck   time.Time
}

// candidate is a tag that a policy could choose, and what is known of it.
type candidate struct {
	tag, digest string
	kept        bool // digest is that of the last choice, and not looked up
	lost        bool // that digest is gone
	firstSeen   time.Time
	signer      string
	dropped     string
	gate        policy.Gate // that dropped it
}

// gates has the lazy gates; [policy.LazyGates] says in which order they are asked.
// Each says why it drops the candidate, or nothing.
var gates = map[policy.Gate]func(*search, context.Context, *candidate) (string, error){
	policy.GateFound:        (*search).found,
	policy.GateMinAge:       (*search).oldEnough,
	policy.GatePlatform:     (*search).fits,
	policy.GateRejectDigest: (*search).allowed,
	policy.GateVerify:       (*search).signed,
}

// run searches. An error other than that of the bound is the registry's or a
// Secret's, and says nothing about the tags.
func (s *search) run(ctx context.Context) error {
	for reach := firstReach; ; reach *= 10 {
		ranked, decision, err := s.survey(ctx, reach)
		if errors.Is(err, background.ErrPending) {
			s.bound, s.pending, s.surveying = true, true, true
			return nil
		}
		if err != nil {
			return err
		}
		if len(s.looked) == 0 {
			s.decision = decision
		}
		s.listed = ranked
		err = s.walk(ctx, ranked[len(s.looked):])
		if errors.Is(err, errBound) || errors.Is(err, background.ErrPending) {
			s.bound, s.pending = true, errors.Is(err, background.ErrPending)
			return nil
		}
		if err != nil || s.chosen != nil || len(ranked) < reach || reach >= maxReach {
			return err
		}
	}
}

// walk looks at candidates until one passes.
func (s *search) walk(ctx context.Context, ranked []policy.Ranked) error {
	for _, r := range ranked {
		c := &candidate{tag: strings.Clone(r.Tag)}
		gate, err := s.look(ctx, c)
		if err == nil && gate == "" {
			err = s.reflect(ctx, c)
		}
		if err != nil {
			return err
		}
		c.gate = gate
		s.looked = append(s.looked, c)
		if gate == "" {
			s.chosen, s.decision.Tag, s.decision.Text = c, c.tag, r.Text
			return nil
		}
		s.decision.Drop(gate, c.tag)
	}
	return nil
}

// look leads a candidate through the lazy gates and returns the first that drops
// it. What the registry does not find was deleted after the scan. A digest that
// the last choice was held to may be gone while the tag has another.
func (s *search) look(ctx context.Context, c *candidate) (policy.Gate, error) {
	gate, err := s.ask(ctx, c)
	if errors.Is(err, registry.ErrNotFound) && c.kept {
		*c = candidate{tag: c.tag, lost: true}
		gate, err = s.ask(ctx, c)
	}
	if errors.Is(err, registry.ErrNotFound) {
		c.dropped = "gone from the registry"
		return policy.GateFound, nil
	}
	return gate, err
}

func (s *search) ask(ctx context.Context, c *candidate) (policy.Gate, error) {
	for _, gate := range policy.LazyGates {
		why, err := gates[gate](s, ctx, c)
		if err != nil {
			return "", err
		}
		if why != "" {
			c.dropped = why
			return gate, nil
		}
	}
	return "", nil
}

// digest sets the digest of a candidate. With IfNotPresent that of the last
// choice stays, wherever its tag points to now.
func (s *search) digest(ctx context.Context, c *candidate) error {
	if c.digest != "" {
		return nil
	}
	if last := s.last(c); last != "" && s.policy.GetDigestReflectionPolicy() == imagev1.ReflectIfNotPresent {
		c.digest, c.kept = last, true
		return nil
	}
	var err error
	c.digest, err = s.lookUp(ctx, c.tag)
	return err
}

// last is the digest of the last choice, if that was the candidate's tag.
func (s *search) last(c *candidate) string {
	last := s.policy.Status.LatestRef
	if c.lost || last == nil || last.Name != s.from.repo.Spec.Image || last.Tag != c.tag {
		return ""
	}
	return last.Digest
}

// lookUp asks the registry what tag points to now.
func (s *search) lookUp(ctx context.Context, tag string) (string, error) {
	if digest, ok := s.digests[tag]; ok {
		return digest, nil
	}
	access, err := s.reach(ctx)
	if err != nil {
		return "", err
	}
	digest, err := ask(ctx, s, "digest of "+tag, func(ctx context.Context) (string, error) {
		return s.Registry.Digest(ctx, s.from.target.Image(access), tag)
	})
	if err != nil {
		return "", err
	}
	s.digests[tag] = digest
	return digest, nil
}

// spend takes one of the look-ups.
func (s *search) spend() error {
	if s.left == 0 {
		return errBound
	}
	s.left--
	return nil
}

// reach reads the repository's credentials once.
func (s *search) reach(ctx context.Context) (registry.Access, error) {
	if s.access == nil {
		access, err := s.Registry.Access(ctx, s.Secrets, scan.RegistrySpec(s.from.repo))
		if err != nil {
			return registry.Access{}, err
		}
		s.access = &access
	}
	return *s.access, nil
}

// reflects reports whether the choice is told with its digest: the one that was
// verified, if any was; otherwise spec.digestReflectionPolicy decides.
func (s *search) reflects() bool {
	return s.policy.GetDigestReflectionPolicy() != imagev1.ReflectNever || s.policy.Spec.Verify != nil
}

// reflect looks up the digest of what passed all gates, if it is to be told.
func (s *search) reflect(ctx context.Context, c *candidate) error {
	if !s.reflects() {
		return nil
	}
	return s.digest(ctx, c)
}

// ref is what the status says of the choice.
func (s *search) ref() imagev1.ImageRef {
	ref := imagev1.ImageRef{Name: s.from.repo.Spec.Image, Tag: s.chosen.tag}
	if s.reflects() {
		ref.Digest = s.chosen.digest
	}
	return ref
}

// again is when to look once more without being told to, or zero: a digest can
// change without a scan that says so, and pins, rejections and youth end.
func (s *search) again() time.Duration {
	switch {
	case s.pending:
		return s.from.target.Timeout + pause // should nobody tell
	case s.bound:
		return pause
	}
	next := interval(s.policy)
	for _, at := range []time.Time{s.compiled.Until(), s.maturity, s.recheck} {
		if at.IsZero() {
			continue
		}
		if wait := max(at.Sub(s.now), time.Millisecond); next == 0 || wait < next {
			next = wait
		}
	}
	return next
}

// sooner keeps the earlier of two times, of which zero is none.
func sooner(known *time.Time, at time.Time) {
	if known.IsZero() || at.Before(*known) {
		*known = at
	}
}

// timeOf is at for a status, where zero is nil. Fractions of a second are cut off
// there, which must not make a time look passed that is not.
func timeOf(at time.Time) *metav1.Time {
	if at.IsZero() {
		return nil
	}
	whole := at.Truncate(time.Second)
	if whole.Before(at) {
		whole = whole.Add(time.Second)
	}
	return &metav1.Time{Time: whole}
}

// noMatch says why nothing was chosen.
func (s *search) noMatch() error {
	why := s.decision
	why.Tag = ""
	said := why.Why()
	if pin := s.compiled.Pin(); pin != nil {
		if fate := s.fate(pin.Tag); fate != "" {
			said = fmt.Sprintf("spec.pin.tag %s: %s", pin.Tag, fate)
		}
	}
	if left := s.unchecked(); left > 0 {
		said += fmt.Sprintf("; the other %d were not looked at", left)
	}
	for _, drop := range why.Dropped() {
		if drop.Gate == policy.GateVerify {
			return fmt.Errorf("%w: %s", errUnverified, said)
		}
	}
	return fmt.Errorf("%w: %s", errNoMatch, said)
}
