// Package policy chooses one tag of an image, and says why.
//
//	tags -> filterTags.pattern -> filterTags.extract -> rule -> Decision
//	        drops tags            the text to compare   drops and orders texts
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
// Everything here is pure. [Policy.Select] is one pass that keeps the best tag
// so far; it sorts nothing and holds no list.
package policy

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// ErrInvalid means that a policy can never choose a tag, whatever the registry
// holds: no rule or several, an unparsable range, pattern or order. Only an edit
// of the policy helps.
var ErrInvalid = errors.New("invalid policy")

// rule is one kind of policy, compiled.
type rule interface {
	// contest starts one pass over texts.
	contest() contest
	// String names the rule and its argument as a person would: semver 1.x.
	String() string
}

// contest is one pass over texts; it keeps the best so far.
type contest interface {
	// offer compares text with the best so far and keeps the better of them.
	offer(text string) verdict
}

// rules are the kinds of policy by the name of their field in spec.policy. A
// compile returns nil when the field is not set.
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
	rule   rule
	filter *filter
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

func compileRule(choice imagev1.ImagePolicyChoice) (rule, error) {
	var chosen rule
	var known, set []string
	for _, r := range rules {
		known = append(known, r.name)
		compiled, err := r.compile(choice)
		if err != nil {
			return nil, fmt.Errorf("%w: spec.policy.%s: %w", ErrInvalid, r.name, err)
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

// Select chooses among tags. Order and repetitions of tags do not matter for
// the choice; repetitions are counted. Decision.Tag may share memory with tags.
func (p *Policy) Select(tags iter.Seq[string]) Decision {
	d := Decision{Rule: p.rule.String()}
	c := p.rule.contest()
	for tag := range tags {
		d.Total++
		text, ok := p.filter.text(tag)
		if !ok {
			d.drop(notMatching, tag)
			continue
		}
		switch v := c.offer(text); v {
		case leads:
			d.Tag, d.Text = tag, text
		case equals:
			d.Tag = min(d.Tag, tag)
		case trails:
		default:
			d.drop(v, tag)
		}
	}
	return d
}
