package imagepolicy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

const (
	// bestListed candidates are in the status in any case, and maxListed at most.
	bestListed, maxListed = 5, 20
)

// evidence is the decision as the status has it. Nothing in it changes while tags
// and verdicts stay the same, so that a look without news writes nothing.
func (s *search) evidence() *imagev1.Decision {
	d := &imagev1.Decision{
		Rule: s.decision.Rule, Total: s.decision.Total, Qualified: s.decision.Qualified(),
		NextMaturity: timeOf(s.maturity), Unchecked: s.unchecked(),
	}
	for _, drop := range s.decision.Dropped() {
		d.Dropped = append(d.Dropped, imagev1.DroppedTags{Rule: drop.Reason, Count: drop.Count, Example: strings.Clone(drop.Example)})
	}
	for i, r := range s.listed {
		switch {
		case i < len(s.looked) && (i < maxListed-1 || s.looked[i] == s.chosen):
			d.Candidates = append(d.Candidates, s.looked[i].status())
		case i >= len(s.looked) && i < bestListed:
			d.Candidates = append(d.Candidates, imagev1.Candidate{Tag: strings.Clone(r.Tag)})
		}
	}
	return d
}

func (c *candidate) status() imagev1.Candidate {
	return imagev1.Candidate{Tag: c.tag, Digest: c.digest, FirstSeen: timeOf(c.firstSeen), Dropped: c.dropped, Gate: string(c.gate)}
}

// unchecked is the number of qualified tags that nobody looked at although
// nothing was chosen.
func (s *search) unchecked() int {
	if s.chosen != nil {
		return 0
	}
	return s.decision.Qualified()
}

// fate is what became of a tag that was not chosen, as the end of a sentence; it
// is empty for one that qualifies.
func (s *search) fate(tag string) string {
	if s.tags.FirstSeen(tag).IsZero() {
		return fmt.Sprintf("not a tag of %s, or excluded", s.from.repo.Spec.Image)
	}
	for _, c := range s.looked {
		if c.tag == tag {
			return c.dropped
		}
	}
	for _, line := range s.compiled.Explain(slices.Values([]string{tag})) {
		return line.Why
	}
	return ""
}

// because says in one line how the choice was made, and what became of the one
// before it: a step down must not come without a word.
func (s *search) because() string {
	said := s.decision.Why()
	if pin := s.compiled.Pin(); pin != nil {
		said = pinned(pin)
	}
	if s.chosen.signer != "" {
		said += "; " + s.chosen.signer
	}
	last := s.policy.Status.LatestRef
	if last == nil || last.Name != s.from.repo.Spec.Image || last.Tag == s.chosen.tag {
		return said
	}
	if fate := s.fate(last.Tag); fate != "" {
		said += fmt.Sprintf("; %s: %s", last.Tag, fate)
	}
	return said
}

func pinned(pin *imagev1.Pin) string {
	said := "pinned by spec.pin"
	if pin.Reason != "" {
		said += ": " + pin.Reason
	}
	if pin.Until != nil {
		said += fmt.Sprintf(" (until %s)", pin.Until.UTC().Format(time.RFC3339))
	}
	return said
}

// qualifies reports whether the last choice is one that the tags still allow.
func (s *search) qualifies(tag string) bool {
	return s.fate(tag) == "" && s.compiled.Select(slices.Values([]string{tag})).Tag != ""
}
