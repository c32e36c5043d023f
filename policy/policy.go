// SPDX-License-Identifier: Apache-2.0

// Package policy chooses one tag of an image, and says why.
//
//	tags -> filter -> rule -> reject -> Decision, best candidates
//	        drops and drops   drops by    |
//	        extracts  & orders tag        v  for who can look at registry and clock
//	                                     quarantine -> minAge -> platform -> reject by digest -> verify -> choice
//
// A tag meets the gates in that order, which is the order of the [Gate] constants, and is
// dropped by the first that does not hold. The gates of the first line know
// nothing but tags, and see all of them. Those of the second, [DeferredGates], cost
// requests, so that they are asked of the best candidates only, best first, until
// one passes. A pin takes the place of filter and rule, and makes minAge moot:
// who pins knows what and when. What is rejected, does not fit the platform or is
// not signed is not chosen by a pin either.
//
// A rule gives a total order, so that the choice depends on the set of tags and
// on nothing else: not on the order in which the registry lists them, nor on
// chance. Where two texts weigh the same (1.0.0+1 and 1.0.0+2, 1 and 01) the
// rule's file says which wins; where two tags yield the same text, the tag that
// sorts first bytewise wins. In both Flux decides alike wherever its own choice
// does not depend on map order.
//
// A tag that a rule cannot read is dropped and counted, never an error: one
// stray "latest" must not stop releases. An invalid policy is [ErrInvalid].
//
// Everything here is pure. [Policy.Select] and [Policy.Rank] are one pass that
// keeps the best tags so far; they hold no list. [Policy.Explain] does.
//
// Versions, ranges and the usual patterns are read by hand beside Masterminds/semver and
// regexp, which have the last word on what is unusual: docs/adr/0010-own-reading-of-tags.md.
//
//	go test -run xxx -bench 'Select|Filter' ./policy
package policy

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// ErrInvalid means that a policy can never choose a tag, whatever the registry
// holds: no rule or several, an unparsable range, pattern or order. Only an edit
// of the policy helps.
var ErrInvalid = errors.New("invalid policy")

// rules are the kinds of policy by the name of their field in spec.policy. A
// compile returns nil when that is not set; its error begins with the field below it, as
// "range: ...".
var rules = []struct {
	name    string
	compile func(imagev1.ImagePolicyChoice) (rule, error)
}{
	{"semver", compileSemVer},
	{"alphabetical", compileAlphabetical},
	{"numerical", compileNumerical},
}

// Policy is a compiled policy. It is immutable and safe for concurrent use.
type Policy struct {
	rule      rule
	filter    *filter
	overrides overrides
}

// Compile prepares the rule and the filter of an ImagePolicy; filter may be nil.
// Exactly one rule must be set: of two, one would be ignored without a word.
func Compile(choice imagev1.ImagePolicyChoice, filterTags *imagev1.TagFilter) (*Policy, error) {
	chosen, err := compileRule(choice)
	if err != nil {
		return nil, err
	}
	f, err := compileFilter(filterTags)
	if err != nil {
		return nil, err
	}
	return &Policy{rule: chosen, filter: f}, nil
}

// CompileSpec prepares all of spec that can be judged by tags alone, as it is in
// force at a moment: pins and rejections end. [Policy.Until] says how long that
// holds.
func CompileSpec(spec *imagev1.ImagePolicySpec, now time.Time) (*Policy, error) {
	p, err := Compile(spec.Policy, spec.FilterTags)
	if err != nil {
		return nil, err
	}
	if p.overrides, err = compileOverrides(spec, now); err != nil {
		return nil, err
	}
	if pin := p.overrides.pin; pin != nil {
		p.rule, p.filter = pinned{tag: pin.Tag}, nil
	}
	return p, nil
}

func compileRule(choice imagev1.ImagePolicyChoice) (rule, error) {
	var chosen rule
	var known, set []string
	for _, r := range rules {
		known = append(known, r.name)
		compiled, err := r.compile(choice)
		if err != nil {
			return nil, fmt.Errorf("%w: spec.policy.%s.%w", ErrInvalid, r.name, err)
		}
		if compiled != nil {
			chosen, set = compiled, append(set, r.name)
		}
	}
	switch len(set) {
	case 1:
		return chosen, nil
	case 0:
		return nil, fmt.Errorf("%w: spec.policy must set one of %s", ErrInvalid, strings.Join(known, ", "))
	}
	return nil, fmt.Errorf("%w: spec.policy must set only one of %s", ErrInvalid, strings.Join(set, ", "))
}

// String names the policy's rule: semver 1.x.
func (p *Policy) String() string { return p.rule.String() }

// Work is how much there is to do at worst for tags of so many bytes in all. The
// error, an [ErrInvalid], says that it is more than is done for anybody.
func (p *Policy) Work(bytes int) (int64, error) {
	if p.filter == nil {
		return 0, nil
	}
	if err := pattern.Check(p.filter.size, bytes); err != nil {
		return 0, fmt.Errorf("%w: spec.filterTags.pattern: %w", ErrInvalid, err)
	}
	return int64(p.filter.size) * int64(bytes), nil
}

// Select chooses among tags. Order and repetitions of tags do not matter for
// the choice; repetitions are counted. Decision.Tag may share memory with tags.
func (p *Policy) Select(tags iter.Seq[string]) Decision {
	_, d := p.Evaluate(tags, 1)
	return d
}

// Rank returns the best n tags, best first, each once. They may share memory with
// tags.
func (p *Policy) Rank(tags iter.Seq[string], n int) []Ranked {
	best, _ := p.Evaluate(tags, n)
	return best
}

// Evaluate is [Policy.Rank] and [Policy.Select] in one pass.
func (p *Policy) Evaluate(tags iter.Seq[string], n int) ([]Ranked, Decision) {
	d := Decision{Rule: p.rule.String()}
	selected := p.rule.selector(max(n, 1))
	for tag := range tags {
		d.Total++
		if v := p.check(selected, tag); v != accepted {
			d.drop(v, tag)
		}
	}
	ranked := selected.best()
	if len(ranked) > 0 {
		d.Tag, d.Text = ranked[0].Tag, ranked[0].Text
	}
	return ranked[:min(len(ranked), max(n, 0))], d
}

// check tries one tag against the gates in their order, and gives it to the selector if
// it passes those that need neither clock nor registry.
func (p *Policy) check(s selector, tag string) result {
	text, ok := p.filter.text(tag)
	if !ok {
		return notMatching
	}
	if v := s.read(text); v != accepted {
		return v
	}
	if len(p.overrides.tags) > 0 {
		if _, ok := p.overrides.tags[tag]; ok {
			return rejectedTag
		}
	}
	s.keep(tag, text)
	return accepted
}
